"""Between the contracts of the rooms and moderation services and the words of the edge."""

from collections.abc import Iterable

import structlog

from chassis.logs import LogSummary
from salon.moderation.v1 import moderation_pb2, policy_pb2
from salon.rooms.v1 import rooms_pb2
from ws_edge.ports import (
    AdmissionLimits,
    CommandRefusal,
    CommandRequest,
    CommandResult,
    Decision,
    HoldRefusal,
    HoldRequest,
    HoldResult,
    InForce,
    JoinRefusal,
    Undone,
    Verdict,
    WarningStep,
)
from ws_edge.protocol.codec import rfc3339
from ws_edge.protocol.commands import (
    ChangePolicy,
    ChangeSanction,
    ClearRoom,
    DecideHeld,
    DeleteMessage,
    IssueWarning,
    PinMessage,
    PurgeMessages,
    SetShield,
    UndoAction,
    UnpinMessage,
)
from ws_edge.protocol.holds import Decided, HeldMessage, HoldReason, HoldState
from ws_edge.protocol.identity import (
    ConnectionId,
    Identity,
    Life,
    MessageId,
    Rank,
    RoomId,
    Slug,
    Speaker,
    SpeakerKey,
    UserId,
)
from ws_edge.protocol.log import LogRef, StoredMessage
from ws_edge.protocol.pins import Pin
from ws_edge.protocol.policies import LONGEST_MESSAGE, Links, Policy, ReadOnly, shielded
from ws_edge.protocol.references import ById, BySlug, ByVideo, RoomRef
from ws_edge.protocol.resume_text import FormerParticipant
from ws_edge.protocol.revocations import Revocation
from ws_edge.protocol.roles import RoomRole, RoomRoles
from ws_edge.protocol.rooms import HeldConnection, Joined, Membership, Participant, RoomSnapshot
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope
from ws_edge.protocol.warnings import RoomWarning

_log = structlog.get_logger(__name__)
_skipped = LogSummary(_log, "sanction_not_understood")
_skipped_warnings = LogSummary(_log, "warning_not_understood")

_RANKS = {rank.value: rank for rank in Rank}
_REFUSALS = {
    rooms_pb2.JoinOutcome.RESULT_NOT_FOUND: JoinRefusal.NOT_FOUND,
    rooms_pb2.JoinOutcome.RESULT_ACCESS_DENIED: JoinRefusal.ACCESS_DENIED,
}
UNAVAILABLE = Verdict(Decision.UNAVAILABLE)
"""Moderation said nothing that can be gone by."""
_DECISIONS = {
    moderation_pb2.Verdict.DECISION_ADMITTED: Decision.ADMITTED,
    moderation_pb2.Verdict.DECISION_REPEATED: Decision.REPEATED,
    moderation_pb2.Verdict.DECISION_RATE_LIMITED: Decision.RATE_LIMITED,
    moderation_pb2.Verdict.DECISION_SANCTIONED: Decision.SANCTIONED,
}
_REFUSED_OTHERWISE = {
    moderation_pb2.Verdict.REFUSAL_SLOW_MODE: Decision.SLOW_MODE,
    moderation_pb2.Verdict.REFUSAL_READ_ONLY: Decision.READ_ONLY,
    moderation_pb2.Verdict.REFUSAL_MEMBERS_ONLY: Decision.MEMBERS_ONLY,
    moderation_pb2.Verdict.REFUSAL_ACCOUNT_TOO_NEW: Decision.ACCOUNT_TOO_NEW,
    moderation_pb2.Verdict.REFUSAL_FOLLOW_TOO_SHORT: Decision.FOLLOW_TOO_SHORT,
    moderation_pb2.Verdict.REFUSAL_EMOTE_ONLY: Decision.EMOTE_ONLY,
    moderation_pb2.Verdict.REFUSAL_TOO_LONG: Decision.TOO_LONG,
    moderation_pb2.Verdict.REFUSAL_DUPLICATE: Decision.DUPLICATE,
    moderation_pb2.Verdict.REFUSAL_LINKS: Decision.LINKS,
    moderation_pb2.Verdict.REFUSAL_WARNING_PENDING: Decision.WARNING_PENDING,
    moderation_pb2.Verdict.REFUSAL_BLOCKED: Decision.BLOCKED,
    moderation_pb2.Verdict.REFUSAL_UNJUDGED: Decision.UNJUDGED,
}
_WARNING_STEPS = {
    WarningStep.DELIVER: moderation_pb2.WarningReport.STEP_DELIVER,
    WarningStep.ACKNOWLEDGE: moderation_pb2.WarningReport.STEP_ACKNOWLEDGE,
    WarningStep.LAPSE: moderation_pb2.WarningReport.STEP_LAPSE,
}
_REFUSED = {
    moderation_pb2.ExecuteResponse.OUTCOME_NOT_FOUND: CommandRefusal.NOT_FOUND,
    moderation_pb2.ExecuteResponse.OUTCOME_CANNOT_UNDO: CommandRefusal.CANNOT_UNDO,
    moderation_pb2.ExecuteResponse.OUTCOME_ALREADY_UNDONE: CommandRefusal.ALREADY_UNDONE,
    moderation_pb2.ExecuteResponse.OUTCOME_NOTHING_TO_UNDO: CommandRefusal.NOTHING_TO_UNDO,
    moderation_pb2.ExecuteResponse.OUTCOME_NONCE_TAKEN: CommandRefusal.NONCE_TAKEN,
    moderation_pb2.ExecuteResponse.OUTCOME_ROOM_GONE: CommandRefusal.ROOM_GONE,
}
_HOLD_STATES = {
    moderation_pb2.HOLD_STATE_WAITING: HoldState.WAITING,
    moderation_pb2.HOLD_STATE_ALLOWED: HoldState.ALLOWED,
    moderation_pb2.HOLD_STATE_DENIED: HoldState.DENIED,
    moderation_pb2.HOLD_STATE_EXPIRED: HoldState.EXPIRED,
}
_READ_ONLY = {
    policy_pb2.READ_ONLY_UNSPECIFIED: ReadOnly.NOBODY,
    policy_pb2.READ_ONLY_NOBODY: ReadOnly.NOBODY,
    policy_pb2.READ_ONLY_ANONYMOUS: ReadOnly.ANONYMOUS,
    policy_pb2.READ_ONLY_EVERYONE: ReadOnly.EVERYONE,
}
_READ_ONLY_TO_PROTO = {
    ReadOnly.NOBODY: policy_pb2.READ_ONLY_NOBODY,
    ReadOnly.ANONYMOUS: policy_pb2.READ_ONLY_ANONYMOUS,
    ReadOnly.EVERYONE: policy_pb2.READ_ONLY_EVERYONE,
}
_LINKS = {
    policy_pb2.LINKS_UNSPECIFIED: Links.ALLOW,
    policy_pb2.LINKS_ALLOW: Links.ALLOW,
    policy_pb2.LINKS_HOLD: Links.HOLD,
    policy_pb2.LINKS_REFUSE: Links.REFUSE,
}
_LINKS_TO_PROTO = {
    Links.ALLOW: policy_pb2.LINKS_ALLOW,
    Links.HOLD: policy_pb2.LINKS_HOLD,
    Links.REFUSE: policy_pb2.LINKS_REFUSE,
}
_PLAIN_VERDICTS = {number: Verdict(decision) for number, decision in _DECISIONS.items()}
"""Made once: most verdicts say nothing of waiting."""


def ref_to_proto(ref: RoomRef) -> rooms_pb2.RoomRef:
    """What the client wrote in the path."""
    match ref:
        case ById(room_id):
            return rooms_pb2.RoomRef(room_id=room_id)
        case BySlug(slug):
            return rooms_pb2.RoomRef(slug=slug)
        case ByVideo(video_id):
            return rooms_pb2.RoomRef(video_id=video_id)


def person_to_proto(identity: Identity, into: rooms_pb2.Person | None = None) -> rooms_pb2.Person:
    """Who holds a connection; filled in place where there is a place."""
    person = rooms_pb2.Person() if into is None else into
    if identity.user_id is not None:
        person.user_id = identity.user_id
    person.username = identity.username
    person.rank = _rank_to_rooms(identity.rank)
    return person


def _rank_to_rooms(rank: Rank) -> rooms_pb2.Rank.ValueType:
    """The rooms service knows whose a room is, and one of before knows no such rank."""
    return rooms_pb2.Rank.ValueType(Rank.MODERATOR if rank is Rank.OWNER else rank)


def join_item_to_proto(
    connection: ConnectionId,
    ref: RoomRef,
    identity: Identity,
    revive: Life | None = None,
    former: FormerParticipant | None = None,
) -> rooms_pb2.JoinItem:
    """One connection that wants in."""
    item = rooms_pb2.JoinItem(ref=ref_to_proto(ref))
    item.connection = connection
    person_to_proto(identity, item.person)
    if revive is not None:
        item.revive_life = revive
    if former is not None:
        item.participant_key = f"c:{former.connection}"
        item.participant_life = former.life
        item.participant_username = former.username
    return item


def rank_change_to_proto(connection: ConnectionId, rank: Rank) -> rooms_pb2.RankChange:
    """The new rank of one connection."""
    return rooms_pb2.RankChange(connection=connection, rank=_rank_to_rooms(rank))


def held_to_proto(held: HeldConnection) -> rooms_pb2.HeldConnection:
    """One open connection, to be registered again."""
    return rooms_pb2.HeldConnection(
        connection=held.connection,
        room_id=held.room_id,
        life=held.life,
        slug=held.slug,
        person=person_to_proto(held.identity),
        partition=held.partition,
        participant_key=held.participant_key,
    )


def outcome_from_proto(outcome: rooms_pb2.JoinOutcome) -> Joined | JoinRefusal:
    """A result of a later version is an unavailable room, and so is one without a partition, of a version before."""
    if outcome.result != rooms_pb2.JoinOutcome.RESULT_JOINED or not outcome.HasField("partition"):
        return _REFUSALS.get(outcome.result, JoinRefusal.UNAVAILABLE)
    membership = Membership(
        room_id=RoomId(outcome.room_id),
        life=Life(outcome.life),
        slug=Slug(outcome.slug),
        connection_count=outcome.connection_count,
        version=outcome.version,
        crowded=outcome.crowded,
        partition=outcome.partition,
        owner=UserId(outcome.owner_user_id) if outcome.owner_user_id else None,
        owner_rank=_RANKS.get(outcome.owner_rank or Rank.OWNER, Rank.USER),
        owned_since_ms=outcome.owned_since_ms,
    )
    return Joined(membership, blocked_from_proto(outcome.blocked) if outcome.HasField("blocked") else None)


def blocked_from_proto(blocked: rooms_pb2.Blocked) -> tuple[UserId, ...]:
    """Whom one user has blocked."""
    return tuple(map(UserId, blocked.user_ids))


def snapshot_from_proto(answer: rooms_pb2.ListParticipantsResponse) -> RoomSnapshot:
    """One life of a room."""
    return RoomSnapshot(
        version=answer.version,
        connection_count=answer.connection_count,
        crowded=answer.crowded,
        participants=tuple(_participant_from_proto(person) for person in answer.participants),
        deleted=answer.deleted,
    )


def _participant_from_proto(person: rooms_pb2.Participant) -> Participant:
    user_id = UserId(person.user_id) if person.user_id else None
    return Participant(person.key, user_id, person.username, person.version)


def rank_from_proto(answer: rooms_pb2.FindConnectedResponse) -> Rank | None:
    """Ranks have the edge's numbers; None: not connected, or a rank of a later version."""
    rank = _RANKS.get(answer.rank)
    return max(rank, Rank.OWNER) if rank is not None and answer.owner else rank


def speaker_to_proto(speaker: Speaker, into: moderation_pb2.Speaker | None = None) -> moderation_pb2.Speaker:
    """Who a decision is about; filled in place where there is a place, which costs a third."""
    message = moderation_pb2.Speaker() if into is None else into
    identity = speaker.identity
    if identity.user_id is not None:
        message.user_id = identity.user_id
    message.username = identity.username
    message.address = speaker.address
    message.rank = rank_to_proto(identity.rank)
    message.connection = speaker.connection
    if identity.room_role is not None:
        message.vip = identity.is_vip
        if identity.rank is Rank.OWNER:  # a replica of before takes the number for the highest
            message.rank, message.owner = moderation_pb2.RANK_MODERATOR, True
        if identity.owned_since_ms:
            message.owned_since_ms = identity.owned_since_ms
    return message


def rank_to_proto(rank: Rank | None) -> moderation_pb2.Rank.ValueType:
    """The edge's ranks have the numbers of the contract."""
    return moderation_pb2.Rank.ValueType(0 if rank is None else rank.value)


def limits_from_proto(limits: moderation_pb2.Limits) -> AdmissionLimits:
    """The limits that moderation holds messages to."""
    return AdmissionLimits(
        limits.messages_per_window, limits.window_ms / 1000, limits.messages_per_address, limits.refuse_unjudged
    )


def verdict_from_proto(verdict: moderation_pb2.Verdict) -> Verdict:
    """A decision of a later version is none: unavailable. A refusal by policy or rule that only a later version
    knows is told in the words of the decision that comes with it."""
    if verdict.decision == moderation_pb2.Verdict.DECISION_ADMITTED:
        place = verdict.id if verdict.holds_place else 0
        return Verdict(Decision.ADMITTED, 0, place, verdict.id, verdict.text_open)
    if verdict.refusal == moderation_pb2.Verdict.REFUSAL_HELD:
        place = verdict.id if verdict.holds_place else 0
        reason = HoldReason(verdict.held.rule_id, verdict.held.rule_name)
        return Verdict(Decision.HELD, 0, place, verdict.id, verdict.text_open, held=reason)
    if verdict.text_open:
        return Verdict(_DECISIONS.get(verdict.decision, Decision.UNAVAILABLE), 0, 0, verdict.id, text_open=True)
    if verdict.refusal in _REFUSED_OTHERWISE:
        return Verdict(_REFUSED_OTHERWISE[verdict.refusal], verdict.retry_after_ms, told=verdict.told)
    if not verdict.retry_after_ms:
        return _PLAIN_VERDICTS.get(verdict.decision, UNAVAILABLE)
    return Verdict(_DECISIONS.get(verdict.decision, Decision.UNAVAILABLE), verdict.retry_after_ms)


def policy_from_proto(version: int, policy: policy_pb2.Policy) -> Policy:
    """The policy of a room, with the shield that lies over it; a value of a later version that is unknown here is taken
    for the strictest."""
    kept = _kept_from_proto(version, policy)
    if not policy.HasField("shield"):
        return kept
    return shielded(kept, _kept_from_proto(0, policy.shield.preset), policy.shield.until_ms)


def _kept_from_proto(version: int, policy: policy_pb2.Policy) -> Policy:
    read_only = _READ_ONLY.get(policy.read_only, ReadOnly.EVERYONE)
    return Policy(
        version,
        policy.slow_mode_seconds,
        read_only,
        policy.members_only,
        policy.min_account_minutes,
        policy.min_follow_minutes,
        policy.emote_only,
        policy.max_length or LONGEST_MESSAGE,
        policy.unique,
        _LINKS.get(policy.links, Links.REFUSE),
        policy.shield_automatic,
        policy.max_shown_per_second,
        policy.delay_seconds,
    )


def in_force_from_proto(answer: moderation_pb2.ListActiveResponse) -> InForce:
    """Sanctions of rooms, without those that hold everywhere, which a replica of an older version sends as well, their
    policies, pins and warnings, and which of them have rules that act."""
    sanctions = [sanction for sanction in sanctions_from_proto(answer.sanctions) if sanction.slug is not None]
    policies = {Slug(known.slug): policy_from_proto(known.version, known.policy) for known in answer.policies}
    pins = {Slug(known.slug): (Life(known.life), _pin_from_proto(known)) for known in answer.pins}
    warnings = warnings_from_proto(answer.warnings) if answer.has_warnings else None
    holds = holds_from_proto(answer.holds) if answer.has_holds else None
    ruled = frozenset(map(Slug, answer.ruled_slugs))
    roles = {Slug(known.slug): roles_from_proto(known) for known in answer.roles}
    return InForce(sanctions, policies, pins, warnings, ruled, answer.ruled_everywhere, roles, holds)


def _pin_from_proto(known: moderation_pb2.RoomPin) -> Pin:
    message = None
    if known.HasField("message"):
        said = known.message
        user_id = UserId(said.user_id) if said.user_id else None
        message = StoredMessage(
            MessageId(said.id),
            MessageId(0),
            rfc3339(said.at_ms),
            said.text,
            user_id,
            said.username,
            edge="",
            token=0,
            nonce="",
            reply_to=MessageId(said.reply_to) if said.reply_to else None,
            role=said.role or (Rank.USER.role if user_id else None),
        )
    by = UserId(known.moderator_user_id) if known.moderator_user_id else None
    return Pin(known.version, message, by, rfc3339(known.at_ms))


def revocations_from_proto(revocations: Iterable[moderation_pb2.TokenRevocation]) -> list[Revocation]:
    """What is revoked."""
    return [
        Revocation(
            UserId(one.user_id) if one.user_id else None, one.jti, one.before_ms / 1e3, one.until_ms / 1e3, one.version
        )
        for one in revocations
    ]


def warnings_from_proto(warnings: Iterable[moderation_pb2.Warning]) -> list[RoomWarning]:
    """Those that this version understands: one that a rank of a later version has issued is left out and logged. Needs
    a running event loop."""
    understood = []
    for warning in warnings:
        if warning.moderator_rank in _RANKS:
            understood.append(_warning_from_proto(warning))
        else:
            _skipped_warnings.note(warning=warning.id)
    return understood


def _warning_from_proto(warning: moderation_pb2.Warning) -> RoomWarning:
    return RoomWarning(
        id=warning.id,
        slug=Slug(warning.slug),
        target_user_id=UserId(warning.target_user_id) if warning.target_user_id else None,
        target_username=warning.target_username or None,
        reason=warning.reason,
        moderator_rank=_RANKS[warning.moderator_rank],
        created_at_ms=warning.created_at_ms,
        is_open=warning.open,
        is_delivered=warning.delivered,
    )


def roles_from_proto(message: moderation_pb2.RoomRoles) -> RoomRoles:
    """All roles of a slug."""
    owner = UserId(message.owner_user_id) if message.owner_user_id else None
    by_user = _roles_by_user(message.moderators, message.vips)
    return RoomRoles(
        message.version, owner, by_user, _roles_by_user(message.moderators_of_nobody, message.vips_of_nobody)
    )


def _roles_by_user(moderators: Iterable[int], vips: Iterable[int]) -> dict[UserId, RoomRole]:
    by_user = {UserId(user_id): RoomRole.VIP for user_id in vips}
    return by_user | {UserId(user_id): RoomRole.MODERATOR for user_id in moderators}


def holds_from_proto(holds: Iterable[moderation_pb2.Hold]) -> list[HeldMessage]:
    """Those whose state this version understands."""
    return [_hold_from_proto(hold) for hold in holds if hold.state in _HOLD_STATES]


def _hold_from_proto(hold: moderation_pb2.Hold) -> HeldMessage:
    return HeldMessage(
        id=hold.id,
        slug=Slug(hold.slug),
        life=Life(hold.life),
        user_id=UserId(hold.user_id) if hold.user_id else None,
        username=hold.username,
        connection=hold.connection,
        nonce=hold.nonce,
        number=hold.number,
        state=_HOLD_STATES[hold.state],
        expires_at_ms=hold.expires_at_ms,
        decided_by=UserId(hold.decided_by) if hold.decided_by else None,
        decided_at_ms=hold.decided_at_ms,
    )


def log_to_proto(log: LogRef) -> moderation_pb2.LogRef:
    """Where the entries of a life are."""
    return moderation_pb2.LogRef(partition=log.partition, room_id=log.room_id, life=log.life)


def hold_to_proto(request: HoldRequest) -> moderation_pb2.ExecuteRequest:
    """A message that is to wait."""
    asked = moderation_pb2.HoldMessage(
        text=request.text,
        nonce=request.nonce,
        number=request.number,
        role=request.author.identity.role or "",
        reply_to=request.reply_to or 0,
        reason=moderation_pb2.HoldReason(rule_id=request.reason.rule_id, rule_name=request.reason.rule_name),
    )
    return moderation_pb2.ExecuteRequest(
        actor=speaker_to_proto(request.author),
        slug=request.slug,
        log=log_to_proto(request.log),
        hold_message=asked,
    )


def held_from_proto(answer: moderation_pb2.ExecuteResponse) -> HoldResult | HoldRefusal | None:
    """What became of it; None: nothing that this version understands."""
    if answer.outcome == moderation_pb2.ExecuteResponse.OUTCOME_HOLD_FULL:
        return HoldRefusal.FULL
    if answer.outcome == moderation_pb2.ExecuteResponse.OUTCOME_NOT_PERMITTED:
        return HoldRefusal.BANNED
    if answer.outcome != moderation_pb2.ExecuteResponse.OUTCOME_DONE or answer.hold.state not in _HOLD_STATES:
        return None
    entry_id = MessageId(answer.entry_id) if answer.entry_id else None
    return HoldResult(_hold_from_proto(answer.hold), answer.repeated, entry_id)


def request_to_proto(request: CommandRequest) -> moderation_pb2.ExecuteRequest:
    """A command with who gives it and where."""
    message = moderation_pb2.ExecuteRequest(
        actor=speaker_to_proto(request.actor),
        slug=request.slug,
        log=log_to_proto(request.log),
        nonce=request.nonce,
        reason=request.reason,
        edge=request.edge,
        token=request.token,
        target_rank=rank_to_proto(request.target_rank),
    )
    match request.command:
        case ChangeSanction() as change:
            message.change_sanction.CopyFrom(_sanction_change_to_proto(change))
        case DeleteMessage(message_id):
            message.delete_message.message_id = message_id
        case PurgeMessages(target):
            message.purge_messages.target_user_id = target.user_id or 0
            message.purge_messages.target_username = target.username or ""
        case ClearRoom():
            message.clear_room.SetInParent()
        case PinMessage(message_id) | UnpinMessage(message_id) as pin:
            (message.pin if isinstance(pin, PinMessage) else message.unpin).message_id = message_id
        case IssueWarning(target):
            message.issue_warning.target_user_id = target.user_id or 0
            message.issue_warning.target_username = target.username or ""
        case ChangePolicy() as policy:
            message.change_policy.CopyFrom(_policy_changes_to_proto(policy))
        case SetShield(minutes):
            message.shield.CopyFrom(moderation_pb2.SetShield(on=minutes > 0, minutes=minutes))
        case UndoAction() | DecideHeld() as command:
            _name_what_is_meant(command, message)
    return message


def _name_what_is_meant(command: UndoAction | DecideHeld, message: moderation_pb2.ExecuteRequest) -> None:
    if isinstance(command, UndoAction):
        message.undo.action_id = command.action_id
    elif command.allows:
        message.allow_held.hold_id = command.hold_id
    else:
        message.deny_held.hold_id = command.hold_id


def warning_report_to_proto(
    speaker: Speaker, slug: Slug, warning_id: int, step: WarningStep
) -> moderation_pb2.ExecuteRequest:
    """What happened to a warning of the speaker."""
    report = moderation_pb2.WarningReport(warning_id=warning_id, step=_WARNING_STEPS[step])
    return moderation_pb2.ExecuteRequest(actor=speaker_to_proto(speaker), slug=slug, report_warning=report)


def _policy_changes_to_proto(policy: ChangePolicy) -> policy_pb2.PolicyChanges:
    read_only = None if policy.read_only is None else _READ_ONLY_TO_PROTO[policy.read_only]
    return policy_pb2.PolicyChanges(
        slow_mode_seconds=policy.slow_mode_seconds,
        read_only=read_only,
        members_only=policy.members_only,
        min_account_minutes=policy.min_account_minutes,
        min_follow_minutes=policy.min_follow_minutes,
        emote_only=policy.emote_only,
        max_length=policy.max_length,
        unique=policy.unique,
        links=None if policy.links is None else _LINKS_TO_PROTO[policy.links],
        shield_automatic=policy.shield_automatic,
        max_shown_per_second=policy.max_shown_per_second,
        delay_seconds=policy.delay_seconds,
    )


def speaker_key_to_proto(key: SpeakerKey) -> moderation_pb2.SpeakerKey:
    """Whose window it is."""
    if isinstance(key, int):
        return moderation_pb2.SpeakerKey(user_id=key)
    return moderation_pb2.SpeakerKey(address=key)


def speaker_key_from_proto(message: moderation_pb2.SpeakerKey) -> SpeakerKey:
    """The same."""
    return UserId(message.user_id) if message.user_id else message.address


def claims_to_proto(identity: Identity, into: moderation_pb2.MessageCheck) -> None:
    """What a policy may go by, where the token says anything of it."""
    if identity.member:
        into.claims.member = True
    if identity.account_created_at_s is not None:
        into.claims.account_created_at_s = identity.account_created_at_s
    if identity.following_since_s is not None:
        into.claims.following_since_s = identity.following_since_s


def _sanction_change_to_proto(change: ChangeSanction) -> moderation_pb2.ChangeSanction:
    return moderation_pb2.ChangeSanction(
        action=moderation_pb2.Action.ValueType(change.action.value),
        target_user_id=change.target.user_id or 0,
        target_username=change.target.username or "",
        scope=moderation_pb2.Scope.ValueType(change.scope.value),
        duration_minutes=change.duration_minutes,
        purge=change.purge,
    )


def result_from_proto(answer: moderation_pb2.ExecuteResponse) -> CommandResult | CommandRefusal | Decided:
    """What a command came to; an outcome of a later version is a refusal."""
    if answer.outcome == moderation_pb2.ExecuteResponse.OUTCOME_HOLD_DECIDED and answer.hold.state in _HOLD_STATES:
        by = UserId(answer.hold.decided_by) if answer.hold.decided_by else None
        return Decided(_HOLD_STATES[answer.hold.state], by)
    if answer.outcome != moderation_pb2.ExecuteResponse.OUTCOME_DONE:
        return _REFUSED.get(answer.outcome, CommandRefusal.NOT_PERMITTED)
    event = event_from_proto(answer.event) if answer.HasField("event") else None
    undone = None
    if answer.HasField("undone"):
        undone = Undone(answer.undone.action_id, tuple(answer.undone.not_undone), answer.undone.brings_entry)
    entry_id = MessageId(answer.entry_id) if answer.entry_id else None
    warning = reported_warning_from_proto(answer)
    hold = holds_from_proto([answer.hold] if answer.HasField("hold") else [])
    policy = policy_from_proto(answer.policy.version, answer.policy.policy) if answer.HasField("policy") else None
    return CommandResult(
        event,
        entry_id,
        answer.repeated,
        warning,
        answer.action_id,
        undone,
        hold[0] if hold else None,
        policy,
        answer.at_ms,
    )


def reported_warning_from_proto(answer: moderation_pb2.ExecuteResponse) -> RoomWarning | None:
    """The warning that an answer is about; None: none, or one that is not understood."""
    found = warnings_from_proto([answer.warning] if answer.HasField("warning") else [])
    return found[0] if found else None


def act_to_proto(request: CommandRequest, change: ChangeSanction) -> moderation_pb2.ActRequest:
    """The same for a moderation service of before, which knows no other commands."""
    return moderation_pb2.ActRequest(
        moderator=speaker_to_proto(request.actor),
        action=moderation_pb2.Action.ValueType(change.action.value),
        target_user_id=change.target.user_id or 0,
        target_username=change.target.username or "",
        target_rank=rank_to_proto(Rank.MODERATOR if request.target_rank is Rank.OWNER else request.target_rank),
        scope=moderation_pb2.Scope.ValueType(change.scope.value),
        slug=request.slug,
        duration_minutes=change.duration_minutes,
        reason=request.reason,
    )


def act_from_proto(answer: moderation_pb2.ActResponse) -> CommandResult | CommandRefusal:
    """Its answer."""
    if not answer.permitted:
        return CommandRefusal.NOT_PERMITTED
    return CommandResult(event_from_proto(answer.event), None, is_repeated=False)


def sanctions_from_proto(sanctions: Iterable[moderation_pb2.Sanction]) -> list[Sanction]:
    """Those that this version understands: one with an action, scope or rank of a later version is left out and logged,
    the others hold. Needs a running event loop."""
    understood = []
    for sanction in sanctions:
        try:
            understood.append(_sanction_from_proto(sanction))
        except ValueError as reason:
            _skipped.note(sanction=sanction.id, reason=str(reason))
    return understood


def _sanction_from_proto(sanction: moderation_pb2.Sanction) -> Sanction:
    return Sanction(
        id=sanction.id,
        action=Action(sanction.action),
        target_user_id=UserId(sanction.target_user_id) if sanction.target_user_id else None,
        target_username=sanction.target_username or None,
        addresses=frozenset(sanction.addresses),
        slug=None if Scope(sanction.scope) is Scope.EVERYWHERE else Slug(sanction.slug),
        moderator_rank=Rank(sanction.moderator_rank),
        expires_at_s=sanction.expires_at_ms / 1000 if sanction.expires_at_ms else None,
    )


def event_from_proto(event: moderation_pb2.SanctionEvent) -> SanctionEvent:
    """Leaves out what sanctions_from_proto leaves out. Raises ValueError where what the moderator did is an action or
    scope of a later version."""
    return SanctionEvent(
        event_id=event.event_id,
        action=Action(event.action),
        target_user_id=UserId(event.target_user_id) if event.target_user_id else None,
        target_username=event.target_username or None,
        moderator_user_id=UserId(event.moderator_user_id),
        duration_minutes=event.duration_minutes,
        scope=Scope(event.scope),
        slug=Slug(event.slug) if event.slug else None,
        at_ms=event.at_ms,
        imposed=tuple(sanctions_from_proto(event.imposed)),
        lifted_ids=tuple(event.lifted_ids),
        silent=event.silent,
        edge=event.edge,
        token=event.token,
    )
