"""Between messages of the contract and values of the domain, both ways; bootstrap.py lends NATS what concerns events.
What comes from callers raises MalformedRequest where it breaks the contract."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from enum import IntEnum
from typing import Any, TypeVar, cast

from google.protobuf.message import DecodeError

from moderation.api.grpc.convert_cases import case_order, kept_report_to_proto, note_to_proto, unban_request_to_proto
from moderation.api.grpc.texts import storable as _storable, text_from_proto as _text
from moderation.domain.admission import ArrivalCheck, CarriedAdmission, Limits, MessageCheck, ReleasedAdmission
from moderation.domain.audit import AuditQuery, AuditRecord, Verification, chain_of
from moderation.domain.cases import NoteAction
from moderation.domain.commands import ErasureOrder, Order, Receipt, SanctionOrder
from moderation.domain.erasures import ErasureCommand, ErasureKind, LogRef, Origin
from moderation.domain.holds import DecideHeldCommand, DecideHeldOrder, HeldMessage, Hold, HoldAction, HoldOrder
from moderation.domain.kept_rules import DeleteRule, KeptRule, RuleEdit, RuleOrder, SaveRule
from moderation.domain.last_seen import LONGEST_NAME, LONGEST_SLUG
from moderation.domain.lending import SpeakerKey
from moderation.domain.people import NO_CLAIMS, Claims, Moderator, Rank, Speaker, Target
from moderation.domain.pins import PinAction, PinCommand, PinOrder, RoomPin
from moderation.domain.policy import (
    LONGEST_MESSAGE,
    LONGEST_SHIELD_MINUTES,
    RANGES,
    Links,
    PolicyAction,
    PolicyChanges,
    PolicyCommand,
    PolicyOrder,
    ReadOnly,
    RoomPolicy,
    ShieldCommand,
    ShieldOrder,
    is_allowed,
)
from moderation.domain.reports import ReportAction, ReportOrder
from moderation.domain.revocations import (
    LONGEST_JTI,
    Revocation,
    RevocationAction,
    RevocationCommand,
    RevocationOrder,
)
from moderation.domain.roles import RoleAction, RoleCommand, RoleHolder, RoleOrder, RoomRole, RoomRoles
from moderation.domain.rule_book import Match
from moderation.domain.rule_hits import KeptHit
from moderation.domain.rules import LONGEST_NAME as LONGEST_RULE_NAME, OnFailure, Rule, RuleAction, RuleKind, RuleMode
from moderation.domain.sanctions import Action, Command, Sanction, SanctionEvent, Scope
from moderation.domain.unban_requests import UnbanAction, UnbanOrder
from moderation.domain.undo import CHANGES_OF_POLICIES, LASTING, UndoAction, UndoCommand, UndoOrder
from moderation.domain.user_erasures import MOST_ROOMS, EraseUserCommand, EraseUserOrder, UserErasureAction
from moderation.domain.verdicts import Decision, Verdict
from moderation.domain.warnings import (
    RoomWarning,
    WarningAction,
    WarningCommand,
    WarningOrder,
    WarningReport,
    WarningState,
    WarningStep,
)
from moderation.errors import (
    ActionNotFound,
    AlreadyDecided,
    AlreadyRequested,
    AlreadyUndone,
    CannotUndo,
    HoldDecided,
    HoldFull,
    HoldNotFound,
    MalformedRequest,
    MessageNotFound,
    ModerationError,
    NonceTaken,
    NoteNotFound,
    NothingToUndo,
    NotPermitted,
    ReportNotFound,
    RequestedTooSoon,
    RoomGone,
    RuleNotFound,
    RuleRefused,
    SanctionNotFound,
    TooManyNotes,
    TooManyReports,
    TooManyRevocations,
    TooManyRoles,
    UnbanRequestNotFound,
    WarningNotFound,
)
from moderation.ports import Kept, SanctionQuery
from moderation.usecases.admit import Batch
from salon.moderation.v1 import moderation_pb2 as pb, policy_pb2, rules_pb2

_Enum = TypeVar("_Enum", bound=IntEnum)
_LONGEST_DURATION_MINUTES = 525_600
_LONGEST_REASON = 500
_LONGEST_NONCE = 64
_LONGEST_ROLE = 32
_LARGEST_ID = 2**53 - 1
_PARTITIONS = 256
_MOST_SLUGS = 1000
_MOST_TARGETS = 1000
_REFUSALS = {
    Decision.SLOW_MODE: (pb.Verdict.DECISION_RATE_LIMITED, pb.Verdict.REFUSAL_SLOW_MODE),
    Decision.READ_ONLY: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_READ_ONLY),
    Decision.MEMBERS_ONLY: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_MEMBERS_ONLY),
    Decision.ACCOUNT_TOO_NEW: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_ACCOUNT_TOO_NEW),
    Decision.FOLLOW_TOO_SHORT: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_FOLLOW_TOO_SHORT),
    Decision.EMOTE_ONLY: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_EMOTE_ONLY),
    Decision.TOO_LONG: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_TOO_LONG),
    Decision.DUPLICATE: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_DUPLICATE),
    Decision.LINKS: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_LINKS),
    Decision.WARNING_PENDING: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_WARNING_PENDING),
    Decision.BLOCKED: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_BLOCKED),
    Decision.HELD: (pb.Verdict.DECISION_SANCTIONED, pb.Verdict.REFUSAL_HELD),
    Decision.UNJUDGED: (pb.Verdict.DECISION_UNSPECIFIED, pb.Verdict.REFUSAL_UNJUDGED),
}
"""What a policy, a warning or a rule refuses, in words that older edges know as well."""
_PIN_ACTIONS = {"pin": PinAction.PIN, "unpin": PinAction.UNPIN}
_DECISIONS = {"allow_held": HoldAction.ALLOW, "deny_held": HoldAction.DENY}
_REPORTED_STEPS = {
    pb.WarningReport.STEP_DELIVER: WarningStep.DELIVER,
    pb.WarningReport.STEP_ACKNOWLEDGE: WarningStep.ACKNOWLEDGE,
    pb.WarningReport.STEP_LAPSE: WarningStep.LAPSE,
}
_ROLE = "role"
_AUDIT_ACTIONS = {
    int(number): number.name.lower()
    for number in (*Action, *ErasureKind, *PinAction, *RevocationAction, *HoldAction, UndoAction.UNDO)
} | {
    int(PolicyAction.CHANGE): "policy",
    int(PolicyAction.SHIELD): "shield",
    int(WarningAction.ISSUE): "warn",
    int(RuleEdit.SAVE): "save_rule",
    int(RuleEdit.DELETE): "delete_rule",
    int(UserErasureAction.ERASE): "erase_user",
    int(ReportAction.RESOLVE): "resolve_report",
    int(UnbanAction.DENY): "deny_unban",
    int(NoteAction.ADD): "add_note",
    int(NoteAction.DELETE): "delete_note",
    int(RoleAction.SET): _ROLE,
}
"""Rows of the audit log in the words of the frame."""
_FOLLOW = "follow"
_OUTCOMES: dict[type[ModerationError], pb.ExecuteResponse.Outcome.ValueType] = {
    NotPermitted: pb.ExecuteResponse.OUTCOME_NOT_PERMITTED,
    MessageNotFound: pb.ExecuteResponse.OUTCOME_NOT_FOUND,
    WarningNotFound: pb.ExecuteResponse.OUTCOME_NOT_FOUND,
    RuleNotFound: pb.ExecuteResponse.OUTCOME_NOT_FOUND,
    RuleRefused: pb.ExecuteResponse.OUTCOME_RULE_REFUSED,
    ActionNotFound: pb.ExecuteResponse.OUTCOME_NOT_FOUND,
    CannotUndo: pb.ExecuteResponse.OUTCOME_CANNOT_UNDO,
    AlreadyUndone: pb.ExecuteResponse.OUTCOME_ALREADY_UNDONE,
    NothingToUndo: pb.ExecuteResponse.OUTCOME_NOTHING_TO_UNDO,
    TooManyRevocations: pb.ExecuteResponse.OUTCOME_TOO_MANY_REVOCATIONS,
    TooManyRoles: pb.ExecuteResponse.OUTCOME_TOO_MANY_ROLES,
    ReportNotFound: pb.ExecuteResponse.OUTCOME_NOT_FOUND,
    TooManyReports: pb.ExecuteResponse.OUTCOME_TOO_MANY_REPORTS,
    AlreadyDecided: pb.ExecuteResponse.OUTCOME_ALREADY_DECIDED,
    SanctionNotFound: pb.ExecuteResponse.OUTCOME_NOT_FOUND,
    UnbanRequestNotFound: pb.ExecuteResponse.OUTCOME_NOT_FOUND,
    NoteNotFound: pb.ExecuteResponse.OUTCOME_NOT_FOUND,
    TooManyNotes: pb.ExecuteResponse.OUTCOME_TOO_MANY_NOTES,
    AlreadyRequested: pb.ExecuteResponse.OUTCOME_ALREADY_REQUESTED,
    RequestedTooSoon: pb.ExecuteResponse.OUTCOME_REQUESTED_TOO_SOON,
    NonceTaken: pb.ExecuteResponse.OUTCOME_NONCE_TAKEN,
    HoldNotFound: pb.ExecuteResponse.OUTCOME_NOT_FOUND,
    HoldFull: pb.ExecuteResponse.OUTCOME_HOLD_FULL,
    HoldDecided: pb.ExecuteResponse.OUTCOME_HOLD_DECIDED,
    RoomGone: pb.ExecuteResponse.OUTCOME_ROOM_GONE,
}
REFUSED = tuple(_OUTCOMES)
"""Refusals that are answers to Execute."""
_RANKS = {int(rank) for rank in Rank}
_POLICY_WORDS = {"read_only": (min(ReadOnly), max(ReadOnly)), "links": (min(Links), max(Links))}


def batch_from_proto(message: pb.AdmitRequest) -> Batch:
    """All that an edge asks and tells at once."""
    return Batch(
        [_carried_from_proto(c) for c in message.carried],
        [_released_from_proto(r) for r in message.released],
        [(speaker_from_proto(s.speaker), s.slug) for s in message.sightings],
        [ArrivalCheck(speaker_from_proto(c.speaker), c.slug, c.final) for c in message.checks],
        [_message_from_proto(m) for m in message.messages],
    )


def verdicts_to_proto(verdicts: Iterable[Verdict | None], request: pb.AdmitRequest) -> pb.AdmitResponse:
    """The verdicts of a batch, in its order, each with the id of its check, but for those that are told later."""
    ids = [*(check.id for check in request.checks), *(message.id for message in request.messages)]
    response = _verdicts_to_proto(zip(ids, verdicts, strict=True))
    response.heard_ms = request.sent_ms
    return response


def admitted_from_proto(message: pb.AdmittedMessage, granted: MessageCheck) -> MessageCheck:
    """What an edge admitted by itself; `granted`: the message with which that was lent."""
    return granted._replace(number=message.id, nonce=message.nonce, text=message.text)


def speaker_key_from_proto(message: pb.SpeakerKey) -> SpeakerKey:
    """By which windows are lent."""
    return message.user_id or message.address


def recall_to_proto(key: SpeakerKey) -> pb.AdmitResponse:
    """What asks for a window that was lent."""
    if isinstance(key, int):
        return pb.AdmitResponse(recalled=[pb.SpeakerKey(user_id=key)])
    return pb.AdmitResponse(recalled=[pb.SpeakerKey(address=key)])


def recall_all_to_proto(change: int) -> pb.AdmitResponse:
    """What asks for all that was granted before that change."""
    return pb.AdmitResponse(recalled_all=change)


def verdict_to_proto(check_id: int, verdict: Verdict) -> pb.AdmitResponse:
    """One that is told later."""
    return _verdicts_to_proto([(check_id, verdict)])


def _verdicts_to_proto(verdicts: Iterable[tuple[int, Verdict | None]]) -> pb.AdmitResponse:
    response = pb.AdmitResponse()
    add = response.verdicts.add
    for check_id, verdict in verdicts:
        if verdict is None:
            continue
        decision, retry_after_ms, holds_place, text_open, told, _, _, _, lent_as = verdict
        if decision is Decision.HELD:
            _add_held(response.verdicts.add(), check_id, verdict)
        elif decision in _REFUSALS:
            known, refusal = _REFUSALS[decision]
            add(id=check_id, decision=known, retry_after_ms=retry_after_ms, refusal=refusal, told=told)
        elif retry_after_ms:
            add(id=check_id, decision=decision, retry_after_ms=retry_after_ms)
        elif holds_place or text_open:
            add(id=check_id, decision=decision, holds_place=holds_place, text_open=text_open)
        elif lent_as:
            add(id=check_id, decision=decision, lent=lent_as)
        else:
            add(id=check_id, decision=decision)
    return response


def _add_held(into: pb.Verdict, check_id: int, verdict: Verdict) -> None:
    into.id = check_id
    into.decision, into.refusal = _REFUSALS[Decision.HELD]
    into.holds_place, into.text_open = verdict.holds_place, verdict.text_open
    into.held.rule_id, into.held.rule_name = verdict.rule_id, verdict.rule_name


def limits_to_proto(limits: Limits, *, refuse_unjudged: bool) -> pb.Limits:
    """The limits as an edge wants them when it goes on alone."""
    return pb.Limits(
        messages_per_window=limits.messages_per_window,
        window_ms=limits.window_s * 1000,
        messages_per_address=limits.messages_per_address,
        refuse_unjudged=refuse_unjudged,
    )


def speaker_from_proto(message: pb.Speaker) -> Speaker:
    """A speaker as the edge described them; without a rank the lowest that fits. Who owns the room may be an admin."""
    user_id = message.user_id
    rank: int = message.rank or (Rank.USER if user_id else Rank.ANONYMOUS)
    if message.owner:
        rank = max(Rank.OWNER, rank)
    return Speaker(user_id, message.username, message.address, rank, message.connection, message.vip)


def moderator_from_proto(message: pb.Speaker) -> Moderator:
    """Who acts; a rank of a later version counts as a user's."""
    speaker = speaker_from_proto(message)
    rank = Rank(speaker.rank) if speaker.rank in _RANKS else Rank.USER
    return Moderator(speaker.user_id, rank, max(message.owned_since_ms, 0))


def order_from_act(message: pb.ActRequest) -> SanctionOrder:
    """A moderation_action frame with who sent it. Raises MalformedRequest: a reason has up to 500 characters, a
    name 255, a slug 128; a duration is up to a year."""
    return SanctionOrder(_sanction_command(message, message, message.moderator))


def order_from_proto(message: pb.ExecuteRequest) -> Order | WarningReport | ReportOrder | UnbanOrder | HoldOrder:
    """A command with who gives it. Raises MalformedRequest: as for order_from_act, a nonce has up to 64 characters; and
    where there is no command that is known here. RuleRefused: a rule has a kind, or another value, that is not
    offered."""
    if message.WhichOneof("command") in ("report_warning", "hold_message"):
        return _hold_order(message) if message.HasField("hold_message") else _warning_report(message)
    nonce = _text(message.nonce, _LONGEST_NONCE, "nonce")
    log, origin = log_from_proto(message), Origin(message.edge, message.token, nonce)
    if message.WhichOneof("command") == "change_sanction":
        change = message.change_sanction
        command = _sanction_command(change, message, message.actor)
        if change.purge and not command.action.imposes:
            raise MalformedRequest("purge")
        return SanctionOrder(command, log, origin, purges=change.purge)
    if message.WhichOneof("command") == "erase_user":
        return EraseUserOrder(_user_erasure_command(message), origin)
    of_cases = case_order(message, moderator_from_proto(message.actor), log, origin)
    return of_cases or _order_of_room(message, log, origin)


def _order_of_room(message: pb.ExecuteRequest, log: LogRef | None, origin: Origin) -> Order:
    """Any but those about sanctions and cases."""
    if message.WhichOneof("command") == "change_policy":
        return PolicyOrder(_policy_command(message), log, origin)
    if message.WhichOneof("command") == "shield":
        return ShieldOrder(_shield_command(message), log, origin)
    if message.WhichOneof("command") in _PIN_ACTIONS:
        return PinOrder(_pin_command(message), log, origin)
    if message.WhichOneof("command") == "issue_warning":
        return WarningOrder(_warning_command(message), origin)
    if message.WhichOneof("command") == "undo":
        return UndoOrder(_undo_command(message), log, origin)
    if message.WhichOneof("command") in ("save_rule", "delete_rule"):
        return RuleOrder(_rule_command(message), origin=origin)
    if message.WhichOneof("command") in ("revoke_tokens", "revoke_token"):
        return RevocationOrder(_revocation_command(message), origin)
    if message.WhichOneof("command") == "set_room_role":
        return RoleOrder(_role_command(message), origin)
    return _order_about_messages(message, log, origin)


def _order_about_messages(
    message: pb.ExecuteRequest, log: LogRef | None, origin: Origin
) -> DecideHeldOrder | ErasureOrder:
    if message.WhichOneof("command") in _DECISIONS:
        return DecideHeldOrder(_decide_command(message), log, origin)
    return ErasureOrder(_erasure_command(message), log, origin)


def receipt_to_proto(
    receipt: Receipt, order: Order | WarningReport | ReportOrder | UnbanOrder | HoldOrder
) -> pb.ExecuteResponse:
    """What a command that is stored came to."""
    holder = None
    if receipt.roles is not None and isinstance(order, RoleOrder):
        holder = receipt.roles.of(order.command.target.user_id)
    return pb.ExecuteResponse(
        role=None if holder is None else holder_to_proto(holder),
        outcome=pb.ExecuteResponse.OUTCOME_DONE,
        action_id=receipt.action_id,
        event=None if receipt.event is None else event_to_proto(receipt.event),
        entry_id=receipt.entry_id,
        repeated=receipt.repeated,
        # Of an undo it is told by the event alone: edges take it for one that was just issued.
        warning=None if receipt.warning is None or receipt.undone else warning_to_proto(receipt.warning),
        undone=None if receipt.undone is None else pb.Undone(**asdict(receipt.undone)),
        rule=None if receipt.rule is None else kept_rule_to_proto(receipt.rule),
        revocation=None if receipt.revocation is None else revocation_to_proto(receipt.revocation),
        report=None if receipt.report is None else kept_report_to_proto(receipt.report),
        note=None if receipt.note is None else note_to_proto(receipt.note),
        unban_request=None if receipt.unban_request is None else unban_request_to_proto(receipt.unban_request),
        hold=None if receipt.hold is None else hold_to_proto(receipt.hold),
        policy=policy_to_proto(receipt.policy) if receipt.policy is not None and receipt.repeated else None,
        at_ms=receipt.at_ms,
    )


def refusal_to_proto(refusal: ModerationError) -> pb.ExecuteResponse:
    """What a command came to that changes nothing; one of REFUSED."""
    answer = pb.ExecuteResponse(outcome=_OUTCOMES[type(refusal)])
    if isinstance(refusal, RuleRefused):
        answer.problem = str(refusal)
    elif isinstance(refusal, TooManyReports | RequestedTooSoon):
        answer.retry_after_ms = refusal.retry_after_ms
    elif isinstance(refusal, AlreadyDecided):
        answer.decided_by_user_id = refusal.by
    elif isinstance(refusal, HoldDecided):
        answer.hold.CopyFrom(hold_to_proto(refusal.hold))
    return answer


def reader_from_proto(
    message: pb.ListAuditRequest | pb.VerifyAuditRequest | pb.ListUndoableRequest | pb.ListHeldRequest,
) -> Moderator:
    """Who asks. Raises MalformedRequest."""
    return moderator_from_proto(message.reader)


def audit_query_from_proto(message: pb.ListAuditRequest) -> AuditQuery:
    """Which rows are asked for. Raises MalformedRequest."""
    action, actions, follows = message.action, None, None
    if action == _FOLLOW:
        follows = True
    elif action:
        if action not in _AUDIT_ACTIONS.values():
            raise MalformedRequest("action")
        actions, follows = tuple(number for number, word in _AUDIT_ACTIONS.items() if word == action), False
    if message.actor_user_id < 0 or message.target_user_id < 0:
        raise MalformedRequest("user_id")
    return AuditQuery(
        slug=_text(message.slug, LONGEST_SLUG, "slug") or None,
        actor_user_id=message.actor_user_id or None,
        target_user_id=message.target_user_id or None,
        target_username=_text(message.target_username, LONGEST_NAME, "target_username") or None,
        actions=actions,
        follows=follows,
    )


def audit_to_proto(record: AuditRecord, undone_by: int | None) -> pb.AuditEntry:
    """A row of the audit log for the wire."""
    details = record.details or {}
    is_follow = record.followed_address is not None
    entry = pb.AuditEntry(
        action_id=record.id,
        at_ms=record.at_ms,
        actor_user_id=record.actor_user_id,
        actor_rank=pb.Rank.ValueType(record.actor_rank),
        action=_FOLLOW if is_follow else _AUDIT_ACTIONS.get(record.action, "other"),
        target_user_id=record.target_user_id,
        target_username=record.target_username,
        scope=pb.Scope.ValueType(record.scope),
        slug=record.slug,
        reason=record.reason,
        duration_minutes=record.duration_minutes,
        message_id=record.message_id or 0,
        address=record.followed_address or "",
        undoes=record.undoes_id or 0,
        undone_by=undone_by or 0,
        completes=details.get("completes", 0),
        digest=record.digest or "",
        rule=details.get("rule_name", ""),
        hold_id=details.get("hold_id", 0),
    )
    if record.message_text:
        entry.message_text = record.message_text
    if "owner" in details:
        entry.policy_changes.add(
            field=_ROLE, before=json.dumps(details.get("before")), after=json.dumps(details.get("after"))
        )
    elif record.action in CHANGES_OF_POLICIES:
        after = details.get("after", {})
        for field, before in sorted(details.get("before", {}).items()):
            entry.policy_changes.add(field=field, before=json.dumps(before), after=json.dumps(after.get(field)))
    return entry


def verification_to_proto(found: Verification) -> pb.VerifyAuditResponse:
    """What a check of a chain came to, for the wire."""
    return pb.VerifyAuditResponse(
        checked=found.checked,
        broken_id=found.broken_id or 0,
        problem="" if found.problem is None else found.problem.value,
        last_id=found.last_id,
        last_digest=found.last_digest,
        more=found.more,
        unchained=found.unchained,
    )


def undoable_to_proto(found: list[AuditRecord], left: int, last_id: int) -> pb.ListUndoableResponse:
    """What is to be undone of somebody's, for the wire."""
    response = pb.ListUndoableResponse(left=left, last_id=last_id)
    for record in found:
        slug = chain_of(record.scope, record.slug)
        response.actions.add(action_id=record.id, slug=slug, is_lasting=record.action in LASTING)
    return response


def query_from_proto(message: pb.ListActiveRequest) -> SanctionQuery:
    """Which sanctions in force are asked for: of at most 1,000 slugs and 1,000 targets. Raises MalformedRequest."""
    if len(message.slugs) > _MOST_SLUGS:
        raise MalformedRequest("slugs")
    if len(message.target_user_ids) + len(message.target_usernames) > _MOST_TARGETS:
        raise MalformedRequest("target_user_ids")
    users = (Target(user_id, "") for user_id in message.target_user_ids)
    names = (Target(0, _text(name, LONGEST_NAME, "target_usernames")) for name in message.target_usernames)
    return SanctionQuery(
        slugs=list(message.slugs),
        everywhere=not message.room_only,
        targets=[*users, *names],
        addresses=not message.without_addresses,
    )


def kept_from_proto(message: pb.ListActiveRequest) -> set[Kept]:
    """What is asked for; sanctions always are."""
    asked = {
        Kept.SANCTIONS: True,
        Kept.POLICY: message.with_policies,
        Kept.PIN: message.with_pins,
        Kept.WARNINGS: message.with_warnings,
        Kept.ROLES: message.with_roles,
        Kept.HOLDS: message.with_holds,
    }
    return {kind for kind, is_asked in asked.items() if is_asked}


def policy_to_proto(known: RoomPolicy) -> policy_pb2.RoomPolicy:
    """The policy of a slug for the wire."""
    return policy_pb2.RoomPolicy(
        slug=known.slug, version=known.version, policy=policy_pb2.Policy(**asdict(known.policy))
    )


def pin_to_proto(known: RoomPin) -> pb.RoomPin:
    """The pin of a slug for the wire."""
    message = known.message
    shown = None
    if message is not None:
        shown = pb.PinnedMessage(
            id=message.id,
            at_ms=message.at_ms,
            text=message.text,
            user_id=message.user_id,
            username=message.username,
            role=message.role,
            reply_to=message.reply_to,
        )
    return pb.RoomPin(
        slug=known.slug,
        life=known.life,
        version=known.version,
        message=shown,
        moderator_user_id=known.moderator_user_id,
        at_ms=known.at_ms,
    )


def kept_rule_to_proto(kept: KeptRule) -> rules_pb2.KeptRule:
    """A rule as it is stored, for the wire."""
    rule = kept.rule
    return rules_pb2.KeptRule(
        id=kept.id,
        slug=kept.slug,
        version=kept.version,
        rule=rules_pb2.Rule(
            name=rule.name,
            kind=rules_pb2.RuleKind.ValueType(rule.kind),
            patterns=rule.patterns,
            allow=rule.allow,
            threshold=rule.threshold,
            action=rules_pb2.RuleAction.ValueType(rule.action),
            mute_minutes=rule.mute_minutes,
            mode=rules_pb2.RuleMode.ValueType(rule.mode),
            exempt_from=rules_pb2.RuleExemption.ValueType(rule.exempt_from),
            told=rule.told,
            url=rule.url,
            on_failure=rules_pb2.RuleOnFailure.ValueType(rule.on_failure if rule.kind is RuleKind.CLASSIFIER else 0),
        ),
        changed_by=kept.changed_by,
        changed_at_ms=kept.changed_at_ms,
        hits=kept.hits,
        acted=kept.acted,
    )


def hit_to_proto(kept: KeptHit) -> rules_pb2.RuleHit:
    """One message that a rule hit, for the wire."""
    hit = kept.hit
    return rules_pb2.RuleHit(
        id=kept.id,
        rule_id=hit.rule_id,
        slug=hit.slug,
        at_ms=hit.at_ms,
        user_id=hit.user_id,
        username=hit.username,
        text=hit.text,
        pattern=hit.pattern,
        action=rules_pb2.RuleAction.ValueType(hit.action),
        acted=hit.acted,
    )


def tried_to_proto(matches: Iterable[Match], deciding: Match | None) -> pb.TestTextResponse:
    """What a text is against, for the wire."""
    response = pb.TestTextResponse(decisive_rule_id=0 if deciding is None else deciding.kept.id)
    for kept, hit in matches:
        response.hits.add(
            rule_id=kept.id,
            rule_name=hit.rule.name,
            pattern=hit.pattern,
            action=rules_pb2.RuleAction.ValueType(hit.rule.action),
            mode=rules_pb2.RuleMode.ValueType(hit.rule.mode),
        )
    return response


def slug_from_proto(slug: str) -> str:
    """Of a room, or empty. Raises MalformedRequest."""
    return _text(slug, LONGEST_SLUG, "slug")


def tried_text(message: pb.TestTextRequest) -> str:
    """What is asked about. Raises MalformedRequest."""
    return _text(message.text, LONGEST_MESSAGE, "text")


def roles_to_proto(roles: RoomRoles) -> pb.RoomRoles:
    """All roles of a slug for the wire."""
    return pb.RoomRoles(
        slug=roles.slug,
        version=roles.version,
        owner_user_id=roles.owner,
        moderators=[holder.user_id for holder in roles.holders if holder.role is RoomRole.MODERATOR],
        vips=[holder.user_id for holder in roles.holders if holder.role is RoomRole.VIP],
        moderators_of_nobody=[holder.user_id for holder in roles.of_nobody if holder.role is RoomRole.MODERATOR],
        vips_of_nobody=[holder.user_id for holder in roles.of_nobody if holder.role is RoomRole.VIP],
    )


def holder_to_proto(holder: RoleHolder) -> pb.RoomRoleHolder:
    """One person's role for the wire."""
    return pb.RoomRoleHolder(
        user_id=holder.user_id,
        role=pb.RoomRole.ValueType(holder.role),
        given_by_user_id=holder.given_by,
        given_at_ms=holder.given_at_ms,
    )


def encode_roles(roles: RoomRoles) -> bytes:
    """All roles of a slug as they travel on NATS."""
    return roles_to_proto(roles).SerializeToString()


def revocation_to_proto(revocation: Revocation) -> pb.TokenRevocation:
    """What is revoked, for the wire."""
    return pb.TokenRevocation(**asdict(revocation))


def encode_revocation(revocation: Revocation) -> bytes:
    """The event of it."""
    return pb.RevocationEvent(revocations=[revocation_to_proto(revocation)]).SerializeToString()


def sanction_to_proto(sanction: Sanction) -> pb.Sanction:
    """One sanction for the wire."""
    return pb.Sanction(
        id=sanction.id,
        action=pb.Action.ValueType(sanction.kind),
        target_user_id=sanction.target.user_id,
        target_username=sanction.target.username,
        addresses=sorted(sanction.addresses),
        scope=pb.Scope.ValueType(sanction.scope),
        slug=sanction.slug or "",
        reason=sanction.reason,
        moderator_user_id=sanction.moderator_user_id,
        moderator_rank=pb.Rank.ValueType(sanction.moderator_rank),
        created_at_ms=sanction.created_at_ms,
        expires_at_ms=sanction.expires_at_ms or 0,
        lifted_at_ms=sanction.lifted_at_ms or 0,
    )


def sanction_from_proto(message: pb.Sanction) -> Sanction:
    """One sanction from the wire. Raises ValueError where an enumeration has no such value."""
    return Sanction(
        id=message.id,
        kind=Action(message.action),
        target=Target(message.target_user_id, message.target_username),
        addresses=frozenset(message.addresses),
        slug=None if message.scope == pb.SCOPE_EVERYWHERE else message.slug,
        reason=message.reason,
        moderator_user_id=message.moderator_user_id,
        moderator_rank=Rank(message.moderator_rank),
        created_at_ms=message.created_at_ms,
        expires_at_ms=message.expires_at_ms or None,
        lifted_at_ms=message.lifted_at_ms or None,
    )


def event_to_proto(event: SanctionEvent) -> pb.SanctionEvent:
    """An event for the wire."""
    return pb.SanctionEvent(
        event_id=event.event_id,
        action=pb.Action.ValueType(event.action),
        target_user_id=event.target.user_id,
        target_username=event.target.username,
        moderator_user_id=event.moderator_user_id,
        duration_minutes=event.duration_minutes,
        scope=pb.Scope.ValueType(event.scope),
        slug=event.slug,
        at_ms=event.at_ms,
        imposed=map(sanction_to_proto, event.imposed),
        lifted_ids=event.lifted_ids,
        silent=event.silent,
        edge=event.edge,
        token=event.token,
    )


def event_from_proto(message: pb.SanctionEvent) -> SanctionEvent:
    """An event from the wire. Raises ValueError where an enumeration has no such value."""
    return SanctionEvent(
        event_id=message.event_id,
        action=Action(message.action),
        target=Target(message.target_user_id, message.target_username),
        moderator_user_id=message.moderator_user_id,
        duration_minutes=message.duration_minutes,
        scope=Scope(message.scope),
        slug=message.slug,
        at_ms=message.at_ms,
        imposed=tuple(map(sanction_from_proto, message.imposed)),
        lifted_ids=tuple(message.lifted_ids),
        silent=message.silent,
        edge=message.edge,
        token=message.token,
    )


def warning_to_proto(warning: RoomWarning) -> pb.Warning:
    """One warning for the wire."""
    return pb.Warning(
        id=warning.id,
        slug=warning.slug,
        target_user_id=warning.target.user_id,
        target_username=warning.target.username,
        reason=warning.reason,
        moderator_user_id=warning.moderator_user_id,
        moderator_rank=pb.Rank.ValueType(warning.moderator_rank),
        created_at_ms=warning.created_at_ms,
        version=warning.version,
        open=warning.is_open,
        delivered=warning.state is not WarningState.ISSUED,
    )


def hold_to_proto(hold: Hold, *, with_text: bool = False) -> pb.Hold:
    """A message that waits, or has waited, for the wire."""
    message = hold.message
    return pb.Hold(
        id=hold.id,
        slug=hold.slug,
        life=hold.log.life,
        user_id=message.author.user_id,
        username=message.author.username,
        connection=message.author.connection,
        nonce=message.nonce,
        number=message.number,
        state=pb.HoldState.ValueType(hold.state),
        held_at_ms=hold.held_at_ms,
        expires_at_ms=hold.expires_at_ms,
        decided_by=hold.decided_by,
        decided_at_ms=hold.decided_at_ms or 0,
        reason=pb.HoldReason(rule_id=hold.rule_id, rule_name=hold.rule_name),
        text=message.text if with_text else "",
        reply_to=message.reply_to,
    )


def encode_holds(changed: Iterable[Hold]) -> bytes:
    """What became of messages that wait, as it travels on NATS."""
    return pb.HoldEvent(holds=map(hold_to_proto, changed)).SerializeToString()


def encode_warnings(changed: Iterable[RoomWarning]) -> bytes:
    """Warnings as they travel on NATS."""
    return pb.WarningEvent(warnings=map(warning_to_proto, changed)).SerializeToString()


def encode_event(event: SanctionEvent) -> bytes:
    """An event as it travels on NATS."""
    return event_to_proto(event).SerializeToString()


def decode_event(payload: bytes) -> SanctionEvent:
    """An event from NATS. Raises ValueError where it is not one."""
    try:
        return event_from_proto(pb.SanctionEvent.FromString(payload))
    except DecodeError:
        raise ValueError("not a SanctionEvent") from None


def _carried_from_proto(message: pb.CarriedAdmission) -> CarriedAdmission:
    speaker = speaker_from_proto(message.speaker)
    carried = message.life, message.nonce, message.age_ms, message.counts, message.slug, message.id
    return CarriedAdmission(speaker, *carried)


def _message_from_proto(message: pb.MessageCheck) -> MessageCheck:
    speaker, claims = speaker_from_proto(message.speaker), NO_CLAIMS
    if message.HasField("claims"):
        said = message.claims
        claims = Claims(said.member, said.account_created_at_s, said.following_since_s)
    asked = message.slug, message.life, message.nonce, message.id, message.without_policy, message.text
    log = LogRef(message.partition, message.room_id, message.life) if message.room_id else None
    return MessageCheck(speaker, *asked, claims, message.text_elsewhere, message.text_alone, log)


def _released_from_proto(message: pb.ReleasedAdmission) -> ReleasedAdmission:
    speaker = speaker_from_proto(message.speaker)
    return ReleasedAdmission(speaker, message.slug, message.life, message.nonce, message.id)


def _sanction_command(
    change: pb.ActRequest | pb.ChangeSanction, message: pb.ActRequest | pb.ExecuteRequest, moderator: pb.Speaker
) -> Command:
    if int(change.action) not in set(Action):
        raise MalformedRequest("action")
    if int(change.scope) not in set(Scope):
        raise MalformedRequest("scope")
    if change.scope == pb.SCOPE_ROOM and not message.slug:
        raise MalformedRequest("slug")
    if not 0 <= change.duration_minutes <= _LONGEST_DURATION_MINUTES:
        raise MalformedRequest("duration_minutes")
    return Command(
        moderator=moderator_from_proto(moderator),
        action=Action(change.action),
        target=_target(change),
        target_rank=_rank(message.target_rank) if message.target_rank else None,
        scope=Scope(change.scope),
        slug=_text(message.slug, LONGEST_SLUG, "slug"),
        duration_minutes=change.duration_minutes,
        reason=_text(message.reason, _LONGEST_REASON, "reason"),
    )


def _erasure_command(message: pb.ExecuteRequest) -> ErasureCommand:
    kinds = {
        "delete_message": ErasureKind.DELETE,
        "purge_messages": ErasureKind.PURGE,
        "clear_room": ErasureKind.CLEAR,
    }
    kind = kinds.get(message.WhichOneof("command") or "")
    if kind is None:
        raise MalformedRequest("command")
    if not message.slug:
        raise MalformedRequest("slug")
    message_id = message.delete_message.message_id
    if kind is ErasureKind.DELETE and not 0 < message_id <= _LARGEST_ID:
        raise MalformedRequest("message_id")
    return ErasureCommand(
        kind=kind,
        moderator=moderator_from_proto(message.actor),
        slug=_text(message.slug, LONGEST_SLUG, "slug"),
        target_rank=_rank(message.target_rank) if message.target_rank else None,
        reason=_text(message.reason, _LONGEST_REASON, "reason"),
        message_id=message_id,
        target=_target(message.purge_messages) if kind is ErasureKind.PURGE else None,
    )


def _policy_command(message: pb.ExecuteRequest) -> PolicyCommand:
    if not message.slug:
        raise MalformedRequest("slug")
    return PolicyCommand(
        moderator=moderator_from_proto(message.actor),
        slug=_text(message.slug, LONGEST_SLUG, "slug"),
        changes=_policy_changes(message.change_policy),
        reason=_text(message.reason, _LONGEST_REASON, "reason"),
    )


def _shield_command(message: pb.ExecuteRequest) -> ShieldCommand:
    minutes = message.shield.minutes
    if not message.slug:
        raise MalformedRequest("slug")
    if not (1 if message.shield.on else 0) <= minutes <= (LONGEST_SHIELD_MINUTES if message.shield.on else 0):
        raise MalformedRequest("minutes")
    return ShieldCommand(
        moderator_from_proto(message.actor),
        _text(message.slug, LONGEST_SLUG, "slug"),
        minutes,
        _text(message.reason, _LONGEST_REASON, "reason"),
    )


def _pin_command(message: pb.ExecuteRequest) -> PinCommand:
    action = _PIN_ACTIONS[message.WhichOneof("command") or ""]
    message_id = message.pin.message_id or message.unpin.message_id
    if not message.slug:
        raise MalformedRequest("slug")
    if not 0 < message_id <= _LARGEST_ID:
        raise MalformedRequest("message_id")
    return PinCommand(
        action,
        moderator_from_proto(message.actor),
        _text(message.slug, LONGEST_SLUG, "slug"),
        message_id,
        _text(message.reason, _LONGEST_REASON, "reason"),
    )


def _warning_command(message: pb.ExecuteRequest) -> WarningCommand:
    if not message.slug:
        raise MalformedRequest("slug")
    reason = _text(message.reason, _LONGEST_REASON, "reason")
    if not reason.strip():
        raise MalformedRequest("reason")
    return WarningCommand(
        moderator=moderator_from_proto(message.actor),
        target=_target(message.issue_warning),
        target_rank=_rank(message.target_rank) if message.target_rank else None,
        slug=_text(message.slug, LONGEST_SLUG, "slug"),
        reason=reason,
    )


def _warning_report(message: pb.ExecuteRequest) -> WarningReport:
    report, actor = message.report_warning, speaker_from_proto(message.actor)
    step = _REPORTED_STEPS.get(report.step)
    if step is None:
        raise MalformedRequest("step")
    if not 0 < report.warning_id <= _LARGEST_ID:
        raise MalformedRequest("warning_id")
    target = Target(actor.user_id, "") if actor.user_id else Target(0, _text(actor.username, LONGEST_NAME, "actor"))
    return WarningReport(report.warning_id, target, step)


def _hold_order(message: pb.ExecuteRequest) -> HoldOrder:
    asked, log = message.hold_message, log_from_proto(message)
    if log is None:
        raise MalformedRequest("log")
    if not message.slug:
        raise MalformedRequest("slug")
    if not asked.text:
        raise MalformedRequest("text")
    author = speaker_from_proto(message.actor)
    held = HeldMessage(
        author=author._replace(username=_text(author.username, LONGEST_NAME, "actor")),
        text=_text(asked.text, LONGEST_MESSAGE, "text"),
        nonce=_text(asked.nonce, _LONGEST_NONCE, "nonce"),
        number=_up_to_largest(asked.number, "number"),
        role=_text(asked.role, _LONGEST_ROLE, "role"),
        reply_to=_up_to_largest(asked.reply_to, "reply_to"),
    )
    slug = _text(message.slug, LONGEST_SLUG, "slug")
    reason_id, reason_name = asked.reason.rule_id, _text(asked.reason.rule_name, LONGEST_RULE_NAME, "reason")
    return HoldOrder(slug, log, held, _up_to_largest(reason_id, "reason"), reason_name)


def _decide_command(message: pb.ExecuteRequest) -> DecideHeldCommand:
    action = _DECISIONS[message.WhichOneof("command") or ""]
    hold_id = message.allow_held.hold_id or message.deny_held.hold_id
    if not message.slug:
        raise MalformedRequest("slug")
    if not 0 < hold_id <= _LARGEST_ID:
        raise MalformedRequest("hold_id")
    return DecideHeldCommand(
        action,
        moderator_from_proto(message.actor),
        _text(message.slug, LONGEST_SLUG, "slug"),
        hold_id,
        _text(message.reason, _LONGEST_REASON, "reason"),
    )


def _undo_command(message: pb.ExecuteRequest) -> UndoCommand:
    action_id = message.undo.action_id
    if not 0 < action_id <= _LARGEST_ID:
        raise MalformedRequest("action_id")
    return UndoCommand(
        moderator=moderator_from_proto(message.actor),
        slug=_text(message.slug, LONGEST_SLUG, "slug"),
        action_id=action_id,
        reason=_text(message.reason, _LONGEST_REASON, "reason"),
        of_all_since_ms=message.undo.of_all_since_ms if message.undo.HasField("of_all_since_ms") else None,
    )


def _user_erasure_command(message: pb.ExecuteRequest) -> EraseUserCommand:
    erase = message.erase_user
    if not 0 < erase.user_id <= _LARGEST_ID:
        raise MalformedRequest("user_id")
    if len(erase.rooms) > MOST_ROOMS:
        raise MalformedRequest("rooms")
    return EraseUserCommand(
        moderator=moderator_from_proto(message.actor),
        user_id=erase.user_id,
        reason=_text(message.reason, _LONGEST_REASON, "reason"),
        rooms=tuple((_text(room.slug, LONGEST_SLUG, "slug"), _log_ref(room.log)) for room in erase.rooms),
        target_rank=_rank(message.target_rank) if message.target_rank else None,
    )


def _revocation_command(message: pb.ExecuteRequest) -> RevocationCommand:
    user_id, before_ms, jti = message.revoke_tokens.user_id, message.revoke_tokens.before_ms, message.revoke_token.jti
    is_of_user = message.HasField("revoke_tokens")
    if is_of_user and not 0 < user_id <= _LARGEST_ID:
        raise MalformedRequest("user_id")
    if not 0 <= before_ms <= _LARGEST_ID:
        raise MalformedRequest("before_ms")
    if not is_of_user and not jti:
        raise MalformedRequest("jti")
    return RevocationCommand(
        moderator=moderator_from_proto(message.actor),
        user_id=user_id,
        jti=_text(jti, LONGEST_JTI, "jti"),
        reason=_text(message.reason, _LONGEST_REASON, "reason"),
        before_ms=before_ms,
        target_rank=_rank(message.target_rank) if message.target_rank else None,
    )


def _policy_changes(message: policy_pb2.PolicyChanges) -> PolicyChanges:
    named = [field.name for field in message.DESCRIPTOR.fields if message.HasField(field.name)]  # type: ignore[arg-type]
    changes: dict[str, Any] = {name: getattr(message, name) for name in named}
    for name, (lowest, highest) in _POLICY_WORDS.items():
        if not lowest <= changes.get(name, lowest) <= highest:
            raise MalformedRequest(name)
    for name in RANGES.keys() & changes.keys():
        if not is_allowed(name, changes[name]):
            raise MalformedRequest(name)
    if "read_only" in changes:
        changes["read_only"] = ReadOnly(changes["read_only"])
    if "links" in changes:
        changes["links"] = Links(changes["links"])
    if not changes:
        raise MalformedRequest("changes")
    return cast(PolicyChanges, changes)


def _rule_command(message: pb.ExecuteRequest) -> SaveRule | DeleteRule:
    moderator, slug = moderator_from_proto(message.actor), slug_from_proto(message.slug)
    reason = _text(message.reason, _LONGEST_REASON, "reason")
    if message.WhichOneof("command") == "delete_rule":
        return DeleteRule(moderator, slug, message.delete_rule.rule_id, reason)
    save = message.save_rule
    return SaveRule(moderator, slug, _rule(save.rule), save.rule_id, reason, secret=_storable(save.secret))


def _rule(message: rules_pb2.Rule) -> Rule:
    """Its texts are bounded, and looked at, by saving_problem."""
    return Rule(
        name=_storable(message.name),
        kind=_offered(RuleKind, message.kind, rules_pb2.RuleKind, "RULE_KIND_"),
        action=_offered(RuleAction, message.action, rules_pb2.RuleAction, "RULE_ACTION_"),
        mode=_offered(RuleMode, message.mode or RuleMode.ON, rules_pb2.RuleMode, "RULE_MODE_"),
        patterns=tuple(map(_storable, message.patterns)),
        allow=tuple(map(_storable, message.allow)),
        threshold=message.threshold,
        mute_minutes=message.mute_minutes,
        exempt_from=_rank(message.exempt_from or Rank.MODERATOR),
        told=_storable(message.told),
        url=_storable(message.url),
        on_failure=_offered(
            OnFailure, message.on_failure or OnFailure.ALLOW, rules_pb2.RuleOnFailure, "RULE_ON_FAILURE_"
        ),
    )


def _offered(kind: type[_Enum], value: int, words: Any, prefix: str) -> _Enum:
    try:
        return kind(value)
    except ValueError:
        word = words.Name(value).removeprefix(prefix) if value in words.values() else str(value)
        raise RuleRefused(f"{word} is not offered") from None


def _role_command(message: pb.ExecuteRequest) -> RoleCommand:
    change = message.set_room_role
    if not message.slug:
        raise MalformedRequest("slug")
    if not 0 < change.target_user_id <= _LARGEST_ID:
        raise MalformedRequest("target_user_id")
    if not 0 <= change.owner_user_id <= _LARGEST_ID:
        raise MalformedRequest("owner_user_id")
    if change.role and int(change.role) not in set(RoomRole):
        raise MalformedRequest("role")
    return RoleCommand(
        moderator=moderator_from_proto(message.actor),
        slug=_text(message.slug, LONGEST_SLUG, "slug"),
        target=Target(change.target_user_id, ""),
        target_rank=_rank(message.target_rank) if message.target_rank else None,
        role=RoomRole(change.role) if change.role else None,
        owner=change.owner_user_id,
        reason=_text(message.reason, _LONGEST_REASON, "reason"),
    )


def log_from_proto(message: pb.ExecuteRequest | pb.GetCaseRequest) -> LogRef | None:
    """Of the life that is meant; None: there is none. Raises MalformedRequest."""
    return _log_ref(message.log) if message.HasField("log") else None


def _log_ref(log: pb.LogRef) -> LogRef:
    if not (0 <= log.partition < _PARTITIONS and log.room_id > 0 and log.life > 0):
        raise MalformedRequest("log")
    return LogRef(log.partition, log.room_id, log.life)


def _target(message: pb.ActRequest | pb.ChangeSanction | pb.PurgeMessages | pb.IssueWarning) -> Target:
    if message.target_user_id < 0 or not (message.target_user_id or message.target_username):
        raise MalformedRequest("target_user_id")
    if message.target_user_id:
        return Target(message.target_user_id, "")
    return Target(0, _text(message.target_username, LONGEST_NAME, "target_username"))


def _up_to_largest(value: int, field: str) -> int:
    if not 0 <= value <= _LARGEST_ID:
        raise MalformedRequest(field)
    return value


def _rank(value: int) -> Rank:
    """Of a target. One of a later version may be higher than any that is known: nobody acts on that one."""
    try:
        return Rank(value)
    except ValueError:
        raise MalformedRequest("rank") from None
