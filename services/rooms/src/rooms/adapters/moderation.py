"""The Moderation port over gRPC: any replica answers, and one that is away makes no call fail.

Where one address is given, such as a name with several replicas behind it, gRPC shares the calls among them and sends
again what one of them did not take. A list of addresses is tried in turn here, beginning with the one that answered
last: gRPC takes several names for no target (`dns:` looks up one, `ipv4:` takes numbers alone), and of several numbers
it would ask one that hangs again and again, each time until the deadline.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import TypeVar

import grpc
import grpc.aio
import structlog

from chassis.grpc_channel import open_channel, retry_policy
from chassis.grpc_security import GrpcSecurity
from chassis.traces import trace_headers
from rooms.adapters.case_convert import (
    decision_to_proto,
    message_from_proto,
    note_from_proto,
    report_from_proto,
    report_state_to_proto,
    request_state_to_proto,
    time_from_proto,
    unban_request_from_proto,
    warning_from_proto,
)
from rooms.domain.audit import AuditEntry, AuditQuery, PolicyFieldChange, RoomLog, Undoable, Undone, Verification
from rooms.domain.cases import Case, Note
from rooms.domain.holds import HeldMessage
from rooms.domain.people import Rank, Slug, UserId, Viewer
from rooms.domain.reports import Report, ReportResolution, ReportState
from rooms.domain.roles import RoleHolder, RolePage, RoomRole
from rooms.domain.rules import (
    KeptRule,
    Rule,
    RuleAction,
    RuleExemption,
    RuleHit,
    RuleKind,
    RuleMode,
    RuleOnFailure,
    TextHit,
    TriedText,
)
from rooms.domain.sanctions import Sanction, SanctionAction, SanctionScope, Target
from rooms.domain.tokens import RevokedTokens
from rooms.domain.unban_requests import UnbanDecision, UnbanRequest, UnbanRequestState
from rooms.errors import (
    ActionNotFound,
    AlreadyDecided,
    AlreadyRequested,
    AlreadyUndone,
    CannotUndo,
    InvalidInput,
    ModerationUnavailable,
    NoteNotFound,
    NothingToUndo,
    NotPermitted,
    Refusal,
    ReportNotFound,
    RequestedTooSoon,
    RuleNotFound,
    SanctionNotFound,
    TooManyNotes,
    TooManyRevocations,
    TooManyRoles,
    UnbanRequestNotFound,
)
from rooms.ports import RoleChange
from salon.moderation.v1 import (
    cases_pb2,
    moderation_pb2 as pb,
    moderation_pb2_grpc,
    reports_pb2,
    rules_pb2,
    unban_requests_pb2,
)

_ALL_REPLICAS_S = 4.0
"""For all of them together: a GraphQL request has 5 s."""
_DEADLINE_S = 2.0
"""At most, for one replica."""
_ATTEMPTS = 4
"""Of a call, where one address is all."""
_SLUGS_A_CALL = 1000
_TARGETS_A_CALL = 1000
_RANKS = {int(rank): rank for rank in Rank}
_T = TypeVar("_T")
_ROLES = {pb.ROOM_ROLE_MODERATOR: RoomRole.MODERATOR, pb.ROOM_ROLE_VIP: RoomRole.VIP}
_ROLES_TO_PROTO = {
    None: pb.ROOM_ROLE_UNSPECIFIED,
    RoomRole.MODERATOR: pb.ROOM_ROLE_MODERATOR,
    RoomRole.VIP: pb.ROOM_ROLE_VIP,
}
_log = structlog.get_logger()
_REFUSALS: dict[grpc.StatusCode, type[Refusal]] = {
    grpc.StatusCode.NOT_FOUND: SanctionNotFound,
    grpc.StatusCode.PERMISSION_DENIED: NotPermitted,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
}
"""What any replica would answer."""
_OUTCOMES: dict[pb.ExecuteResponse.Outcome.ValueType, type[Refusal]] = {
    pb.ExecuteResponse.OUTCOME_CANNOT_UNDO: CannotUndo,
    pb.ExecuteResponse.OUTCOME_ALREADY_UNDONE: AlreadyUndone,
    pb.ExecuteResponse.OUTCOME_NOTHING_TO_UNDO: NothingToUndo,
    pb.ExecuteResponse.OUTCOME_TOO_MANY_ROLES: TooManyRoles,
    pb.ExecuteResponse.OUTCOME_ALREADY_REQUESTED: AlreadyRequested,
    pb.ExecuteResponse.OUTCOME_TOO_MANY_NOTES: TooManyNotes,
    pb.ExecuteResponse.OUTCOME_TOO_MANY_REVOCATIONS: TooManyRevocations,
}
_KINDS = {rules_pb2.RuleKind.Value(f"RULE_KIND_{kind.name}"): kind for kind in RuleKind}
_ACTIONS = {rules_pb2.RuleAction.Value(f"RULE_ACTION_{action.name}"): action for action in RuleAction}
_MODES = {rules_pb2.RuleMode.Value(f"RULE_MODE_{mode.name}"): mode for mode in RuleMode}
_ON_FAILURE = {rules_pb2.RuleOnFailure.Value(f"RULE_ON_FAILURE_{each.name}"): each for each in RuleOnFailure}
_NUMBERS = {each: number for number, each in _ON_FAILURE.items()}
_EXEMPTIONS = {rules_pb2.RuleExemption.Value(f"RULE_EXEMPTION_{each.name}"): each for each in RuleExemption}


class GrpcModeration:
    """Construct inside a running loop; end with `close`. `addresses`: host:port, or other targets of gRPC."""

    def __init__(self, addresses: Sequence[str], security: GrpcSecurity | None = None) -> None:
        secured = security or GrpcSecurity()
        options = [retry_policy(_ATTEMPTS)] if len(addresses) == 1 else []
        self._channels = [open_channel(address, secured, options=options) for address in addresses]
        self._stubs = [moderation_pb2_grpc.ModerationServiceStub(channel) for channel in self._channels]
        self._deadline_s = min(_DEADLINE_S, _ALL_REPLICAS_S / len(self._stubs))
        self._first = 0

    async def close(self) -> None:
        """Drop the connections."""
        for channel in self._channels:
            await channel.close()

    async def list_active(self, slugs: Sequence[Slug], targets: Sequence[Target]) -> list[Sanction]:
        """See ports.Moderation. A replica of an older version answers with those of all others as well."""
        found: dict[int, Sanction] = {}
        for some, aimed in product(_parts(slugs, _SLUGS_A_CALL), _parts(targets, _TARGETS_A_CALL)):
            request = pb.ListActiveRequest(
                slugs=some,
                target_user_ids=[target.user_id for target in aimed if target.user_id is not None],
                target_usernames=[target.username for target in aimed if target.username is not None],
                without_addresses=True,
            )
            answer = await self._ask(
                lambda stub, r=request: stub.ListActive(r, timeout=self._deadline_s, metadata=_trace())  # type: ignore[misc] # mypy cannot infer a lambda's default
            )
            found |= {sanction.id: _sanction_from_proto(sanction) for sanction in answer.sanctions}
        return list(found.values())

    async def list_sanctions(
        self, *, slug: Slug | None, active: bool, first: int, before_id: int | None
    ) -> list[Sanction]:
        """The history, newest first."""
        if first == 0:
            return []
        request = pb.ListSanctionsRequest(slug=slug or "", active=active, first=first, before_id=before_id or 0)
        answer = await self._ask(lambda stub: stub.ListSanctions(request, timeout=self._deadline_s, metadata=_trace()))
        return [_sanction_from_proto(sanction) for sanction in answer.sanctions]

    async def lift_sanction(self, sanction_id: int, viewer: Viewer) -> Sanction:
        """End one sanction."""
        request = pb.LiftSanctionRequest(id=sanction_id, moderator=_speaker(viewer))
        answer = await self._ask(lambda stub: stub.LiftSanction(request, timeout=self._deadline_s, metadata=_trace()))
        return _sanction_from_proto(answer.sanction)

    async def list_audit(
        self, reader: Viewer, query: AuditQuery, *, first: int, before_id: int | None
    ) -> list[AuditEntry]:
        """What was done, newest first."""
        request = pb.ListAuditRequest(
            reader=_speaker(reader),
            slug=query.slug or "",
            actor_user_id=query.actor_user_id or 0,
            target_user_id=query.target_user_id or 0,
            target_username=query.target_username or "",
            action=query.action or "",
            first=first,
            before_id=before_id or 0,
        )
        answer = await self._ask(lambda stub: stub.ListAudit(request, timeout=self._deadline_s, metadata=_trace()))
        return [_audit_from_proto(entry) for entry in answer.entries]

    async def verify_audit(self, reader: Viewer, slug: Slug | None, *, after_id: int | None) -> Verification:
        """Check a part of a chain."""
        request = pb.VerifyAuditRequest(reader=_speaker(reader), slug=slug or "", after_id=after_id or 0)
        answer = await self._ask(lambda stub: stub.VerifyAudit(request, timeout=self._deadline_s, metadata=_trace()))
        return Verification(
            checked=answer.checked,
            broken_id=answer.broken_id or None,
            problem=answer.problem or None,
            last_id=answer.last_id or None,
            last_digest=answer.last_digest or None,
            more=answer.more,
            unchained=answer.unchained,
        )

    async def list_undoable(
        self, reader: Viewer, actor_user_id: UserId, *, since_ms: int, before_id: int | None
    ) -> Undoable:
        """What is to be undone of somebody's."""
        request = pb.ListUndoableRequest(
            reader=_speaker(reader), actor_user_id=actor_user_id, since_ms=since_ms, before_id=before_id or 0
        )
        answer = await self._ask(lambda stub: stub.ListUndoable(request, timeout=self._deadline_s, metadata=_trace()))
        actions = tuple((action.action_id, Slug(action.slug) if action.slug else None) for action in answer.actions)
        lasting = frozenset(action.action_id for action in answer.actions if action.is_lasting)
        return Undoable(actions, answer.left, answer.last_id or None, lasting)

    async def undo(
        self,
        viewer: Viewer,
        action_id: int,
        slug: Slug | None,
        log: RoomLog | None,
        *,
        of_all_since_ms: int | None = None,
    ) -> Undone:
        """Undo an action."""
        request = pb.ExecuteRequest(
            actor=_speaker(viewer),
            slug=slug or "",
            log=None if log is None else _log_to_proto(log),
            undo=pb.UndoAction(action_id=action_id, of_all_since_ms=of_all_since_ms),
        )
        answer = await self._execute(request, not_found=ActionNotFound)
        return Undone(answer.action_id, answer.undone.action_id, tuple(answer.undone.not_undone))

    async def revoke_tokens(
        self, viewer: Viewer, user_id: UserId, rank: Rank | None, *, before: datetime | None, reason: str
    ) -> RevokedTokens:
        """See ports.Moderation."""
        before_ms = 0 if before is None else max(1, int(before.timestamp() * 1000))
        request = pb.ExecuteRequest(
            actor=_speaker(viewer),
            reason=reason,
            target_rank=pb.Rank.ValueType(rank or 0),
            revoke_tokens=pb.RevokeTokens(user_id=user_id, before_ms=before_ms),
        )
        return _revoked_from_proto(await self._execute(request))

    async def revoke_token(self, viewer: Viewer, jti: str, *, reason: str) -> RevokedTokens:
        """See ports.Moderation."""
        revoke = pb.RevokeToken(jti=jti)
        answer = await self._execute(pb.ExecuteRequest(actor=_speaker(viewer), reason=reason, revoke_token=revoke))
        return _revoked_from_proto(answer)

    async def erase_user(
        self, viewer: Viewer, user_id: UserId, rank: Rank | None, rooms: Sequence[tuple[Slug, RoomLog]], *, reason: str
    ) -> int:
        """See ports.Moderation."""
        erase = pb.EraseUser(user_id=user_id)
        for slug, log in rooms:
            erase.rooms.add(slug=slug, log=_log_to_proto(log))
        request = pb.ExecuteRequest(
            actor=_speaker(viewer),
            reason=reason,
            target_rank=pb.Rank.ValueType(rank or 0),
            erase_user=erase,
        )
        return (await self._execute(request)).action_id

    async def list_rules(self, slug: Slug | None, viewer: Viewer) -> list[KeptRule]:
        """See ports.Moderation."""
        request = pb.ListRulesRequest(actor=_speaker(viewer), slug=slug or "")
        answer = await self._ask(lambda stub: stub.ListRules(request, timeout=self._deadline_s, metadata=_trace()))
        return [_kept_from_proto(kept) for kept in answer.rules if _is_known(kept)]

    async def make_rule(self, slug: Slug | None, rule: Rule, viewer: Viewer) -> KeptRule:
        """See ports.Moderation."""
        change = pb.SaveRule(rule=_rule_to_proto(rule), secret=rule.secret)
        return await self._save(pb.ExecuteRequest(actor=_speaker(viewer), slug=slug or "", save_rule=change))

    async def replace_rule(self, rule_id: int, rule: Rule, viewer: Viewer) -> KeptRule:
        """See ports.Moderation."""
        change = pb.SaveRule(rule_id=rule_id, rule=_rule_to_proto(rule), secret=rule.secret)
        return await self._save(pb.ExecuteRequest(actor=_speaker(viewer), save_rule=change))

    async def _save(self, request: pb.ExecuteRequest) -> KeptRule:
        answer = await self._execute(request, not_found=RuleNotFound)
        if not answer.HasField("rule"):  # deleted by somebody else, before this was asked again
            raise RuleNotFound
        return _kept_from_proto(answer.rule)

    async def delete_rule(self, rule_id: int, viewer: Viewer) -> None:
        """See ports.Moderation."""
        change = pb.DeleteRule(rule_id=rule_id)
        await self._execute(pb.ExecuteRequest(actor=_speaker(viewer), delete_rule=change), not_found=RuleNotFound)

    async def try_text(self, slug: Slug | None, text: str, viewer: Viewer) -> TriedText:
        """See ports.Moderation."""
        request = pb.TestTextRequest(actor=_speaker(viewer), slug=slug or "", text=text)
        answer = await self._ask(lambda stub: stub.TestText(request, timeout=self._deadline_s, metadata=_trace()))
        hits = [
            TextHit(hit.rule_id, hit.rule_name, hit.pattern or None, _ACTIONS[hit.action], _MODES[hit.mode])
            for hit in answer.hits
            if hit.action in _ACTIONS and hit.mode in _MODES
        ]
        return TriedText(hits, answer.decisive_rule_id or None)

    async def list_rule_hits(self, rule_id: int, viewer: Viewer, *, first: int, before_id: int | None) -> list[RuleHit]:
        """See ports.Moderation."""
        actor, before = _speaker(viewer), before_id or 0
        request = pb.ListRuleHitsRequest(actor=actor, rule_id=rule_id, first=first, before_id=before)
        answer = await self._ask(
            lambda stub: stub.ListRuleHits(request, timeout=self._deadline_s, metadata=_trace()), not_found=RuleNotFound
        )
        return [_hit_from_proto(hit) for hit in answer.hits if hit.action in _ACTIONS]

    async def set_role(self, change: RoleChange) -> RoleHolder | None:
        """Give a role, or take it back."""
        request = pb.ExecuteRequest(
            actor=_speaker(change.by),
            slug=change.slug,
            target_rank=pb.Rank.ValueType(change.rank or 0),
            set_room_role=pb.SetRoomRole(
                target_user_id=change.user_id,
                role=_ROLES_TO_PROTO[change.role],
                owner_user_id=change.owner or 0,
            ),
        )
        answer = await self._execute(request)
        return next(iter(_holders_from_proto([answer.role] if answer.HasField("role") else [])), None)

    async def list_roles(
        self, slug: Slug, *, first: int, after: int | None = None, user_id: UserId | None = None
    ) -> RolePage:
        """A page of the roles of a slug."""
        request = pb.ListRoomRolesRequest(slug=slug, first=first, after_user_id=after or 0, user_id=user_id or 0)
        answer = await self._ask(lambda stub: stub.ListRoomRoles(request, timeout=self._deadline_s, metadata=_trace()))
        owner = UserId(answer.owner_user_id) if answer.owner_user_id else None
        of_nobody = _holders_from_proto(answer.holders_of_nobody)
        return RolePage(owner, _holders_from_proto(answer.holders), of_nobody)

    async def list_reports(
        self, reader: Viewer, *, slug: Slug | None, state: ReportState | None, first: int, before_id: int | None
    ) -> list[Report]:
        """See ports.Moderation."""
        request = pb.ListReportsRequest(
            reader=_speaker(reader),
            slug=slug or "",
            state=report_state_to_proto(state),
            first=first,
            before_id=before_id or 0,
        )
        answer = await self._ask(lambda stub: stub.ListReports(request, timeout=self._deadline_s, metadata=_trace()))
        return [report_from_proto(report) for report in answer.reports]

    async def slug_of_report(self, report_id: int) -> Slug:
        """See ports.Moderation."""
        return await self._find_slug(pb.FindSlugRequest(report_id=report_id), ReportNotFound)

    async def resolve_report(
        self, by: Viewer, slug: Slug, report_id: int, resolution: ReportResolution, reason: str
    ) -> Report:
        """See ports.Moderation."""
        asked = reports_pb2.ResolveReport(report_id=report_id, resolution=report_state_to_proto(resolution))
        request = pb.ExecuteRequest(actor=_speaker(by), slug=slug, reason=reason, resolve_report=asked)
        return report_from_proto((await self._execute(request, not_found=ReportNotFound)).report)

    async def request_unban(self, by: Viewer, sanction_id: int, text: str) -> UnbanRequest:
        """See ports.Moderation."""
        asked = unban_requests_pb2.RequestUnban(sanction_id=sanction_id, text=text)
        request = pb.ExecuteRequest(actor=_speaker(by), request_unban=asked)
        return unban_request_from_proto((await self._execute(request, not_found=SanctionNotFound)).unban_request)

    async def list_unban_requests(
        self,
        reader: Viewer,
        *,
        slug: Slug | None,
        state: UnbanRequestState | None,
        mine: bool,
        first: int,
        before_id: int | None,
    ) -> list[UnbanRequest]:
        """See ports.Moderation."""
        request = pb.ListUnbanRequestsRequest(
            reader=_speaker(reader),
            slug=slug or "",
            state=request_state_to_proto(state),
            mine=mine,
            first=first,
            before_id=before_id or 0,
        )
        answer = await self._ask(
            lambda stub: stub.ListUnbanRequests(request, timeout=self._deadline_s, metadata=_trace())
        )
        return [unban_request_from_proto(each) for each in answer.requests]

    async def slug_of_unban_request(self, request_id: int) -> Slug | None:
        """See ports.Moderation."""
        return await self._find_slug(pb.FindSlugRequest(unban_request_id=request_id), UnbanRequestNotFound) or None

    async def decide_unban_request(
        self, by: Viewer, slug: Slug | None, request_id: int, decision: UnbanDecision, note: str
    ) -> UnbanRequest:
        """See ports.Moderation."""
        decided = unban_requests_pb2.DecideUnbanRequest(
            unban_request_id=request_id, decision=decision_to_proto(decision)
        )
        request = pb.ExecuteRequest(actor=_speaker(by), slug=slug or "", reason=note, decide_unban_request=decided)
        return unban_request_from_proto((await self._execute(request, not_found=UnbanRequestNotFound)).unban_request)

    async def get_case(
        self, reader: Viewer, slug: Slug, target: Target, log: RoomLog | None, *, token_rank: Rank
    ) -> Case:
        """See ports.Moderation."""
        request = pb.GetCaseRequest(
            reader=_speaker(reader),
            slug=slug,
            user_id=target.user_id or 0,
            username=target.username or "",
            log=None if log is None else _log_to_proto(log),
            token_rank=pb.Rank.ValueType(token_rank),
        )
        answer = await self._ask(lambda stub: stub.GetCase(request, timeout=self._deadline_s, metadata=_trace()))
        return Case(
            sanctions=[_sanction_from_proto(sanction) for sanction in answer.sanctions],
            warnings=[warning_from_proto(warning) for warning in answer.warnings],
            notes=[note_from_proto(note) for note in answer.notes],
            reports=[report_from_proto(report) for report in answer.reports],
            names=tuple(answer.names),
            first_seen=time_from_proto(answer.first_seen_ms) if answer.first_seen_ms else None,
            last_seen=time_from_proto(answer.last_seen_ms) if answer.last_seen_ms else None,
            messages=None if answer.without_messages else [message_from_proto(each) for each in answer.messages],
        )

    async def add_note(self, by: Viewer, slug: Slug, target: Target, text: str) -> Note:
        """See ports.Moderation."""
        added = cases_pb2.AddNote(target_user_id=target.user_id or 0, target_username=target.username or "", text=text)
        answer = await self._execute(pb.ExecuteRequest(actor=_speaker(by), slug=slug, add_note=added))
        if not answer.HasField("note"):  # deleted by somebody else, before this was asked again
            raise NoteNotFound
        return note_from_proto(answer.note)

    async def slug_of_note(self, note_id: int) -> Slug:
        """See ports.Moderation."""
        return await self._find_slug(pb.FindSlugRequest(note_id=note_id), NoteNotFound)

    async def delete_note(self, by: Viewer, slug: Slug, note_id: int) -> None:
        """See ports.Moderation."""
        deleted = cases_pb2.DeleteNote(note_id=note_id)
        request = pb.ExecuteRequest(actor=_speaker(by), slug=slug, delete_note=deleted)
        await self._execute(request, not_found=NoteNotFound)

    async def _find_slug(self, request: pb.FindSlugRequest, not_found: type[Refusal]) -> Slug:
        answer = await self._ask(
            lambda stub: stub.FindSlug(request, timeout=self._deadline_s, metadata=_trace()), not_found=not_found
        )
        return Slug(answer.slug)

    async def list_held(self, slug: Slug, reader: Viewer, *, first: int, before_id: int | None) -> list[HeldMessage]:
        """See ports.Moderation."""
        request = pb.ListHeldRequest(reader=_speaker(reader), slug=slug, first=first, before_id=before_id or 0)
        answer = await self._ask(lambda stub: stub.ListHeld(request, timeout=self._deadline_s, metadata=_trace()))
        return [_held_from_proto(hold) for hold in answer.holds]

    async def _execute(
        self, request: pb.ExecuteRequest, *, not_found: type[Refusal] = NotPermitted
    ) -> pb.ExecuteResponse:
        """With a nonce, so that a command which is sent to another replica as well is carried out once."""
        request.nonce = secrets.token_hex(16)
        answer = await self._ask(lambda stub: stub.Execute(request, timeout=self._deadline_s, metadata=_trace()))
        if answer.outcome == pb.ExecuteResponse.OUTCOME_RULE_REFUSED:
            raise InvalidInput(answer.problem)
        if answer.outcome == pb.ExecuteResponse.OUTCOME_NOT_FOUND:
            raise not_found
        if answer.outcome == pb.ExecuteResponse.OUTCOME_ALREADY_DECIDED:
            raise AlreadyDecided.by(answer.decided_by_user_id)
        if answer.outcome == pb.ExecuteResponse.OUTCOME_REQUESTED_TOO_SOON:
            raise RequestedTooSoon.again_in(answer.retry_after_ms)
        if answer.outcome != pb.ExecuteResponse.OUTCOME_DONE:
            raise _OUTCOMES.get(answer.outcome, NotPermitted)
        return answer

    async def _ask(
        self,
        call: Callable[["moderation_pb2_grpc.ModerationServiceAsyncStub"], Awaitable[_T]],
        *,
        not_found: type[Refusal] = SanctionNotFound,
    ) -> _T:
        """What is done twice is done once, so every call may be tried on the next address."""
        for place in [*range(self._first, len(self._stubs)), *range(self._first)]:
            try:
                answer = await call(self._stubs[place])
            except grpc.aio.AioRpcError as problem:
                if refusal := _REFUSALS.get(problem.code()):
                    self._first = place
                    raise (not_found if refusal is SanctionNotFound else refusal) from None
                _log.warning("moderation_away", status=problem.code().name)
            else:
                self._first = place
                return answer
        raise ModerationUnavailable


def _parts(all_of_them: Sequence[_T], longest: int) -> Iterator[Sequence[_T]]:
    return (all_of_them[start : start + longest] for start in range(0, len(all_of_them), longest))


def _trace() -> tuple[tuple[str, str], ...]:
    return tuple(trace_headers().items())


def _speaker(viewer: Viewer) -> pb.Speaker:
    """Who asks; an owner in words that a replica of before knows as well."""
    is_owner = viewer.rank is Rank.OWNER
    rank = pb.Rank.ValueType(Rank.MODERATOR if is_owner else viewer.rank)
    return pb.Speaker(
        user_id=viewer.user_id,
        username=viewer.username,
        rank=rank,
        owner=is_owner,
        owned_since_ms=viewer.owned_since_ms,
    )


def _log_to_proto(log: RoomLog) -> pb.LogRef:
    return pb.LogRef(partition=log.partition, room_id=log.room_id, life=log.life)


def _audit_from_proto(entry: pb.AuditEntry) -> AuditEntry:
    return AuditEntry(
        action_id=entry.action_id,
        at=time_from_proto(entry.at_ms),
        actor_user_id=UserId(entry.actor_user_id),
        actor_rank=_RANKS.get(entry.actor_rank),
        action=entry.action,
        target_user_id=UserId(entry.target_user_id) if entry.target_user_id else None,
        target_username=entry.target_username or None,
        is_everywhere=entry.scope == pb.SCOPE_EVERYWHERE,
        slug=Slug(entry.slug) if entry.slug else None,
        reason=entry.reason or None,
        rule=entry.rule or None,
        hold_id=entry.hold_id or None,
        duration_minutes=entry.duration_minutes,
        message_id=entry.message_id or None,
        message_text=entry.message_text if entry.HasField("message_text") else None,
        address=entry.address or None,
        policy_changes=tuple(PolicyFieldChange(c.field, c.before, c.after) for c in entry.policy_changes),
        undoes=entry.undoes or None,
        undone_by=entry.undone_by or None,
        completes=entry.completes or None,
        digest=entry.digest or None,
    )


def _holders_from_proto(holders: Iterable[pb.RoomRoleHolder]) -> list[RoleHolder]:
    """Without those of a role of a later version."""
    return [
        RoleHolder(
            UserId(holder.user_id),
            _ROLES[holder.role],
            UserId(holder.given_by_user_id),
            time_from_proto(holder.given_at_ms),
        )
        for holder in holders
        if holder.role in _ROLES
    ]


def _rank_from_proto(rank: int) -> Rank:
    """Of the author of a sanction. What a later version may have ranked reaches nobody who is signed in."""
    return Rank(rank) if rank in set(Rank) else Rank.USER


def _sanction_from_proto(sanction: pb.Sanction) -> Sanction:
    return Sanction(
        id=sanction.id,
        action=SanctionAction.BAN if sanction.action == pb.ACTION_BAN else SanctionAction.MUTE,
        target_user_id=UserId(sanction.target_user_id) if sanction.target_user_id else None,
        target_username=sanction.target_username or None,
        scope=SanctionScope.EVERYWHERE if sanction.scope == pb.SCOPE_EVERYWHERE else SanctionScope.ROOM,
        slug=Slug(sanction.slug) if sanction.slug else None,
        reason=sanction.reason or None,
        moderator_user_id=UserId(sanction.moderator_user_id),
        moderator_rank=_rank_from_proto(sanction.moderator_rank or Rank.MODERATOR),
        created_at=time_from_proto(sanction.created_at_ms),
        expires_at=time_from_proto(sanction.expires_at_ms) if sanction.expires_at_ms else None,
        lifted_at=time_from_proto(sanction.lifted_at_ms) if sanction.lifted_at_ms else None,
    )


def _revoked_from_proto(answer: pb.ExecuteResponse) -> RevokedTokens:
    revocation = answer.revocation
    before = time_from_proto(revocation.before_ms) if revocation.user_id else None
    return RevokedTokens(answer.action_id, before, time_from_proto(revocation.until_ms))


def _rule_to_proto(rule: Rule) -> rules_pb2.Rule:
    return rules_pb2.Rule(
        name=rule.name,
        kind=rules_pb2.RuleKind.Value(f"RULE_KIND_{rule.kind.name}"),
        patterns=rule.patterns,
        allow=rule.allow,
        threshold=rule.threshold,
        action=rules_pb2.RuleAction.Value(f"RULE_ACTION_{rule.action.name}"),
        mute_minutes=rule.minutes,
        mode=rules_pb2.RuleMode.Value(f"RULE_MODE_{rule.mode.name}"),
        exempt_from=rules_pb2.RuleExemption.Value(f"RULE_EXEMPTION_{rule.exempt_from.name}"),
        told=rule.told,
        url=rule.url,
        on_failure=rules_pb2.RuleOnFailure.ValueType(0 if rule.on_failure is None else _NUMBERS[rule.on_failure]),
    )


def _is_known(kept: rules_pb2.KeptRule) -> bool:
    """Not of a later version, with a value that nobody here can name."""
    rule = kept.rule
    is_known = rule.kind in _KINDS and rule.action in _ACTIONS and rule.mode in _MODES
    return is_known and rule.exempt_from in _EXEMPTIONS and (not rule.on_failure or rule.on_failure in _ON_FAILURE)


def _kept_from_proto(kept: rules_pb2.KeptRule) -> KeptRule:
    """One that is known."""
    rule = kept.rule
    return KeptRule(
        id=kept.id,
        slug=Slug(kept.slug) if kept.slug else None,
        version=kept.version,
        rule=Rule(
            name=rule.name,
            kind=_KINDS[rule.kind],
            action=_ACTIONS[rule.action],
            mode=_MODES[rule.mode],
            patterns=tuple(rule.patterns),
            allow=tuple(rule.allow),
            threshold=rule.threshold,
            minutes=rule.mute_minutes,
            exempt_from=_EXEMPTIONS[rule.exempt_from],
            told=rule.told,
            url=rule.url,
            on_failure=_ON_FAILURE.get(rule.on_failure),
        ),
        changed_by=UserId(kept.changed_by),
        changed_at=time_from_proto(kept.changed_at_ms),
        hits=kept.hits,
        acted=kept.acted,
    )


def _hit_from_proto(hit: rules_pb2.RuleHit) -> RuleHit:
    return RuleHit(
        id=hit.id,
        rule_id=hit.rule_id,
        slug=Slug(hit.slug),
        at=time_from_proto(hit.at_ms),
        user_id=UserId(hit.user_id) if hit.user_id else None,
        username=hit.username,
        text=hit.text,
        pattern=hit.pattern or None,
        action=_ACTIONS[hit.action],
        acted=hit.acted,
    )


def _held_from_proto(hold: pb.Hold) -> HeldMessage:
    return HeldMessage(
        id=hold.id,
        slug=Slug(hold.slug),
        user_id=UserId(hold.user_id) if hold.user_id else None,
        username=hold.username,
        text=hold.text,
        reply_to=hold.reply_to or None,
        rule=hold.reason.rule_name or None,
        held_at=time_from_proto(hold.held_at_ms),
        expires_at=time_from_proto(hold.expires_at_ms),
    )
