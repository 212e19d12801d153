"""Reports, unban requests, notes and cases between the contract and the domain."""

from datetime import UTC, datetime

from rooms.domain.cases import KeptMessage, Note, PastWarning, WarningState
from rooms.domain.people import Slug, UserId
from rooms.domain.reports import Report, ReportCategory, ReportResolution, ReportState
from rooms.domain.unban_requests import UnbanDecision, UnbanRequest, UnbanRequestState
from salon.moderation.v1 import cases_pb2, reports_pb2, unban_requests_pb2

_CATEGORIES = {reports_pb2.ReportCategory.Value(f"REPORT_CATEGORY_{each.name}"): each for each in ReportCategory}
_STATES = {reports_pb2.ReportState.Value(f"REPORT_STATE_{each.name}"): each for each in ReportState}

_REQUEST_STATES = {
    unban_requests_pb2.UnbanRequestState.Value(f"UNBAN_REQUEST_STATE_{each.name}"): each for each in UnbanRequestState
}
_WARNING_STATES = {cases_pb2.PastWarning.State.Value(f"STATE_{each.name}"): each for each in WarningState}
_DECISIONS = {UnbanDecision.APPROVE: UnbanRequestState.APPROVED, UnbanDecision.DENY: UnbanRequestState.DENIED}


def report_from_proto(kept: reports_pb2.KeptReport) -> Report:
    """What a later version filed, or decided, is read as what is nearest to it."""
    return Report(
        id=kept.id,
        slug=Slug(kept.slug),
        at=time_from_proto(kept.at_ms),
        category=_CATEGORIES.get(kept.category, ReportCategory.OTHER),
        note=kept.note or None,
        reporter_user_id=UserId(kept.reporter_user_id),
        reporter_username=kept.reporter_username or None,
        target_user_id=UserId(kept.target_user_id) if kept.target_user_id else None,
        target_username=kept.target_username or None,
        message_id=kept.message_id or None,
        message_text=kept.message_text if kept.HasField("message_text") else None,
        message_at=time_from_proto(kept.message_at_ms) if kept.message_id else None,
        before_ids=tuple(kept.before_ids),
        after_ids=tuple(kept.after_ids),
        state=_STATES.get(kept.state, ReportState.EXPIRED),
        closed_at=time_from_proto(kept.closed_at_ms) if kept.closed_at_ms else None,
        closed_by=UserId(kept.closed_by_user_id) if kept.closed_by_user_id else None,
    )


def report_state_to_proto(state: ReportState | ReportResolution | None) -> reports_pb2.ReportState.ValueType:
    """None: in any state."""
    name = "UNSPECIFIED" if state is None else state.name
    return reports_pb2.ReportState.Value(f"REPORT_STATE_{name}")


def unban_request_from_proto(request: unban_requests_pb2.UnbanRequest) -> UnbanRequest:
    """One in a state of a later version is over."""
    return UnbanRequest(
        id=request.id,
        sanction_id=request.sanction_id,
        slug=Slug(request.slug) if request.slug else None,
        user_id=UserId(request.user_id),
        username=request.username or None,
        text=request.text or None,
        at=time_from_proto(request.at_ms),
        state=_REQUEST_STATES.get(request.state, UnbanRequestState.LAPSED),
        closed_at=time_from_proto(request.closed_at_ms) if request.closed_at_ms else None,
        closed_by=UserId(request.closed_by_user_id) if request.closed_by_user_id else None,
        note=request.note or None,
    )


def note_from_proto(note: cases_pb2.Note) -> Note:
    """One note."""
    return Note(
        id=note.id,
        slug=Slug(note.slug),
        target_user_id=UserId(note.target_user_id) if note.target_user_id else None,
        target_username=note.target_username or None,
        text=note.text,
        author_user_id=UserId(note.author_user_id),
        author_username=note.author_username,
        at=time_from_proto(note.at_ms),
    )


def warning_from_proto(warning: cases_pb2.PastWarning) -> PastWarning:
    """One in a state of a later version is over."""
    return PastWarning(
        id=warning.id,
        reason=warning.reason,
        moderator_user_id=UserId(warning.moderator_user_id),
        at=time_from_proto(warning.at_ms),
        state=_WARNING_STATES.get(warning.state, WarningState.WITHDRAWN),
    )


def message_from_proto(message: cases_pb2.KeptMessage) -> KeptMessage:
    """One message."""
    return KeptMessage(message.id, time_from_proto(message.at_ms), message.text)


def request_state_to_proto(state: UnbanRequestState | None) -> unban_requests_pb2.UnbanRequestState.ValueType:
    """None: in any state."""
    name = "UNSPECIFIED" if state is None else state.name
    return unban_requests_pb2.UnbanRequestState.Value(f"UNBAN_REQUEST_STATE_{name}")


def decision_to_proto(decision: UnbanDecision) -> unban_requests_pb2.UnbanRequestState.ValueType:
    """What is decided, as the state that it leads to."""
    return request_state_to_proto(_DECISIONS[decision])


def time_from_proto(ms: int) -> datetime:
    """Of Unix milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC)
