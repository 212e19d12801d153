"""Reports, unban requests and notes between the contract and the domain. What comes from callers raises
MalformedRequest where it breaks the contract."""

from moderation.api.grpc.texts import text_from_proto
from moderation.domain.cases import LONGEST_NOTE as LONGEST_TEXT_OF_NOTE, AddNote, Case, DeleteNote, Note, NoteOrder
from moderation.domain.erasures import LogRef, Origin
from moderation.domain.last_seen import LONGEST_NAME, LONGEST_SLUG
from moderation.domain.people import Moderator, Target
from moderation.domain.reports import (
    LONGEST_NOTE,
    RESOLUTIONS,
    Report,
    ReportCategory,
    ReportOrder,
    ReportState,
    ResolveCommand,
    ResolveOrder,
)
from moderation.domain.sanctions import Sanction
from moderation.domain.unban_requests import (
    DECISIONS,
    LONGEST_TEXT,
    DecideCommand,
    DecideOrder,
    RequestState,
    UnbanOrder,
    UnbanRequest,
)
from moderation.errors import MalformedRequest
from salon.moderation.v1 import cases_pb2, moderation_pb2 as pb, reports_pb2, unban_requests_pb2

_LARGEST_ID = 2**53 - 1
_LONGEST_REASON = 500


def case_order(
    message: pb.ExecuteRequest, actor: Moderator, log: LogRef | None, origin: Origin
) -> ReportOrder | ResolveOrder | UnbanOrder | DecideOrder | NoteOrder | None:
    """A command of those here; None: it is another one."""
    match message.WhichOneof("command"):
        case "file_report":
            return _report_order(message, actor, log)
        case "resolve_report":
            return ResolveOrder(_resolve_command(message, actor), origin=origin)
        case "request_unban":
            return _unban_order(message, actor)
        case "decide_unban_request":
            return DecideOrder(_decide_command(message, actor), origin=origin)
        case "add_note" | "delete_note":
            return NoteOrder(_note_command(message, actor), origin=origin)
        case _:
            return None


def kept_report_to_proto(report: Report) -> reports_pb2.KeptReport:
    """A report as it is stored, for the wire."""
    kept = reports_pb2.KeptReport(
        id=report.id,
        slug=report.slug,
        at_ms=report.created_at_ms,
        category=reports_pb2.ReportCategory.ValueType(report.category),
        note=report.note,
        reporter_user_id=report.reporter_user_id,
        reporter_username=report.reporter_username,
        target_user_id=report.target.user_id,
        target_username=report.target_username,
        state=reports_pb2.ReportState.ValueType(report.state),
        closed_at_ms=report.closed_at_ms or 0,
        closed_by_user_id=report.closed_by,
    )
    if report.message is not None:
        kept.message_id, kept.message_at_ms = report.message.id, report.message.at_ms
        kept.before_ids.extend(report.message.neighbours.before)
        kept.after_ids.extend(report.message.neighbours.after)
        if report.message.text:
            kept.message_text = report.message.text
    return kept


def unban_request_to_proto(request: UnbanRequest) -> unban_requests_pb2.UnbanRequest:
    """A request as it is stored, for the wire."""
    return unban_requests_pb2.UnbanRequest(
        id=request.id,
        sanction_id=request.sanction_id,
        slug=request.slug or "",
        user_id=request.user_id,
        username=request.username,
        text=request.text,
        at_ms=request.created_at_ms,
        state=unban_requests_pb2.UnbanRequestState.ValueType(request.state),
        closed_at_ms=request.closed_at_ms or 0,
        closed_by_user_id=request.closed_by,
        note=request.note,
    )


def ban_to_proto(ban: Sanction | None, *, may_request: bool) -> pb.FindBanResponse:
    """What a banned user is told at the door."""
    if ban is None:
        return pb.FindBanResponse()
    return pb.FindBanResponse(
        sanction_id=ban.id, may_request_unban=may_request, reason=ban.reason, expires_at_ms=ban.expires_at_ms or 0
    )


def note_to_proto(note: Note) -> cases_pb2.Note:
    """A note as it is stored, for the wire."""
    return cases_pb2.Note(
        id=note.id,
        slug=note.slug,
        target_user_id=note.target.user_id,
        target_username=note.target.username,
        text=note.text,
        author_user_id=note.author_user_id,
        author_username=note.author_username,
        at_ms=note.created_at_ms,
    )


def add_case(answer: pb.GetCaseResponse, case: Case) -> None:
    """All but the sanctions."""
    for warning in case.warnings:
        state = cases_pb2.PastWarning.State.ValueType(warning.state)
        answer.warnings.add(
            id=warning.id,
            reason=warning.reason,
            moderator_user_id=warning.moderator_user_id,
            at_ms=warning.created_at_ms,
            state=state,
        )
    answer.notes.extend(map(note_to_proto, case.notes))
    answer.reports.extend(map(kept_report_to_proto, case.reports))
    answer.names.extend(case.seen.names)
    answer.first_seen_ms, answer.last_seen_ms = case.seen.first_ms, case.seen.last_ms
    answer.without_messages = case.messages is None
    for message in case.messages or ():
        answer.messages.add(id=message.id, at_ms=message.at_ms, text=message.text)


def request_state_from_proto(state: unban_requests_pb2.UnbanRequestState.ValueType) -> RequestState | None:
    """None: unspecified. Raises MalformedRequest."""
    if state == unban_requests_pb2.UNBAN_REQUEST_STATE_UNSPECIFIED:
        return None
    try:
        return RequestState(state)
    except ValueError:
        raise MalformedRequest("state") from None


def report_state_from_proto(state: reports_pb2.ReportState.ValueType) -> ReportState | None:
    """None: unspecified. Raises MalformedRequest."""
    if state == reports_pb2.REPORT_STATE_UNSPECIFIED:
        return None
    try:
        return ReportState(state)
    except ValueError:
        raise MalformedRequest("state") from None


def _report_order(message: pb.ExecuteRequest, actor: Moderator, log: LogRef | None) -> ReportOrder:
    filed, target = message.file_report, None
    if not 0 <= filed.message_id <= _LARGEST_ID:
        raise MalformedRequest("message_id")
    if not filed.message_id:
        target = person_from_proto(filed.target_user_id, filed.target_username)
    try:
        category = ReportCategory(filed.category)
    except ValueError:
        raise MalformedRequest("category") from None
    return ReportOrder(
        reporter=actor,
        reporter_username=message.actor.username,
        slug=_slug(message),
        log=log,
        message_id=filed.message_id,
        target=target,
        category=category,
        note=text_from_proto(filed.note, LONGEST_NOTE, "note"),
    )


def _resolve_command(message: pb.ExecuteRequest, actor: Moderator) -> ResolveCommand:
    asked = message.resolve_report
    if not 0 < asked.report_id <= _LARGEST_ID:
        raise MalformedRequest("report_id")
    resolution = report_state_from_proto(asked.resolution)
    if resolution is None or resolution not in RESOLUTIONS:
        raise MalformedRequest("resolution")
    reason = text_from_proto(message.reason, _LONGEST_REASON, "reason")
    return ResolveCommand(actor, _slug(message), asked.report_id, resolution, reason)


def _unban_order(message: pb.ExecuteRequest, actor: Moderator) -> UnbanOrder:
    asked = message.request_unban
    if not 0 < asked.sanction_id <= _LARGEST_ID:
        raise MalformedRequest("sanction_id")
    text = text_from_proto(asked.text, LONGEST_TEXT, "text")
    if not text.strip():
        raise MalformedRequest("text")
    return UnbanOrder(actor.user_id, message.actor.username, asked.sanction_id, text)


def _decide_command(message: pb.ExecuteRequest, actor: Moderator) -> DecideCommand:
    asked = message.decide_unban_request
    if not 0 < asked.unban_request_id <= _LARGEST_ID:
        raise MalformedRequest("unban_request_id")
    decision = request_state_from_proto(asked.decision)
    if decision is None or decision not in DECISIONS:
        raise MalformedRequest("decision")
    slug = text_from_proto(message.slug, LONGEST_SLUG, "slug") or None
    return DecideCommand(
        actor, slug, asked.unban_request_id, decision, text_from_proto(message.reason, LONGEST_TEXT, "reason")
    )


def _note_command(message: pb.ExecuteRequest, actor: Moderator) -> AddNote | DeleteNote:
    slug, reason = _slug(message), text_from_proto(message.reason, _LONGEST_REASON, "reason")
    if message.WhichOneof("command") == "delete_note":
        if not 0 < message.delete_note.note_id <= _LARGEST_ID:
            raise MalformedRequest("note_id")
        return DeleteNote(actor, slug, message.delete_note.note_id, reason)
    added = message.add_note
    text = text_from_proto(added.text, LONGEST_TEXT_OF_NOTE, "text")
    if not text.strip():
        raise MalformedRequest("text")
    target = person_from_proto(added.target_user_id, added.target_username)
    return AddNote(actor, message.actor.username, slug, target, text, reason)


def person_from_proto(user_id: int, username: str) -> Target:
    """A user by id, else an anonymous one by name. Raises MalformedRequest."""
    if user_id < 0 or not (user_id or username):
        raise MalformedRequest("target_user_id")
    return Target(user_id, "" if user_id else text_from_proto(username, LONGEST_NAME, "target_username"))


def _slug(message: pb.ExecuteRequest) -> str:
    if not message.slug:
        raise MalformedRequest("slug")
    return text_from_proto(message.slug, LONGEST_SLUG, "slug")
