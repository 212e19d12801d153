"""Sanctions, policies, rules, pins, warnings, roles of rooms, reports, unban requests, notes, the audit log, and who
was seen where."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import structlog
from tortoise.expressions import Q, Subquery
from tortoise.functions import Max
from tortoise.queryset import QuerySet

from chassis.database import Database, Session, packed
from chassis.logs import LogSummary
from moderation.adapters.store import retention
from moderation.adapters.store.audit import append_audit, list_records, list_undoable, record_from_row, verify_part
from moderation.adapters.store.case_feed import REPORT_RESOLVED, REQUEST_DECIDED, tell_report, tell_request
from moderation.adapters.store.cases import (
    count_notes,
    delete_note,
    delete_notes,
    delete_visits,
    find_note,
    insert_note,
    notes_of,
    sanctions_of,
    seen_of,
    warnings_of,
    write_visits,
)
from moderation.adapters.store.database import COMMAND_LOCK, PRUNING_LOCK, answered
from moderation.adapters.store.feed import append_feed_event, append_feed_events, heads_after, last_event_id, prune_feed
from moderation.adapters.store.feed_pages import newest_events, newest_of_kind, next_events, open_items
from moderation.adapters.store.holds import (
    are_holds_late,
    demand_room,
    earlier_hold,
    entry_of,
    expire_holds,
    find_hold,
    held,
    holds_of,
    insert_hold,
    shown_decision,
    shown_held,
    waiting_of,
    write_decision,
)
from moderation.adapters.store.outbox import erased_since, pending, put
from moderation.adapters.store.pins import (
    end_pin,
    end_pins,
    end_pins_of,
    forget_pins,
    pin_of,
    pinned_of,
    pins_of,
    write_pin,
)
from moderation.adapters.store.policies import (
    changes_from_values,
    forget_policies,
    policies_after,
    policies_of,
    policy_of,
    was_shield_taken_away,
    write_policy,
)
from moderation.adapters.store.reports import (
    delete_reports,
    erase_evidence_of_reports,
    find_report,
    insert_report,
    list_reports,
    reported_before,
    write_report,
)
from moderation.adapters.store.revocations import (
    find_revocation,
    forget_revocations,
    revocations_after,
    write_revocation,
)
from moderation.adapters.store.roles import role_state, roles_of, undo_role, write_roles
from moderation.adapters.store.rows import (
    SANCTION_COLUMNS,
    audit_row,
    decision_audit_row,
    denial_audit_row,
    erasure_audit_row,
    event_from_row,
    follow_row,
    hold_audit_row,
    note_audit_row,
    pin_audit_row,
    policy_audit_row,
    report_audit_row,
    revocation_audit_row,
    role_audit_row,
    rule_audit_row,
    sanction_from_row,
    sanction_from_values,
    sanction_to_row,
    undo_row,
    undone_from_row,
    user_erasure_audit_row,
    warning_audit_row,
)
from moderation.adapters.store.rules import (
    find_rule,
    forget_rules,
    hits_of,
    rules_after,
    rules_of,
    slug_of_rule,
    slugs_seen,
    write_hits,
    write_rule,
)
from moderation.adapters.store.tables import AuditRow, OutboxRow, SanctionAddressRow, SanctionRow, SightingRow
from moderation.adapters.store.unban_requests import (
    delete_requests,
    erase_evidence_of_requests,
    find_request,
    insert_request,
    lapse_ended,
    lapse_requests,
    latest_request,
    latest_requests,
    list_requests,
    write_request,
)
from moderation.adapters.store.undoing import later_of_slug, later_of_targets, pin_state
from moderation.adapters.store.user_erasures import PARTS
from moderation.adapters.store.warnings import (
    erase_warnings,
    expire_warnings,
    find_warning,
    insert_warning,
    open_warnings,
    take_step,
    warnings_after,
    withdraw,
    without_effect,
)
from moderation.domain.audit import AuditQuery, AuditRecord, Verification
from moderation.domain.cases import SHOWN, AddNote, Case, Note, NoteAction, NoteOrder
from moderation.domain.commands import (
    NONCES_KNOWN_MS,
    ErasureOrder,
    LogChange,
    Order,
    Receipt,
    SanctionOrder,
    is_repeated,
)
from moderation.domain.erasures import NO_ORIGIN, Erasure, ErasureCommand, LoggedMessage, LogRef
from moderation.domain.feed import MOST_SANCTIONS, RULE_HITS, FeedHead, FeedPart, FeedState, is_whole
from moderation.domain.holds import (
    DENIED_AT_ONCE,
    DecideHeldCommand,
    DecideHeldOrder,
    Hold,
    HoldAction,
    HoldOrder,
    HoldStep,
    Publication,
)
from moderation.domain.kept_rules import KeptRule, RuleEdit, RuleOrder, RulesState
from moderation.domain.last_seen import LastSeen
from moderation.domain.people import Moderator, Rank, Speaker, Target
from moderation.domain.pins import PinAction, PinChange, PinCommand, PinOrder, RoomPin
from moderation.domain.policy import PolicyAction, PolicyChange, PolicyCommand, PolicyOrder, RoomPolicy
from moderation.domain.raids import LEFT_TO_MODERATORS_MS, RAID, SHOWN_FOR_MS, TOLD_AGAIN_AFTER_MS
from moderation.domain.reports import (
    Neighbours,
    Report,
    ReportAction,
    ReportOrder,
    ReportQuery,
    ResolveOrder,
)
from moderation.domain.revocations import Revocation, RevocationAction, RevocationOrder
from moderation.domain.rights import Change
from moderation.domain.roles import RoleAction, RoleOrder, RoomRoles
from moderation.domain.rule_flags import FlagBatch
from moderation.domain.rule_hits import HitBatch, KeptHit
from moderation.domain.sanctions import MOST_ADDRESSES, Action, Command, Sanction, SanctionEvent, Scope
from moderation.domain.unban_requests import (
    DecideOrder,
    RequestQuery,
    RequestState,
    UnbanAction,
    UnbanOrder,
    UnbanRequest,
)
from moderation.domain.undo import DoneAction, PinBack, Undoing, UndoOrder, fields_named
from moderation.domain.undo_history import imposed_ids
from moderation.domain.user_erasures import ErasedUser, EraseUserOrder
from moderation.domain.visits import Visit
from moderation.domain.warnings import RoomWarning, WarningAction, WarningOrder, WarningReport
from moderation.errors import HoldNotFound, ModerationError, NonceTaken, NotPermitted
from moderation.ports import ChangedSanctions, Kept, SanctionQuery

_IDS_AT_ONCE = 500
"""Databases limit the number of values in one question."""
_PURGES_AT_ONCE = 10
"""Of a user who is erased; so many rooms in one transaction."""
_SANCTIONS_MADE_ANEW = 50
"""The same of sanctions in force."""
_BANS_LOOKED_AT = 20
"""Of one user in one room and everywhere, the newest."""
_ERASED_LATELY_MS = 300_000
"""A message to be pinned was read in the log some seconds ago at most; clocks may differ."""
_SIGHTING = {"user_id": "bigint", "name": "text", "slug": "text", "address": "text", "seen_at_ms": "bigint"}
_WRITE_SIGHTINGS = """INSERT INTO sighting (user_id, name, slug, address, seen_at_ms)
    SELECT x.user_id, x.name, x.slug, x.address, x.seen_at_ms FROM {rows} WHERE true
    ON CONFLICT (user_id, name, slug, address) DO UPDATE SET seen_at_ms = excluded.seen_at_ms"""
_ACTIONS = [int(action) for action in Action]
_RANKS = [int(rank) for rank in Rank]
_NEXT_IN_FORCE = """SELECT {columns} FROM sanction AS s WHERE {next} ORDER BY s.id LIMIT $3"""
_THEIR_ADDRESSES = """SELECT a.sanction_id, a.address FROM sanction AS s
JOIN sanction_address AS a ON a.sanction_id = s.id
WHERE {next} AND s.id <= $3 AND a.sanction_id > $1 AND a.sanction_id <= $3"""
_NEXT = "s.lifted_at_ms IS NULL AND (s.expires_at_ms IS NULL OR s.expires_at_ms > $2) AND s.id > $1"
_OF_ASKED = """WITH asked AS (SELECT x.slug FROM {asked}) {kinds}"""
_EXISTS = """SELECT '{kind}' AS kind WHERE EXISTS (SELECT 1 FROM asked AS a JOIN {kept})"""
_KEPT = {
    Kept.SANCTIONS: "sanction AS t ON t.slug = a.slug WHERE t.lifted_at_ms IS NULL"
    " AND (t.expires_at_ms IS NULL OR t.expires_at_ms > $2)",
    Kept.POLICY: "policy AS t ON t.slug = a.slug",
    Kept.PIN: "pin AS t ON t.slug = a.slug",
    Kept.WARNINGS: "warning AS t ON t.slug = a.slug WHERE t.closed_at_ms IS NULL",
    Kept.ROLES: "room_roles AS t ON t.slug = a.slug",
    Kept.HOLDS: "hold AS t ON t.slug = a.slug WHERE t.decided_at_ms IS NULL OR t.decided_at_ms >= $3",
}
"""$2: the time now; $3: since when holds that are decided count. What is read afterwards has the same conditions."""
_Values: TypeAlias = tuple[Any, ...]
"""A row of the sanctions, as SANCTION_COLUMNS."""
_log = structlog.get_logger()


class TortoiseStore:
    """The port Store, on a database that its owner opens and closes."""

    def __init__(self, database: Database, commanding: asyncio.Lock | None = None) -> None:
        """`commanding`: of all that change what commands change, of this replica."""
        self._database = database
        # Commands wait here, one a replica for the lock of all replicas: each that waited there would hold one of the
        # few connections, and reading would wait for commands as well.
        self._commanding = commanding or asyncio.Lock()
        # Of these each lets one at a time wait among the commands: what many ask, or decide, at once.
        self._reporting, self._holding, self._deciding = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._not_understood = LogSummary(_log, "sanctions_not_understood")

    @answered
    async def change(
        self,
        order: SanctionOrder,
        addresses: frozenset[str],
        decide: Callable[[list[Sanction]], Change],
        *,
        now_ms: int,
    ) -> Receipt:
        """Commands go one by one over all replicas: they are rare, and their event ids rise as they are committed."""
        async with self._command():
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            change = decide(await self._in_force_of(order.command.target, addresses, now_ms))
            return await _carry_out(order, change, now_ms=now_ms)

    @answered
    async def take_back(
        self,
        order: ErasureOrder,
        message: LoggedMessage | None,
        decide: Callable[[list[Erasure]], Erasure],
        *,
        now_ms: int,
    ) -> Receipt:
        """One by one as well: what is not done yet is known to whoever comes next."""
        async with self._command():
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            erasure = decide([] if order.log is None else await pending(order.log))
            audit = erasure_audit_row(order, erasure, message, now_ms)
            await append_audit(audit)
            await end_pin(order.command.slug, erasure, now_ms=now_ms)
            return Receipt(audit.id, work=await put(audit.id, erasure, now_ms=now_ms))

    @answered
    async def change_policy(self, order: PolicyOrder, *, now_ms: int) -> Receipt:
        """One by one as well: versions rise as they are committed, so that whoever reads on misses none."""
        async with self._command():
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            return await _change_policy(order, now_ms)

    @answered
    async def shield_by_itself(self, order: PolicyOrder, *, now_ms: int) -> Receipt | None:
        slug = order.command.slug
        async with self._database.transaction():  # it is asked every second while a raid goes on
            if not await _may_be_shielded(slug, now_ms):
                return None
        async with self._command():
            return await _change_policy(order, now_ms) if await _may_be_shielded(slug, now_ms) else None

    @answered
    async def suggest_raid(self, slug: str, data: Mapping[str, Any], *, now_ms: int) -> bool:
        async with self._database.transaction():  # most are known
            if await newest_of_kind(slug, RAID, now_ms - TOLD_AGAIN_AFTER_MS) is not None:
                return False
        async with self._command():
            if await newest_of_kind(slug, RAID, now_ms - TOLD_AGAIN_AFTER_MS) is not None:
                return False
            told = {**data, "shielded": (await policy_of(slug)).is_shielded(now_ms)}
            await append_feed_event(slug, RAID, told, now_ms=now_ms)
            return True

    @answered
    async def change_pin(
        self,
        order: PinOrder,
        message: LoggedMessage | None,
        demand: Callable[[RoomPin | None, list[Erasure]], None],
        *,
        now_ms: int,
    ) -> Receipt:
        """One by one as well: what takes the message back comes before, and is seen, or after, and ends the pin."""
        command, log = order.command, order.log
        async with self._command():
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            known = await pin_of(command.slug)
            demand(known, [] if log is None else await erased_since(log, now_ms - _ERASED_LATELY_MS))
            assert log is not None
            before = None if known is None else known.message_in(log)
            version = await write_pin(command, log.life, message, now_ms=now_ms)
            details = _pin_details(version, log.life, before, message)
            meant = message or before
            assert meant is not None
            audit = pin_audit_row(order, meant.author, details, now_ms)
            await append_audit(audit)
            by, told = command.moderator.user_id, (command.message_id, version)
            change = PinChange(command.action, log, by, order.origin, *told)
            return Receipt(audit.id, work=await put(audit.id, change, now_ms=now_ms))

    @answered
    async def pins_of(self, slugs: Sequence[str]) -> list[RoomPin]:
        async with self._database.transaction():
            return await pins_of(slugs)

    @answered
    async def undo(self, order: UndoOrder, decide: Callable[[DoneAction | None], Undoing], *, now_ms: int) -> Receipt:
        """One by one as well: what is undone is as it is seen here."""

        async def decided_now() -> tuple[AuditRow, Undoing]:
            undone = await AuditRow.get_or_none(id=order.command.action_id)
            undoing = decide(None if undone is None else await self._done_action(undone, order.log, now_ms))
            assert undone is not None
            return undone, undoing

        if (earlier := await self._refused_early(order, decided_now, now_ms)) is not None:
            return earlier
        async with self._command():
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            return await _undo(order, *await decided_now(), now_ms)

    @answered
    async def audit_log(
        self, query: AuditQuery, *, first: int, before_id: int | None
    ) -> list[tuple[AuditRecord, int | None]]:
        async with self._database.transaction():
            return await list_records(query, first=first, before_id=before_id)

    @answered
    async def verify_part(self, chain: str, after_id: int, *, first: int) -> Verification:
        async with self._database.transaction():
            return await verify_part(chain, after_id, first=first)

    @answered
    async def undoable(
        self, actor_user_id: int, since_ms: int, before_id: int | None, *, first: int
    ) -> tuple[list[AuditRecord], int, int]:
        async with self._database.transaction():
            return await list_undoable(actor_user_id, since_ms, before_id, first=first)

    @answered
    async def set_role(self, order: RoleOrder, *, now_ms: int) -> Receipt:
        """One by one as well: no two add to what the other has not read."""
        async with self._command():
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            roles, details = await write_roles(order.command, now_ms=now_ms)
            audit = role_audit_row(order, details, now_ms)
            await append_audit(audit)
            return Receipt(audit.id, roles=roles)

    @answered
    async def roles_of(self, slugs: Sequence[str]) -> list[RoomRoles]:
        async with self._database.transaction():
            return await roles_of(slugs)

    @answered
    async def policies_after(self, version: int, *, first: int) -> list[RoomPolicy]:
        async with self._database.transaction():
            return await policies_after(version, first)

    @answered
    async def policies_of(self, slugs: Sequence[str]) -> list[RoomPolicy]:
        async with self._database.transaction():
            return await policies_of(slugs)

    @answered
    async def warn(self, order: WarningOrder, *, now_ms: int) -> Receipt:
        """One by one as well, for the same reason."""
        async with self._command():
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            audit = warning_audit_row(order, now_ms)
            await append_audit(audit)
            issued, *superseded = await insert_warning(order.command, audit.id, now_ms=now_ms)
            return Receipt(audit.id, warning=issued, superseded=tuple(superseded))

    @answered
    async def report_warning(self, report: WarningReport, *, now_ms: int) -> Receipt:
        async with self._database.transaction():  # what changes nothing, or is nobody's, takes no lock
            if (over := await without_effect(report)) is not None:
                return Receipt(report.warning_id, warning=over)
        async with self._command():
            return Receipt(report.warning_id, warning=await take_step(report, now_ms=now_ms))

    @answered
    async def warnings_after(self, version: int, *, first: int) -> list[RoomWarning]:
        async with self._database.transaction():
            return await warnings_after(version, first)

    @answered
    async def open_warnings(self, slugs: Sequence[str]) -> list[RoomWarning] | None:
        async with self._database.transaction():
            return await open_warnings(slugs)

    @answered
    async def reported_before(self, order: ReportOrder, *, now_ms: int) -> Report | None:
        async with self._database.transaction():
            return await reported_before(order, now_ms=now_ms)

    @answered
    async def file_report(
        self, order: ReportOrder, message: LoggedMessage | None, neighbours: Neighbours, *, now_ms: int
    ) -> Receipt:
        """One by one as well, as its event has a place among the others. One a replica waits for its turn among the
        commands, the others behind it: of what many report at once moderators are not to wait for more."""
        async with self._command(self._reporting):
            known = await reported_before(order, now_ms=now_ms)
            if known is not None:
                return Receipt(0, repeated=True, report=known)
            filed = await insert_report(order, message, neighbours, now_ms=now_ms)
            await tell_report(filed)
            return Receipt(0, report=filed)

    @answered
    async def resolve_report(
        self, order: ResolveOrder, decide: Callable[[Report | None], Report], *, now_ms: int
    ) -> Receipt:
        """One by one as well: the first decision holds."""

        async def decided_now() -> Report:
            return decide(await find_report(order.command.report_id))

        if (earlier := await self._refused_early(order, decided_now, now_ms)) is not None:
            return earlier
        async with self._command(self._deciding):
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            decided = await decided_now()
            audit = report_audit_row(order, decided, now_ms)
            told = {"report_id": decided.id, "resolution": decided.state.name.lower()}
            await append_audit(audit, kind=REPORT_RESOLVED, data=told)
            await write_report(decided)
            return Receipt(audit.id, report=decided)

    @answered
    async def find_report(self, report_id: int) -> Report | None:
        async with self._database.transaction():
            return await find_report(report_id)

    @answered
    async def list_reports(self, query: ReportQuery, *, first: int, before_id: int | None) -> list[Report]:
        async with self._database.transaction():
            return await list_reports(query, first=first, before_id=before_id)

    @answered
    async def request_unban(
        self, order: UnbanOrder, demand: Callable[[Sanction | None, UnbanRequest | None], None], *, now_ms: int
    ) -> Receipt:
        """One by one as well: there is one open a ban."""

        async def sanction_or_same() -> Sanction | UnbanRequest:
            sanction, latest = await self._find(order.sanction_id), await latest_request(order.sanction_id)
            if latest is not None and latest.is_same(order):
                return latest
            demand(sanction, latest)
            assert sanction is not None
            return sanction

        async with self._database.transaction():  # whoever has nothing to ask takes no lock
            found = await sanction_or_same()
        if isinstance(found, UnbanRequest):
            return Receipt(0, repeated=True, unban_request=found)
        async with self._command(self._reporting):
            found = await sanction_or_same()
            if isinstance(found, UnbanRequest):
                return Receipt(0, repeated=True, unban_request=found)
            asked = await insert_request(order, found.slug, now_ms=now_ms)
            await tell_request(asked)
            return Receipt(0, unban_request=asked)

    @answered
    async def decide_unban_request(
        self,
        order: DecideOrder,
        decide: Callable[[UnbanRequest | None, Sanction | None], UnbanRequest],
        *,
        now_ms: int,
    ) -> Receipt:
        """One by one as well: the first decision holds, and lifts what is still in force."""

        async def decided_now() -> tuple[UnbanRequest, Sanction]:
            request = await find_request(order.command.request_id)
            sanction = None if request is None else await self._find(request.sanction_id)
            decided = decide(request, sanction)
            assert sanction is not None
            return decided, sanction

        if (earlier := await self._refused_early(order, decided_now, now_ms)) is not None:
            return earlier
        async with self._command(self._deciding):
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            decided, sanction = await decided_now()
            await write_request(decided)
            if decided.state is RequestState.APPROVED:
                lifting = replace(Command.lifting(sanction, order.command.moderator), reason=order.command.note)
                return await _carry_out(
                    SanctionOrder(lifting, origin=order.origin),
                    Change((sanction,), imposes=False),
                    now_ms=now_ms,
                    answers=decided,
                )
            audit = denial_audit_row(order, decided, now_ms)
            await append_audit(audit, kind=REQUEST_DECIDED, data=_told_of(decided))
            return Receipt(audit.id, unban_request=decided)

    @answered
    async def bans_of(self, user_id: int, slug: str, *, now_ms: int) -> list[tuple[Sanction, UnbanRequest | None]]:
        query = SanctionQuery([slug], everywhere=True)
        where = _in_force(now_ms) & _reach(query) & Q(target_user_id=user_id, kind=int(Action.BAN))
        async with self._database.transaction():
            rows = await _values(SanctionRow.filter(where).order_by("-id").limit(_BANS_LOOKED_AT))
            requests = await latest_requests([row[0] for row in rows])
            return [(sanction, requests.get(sanction.id)) for sanction in self._understood(rows, {})]

    @answered
    async def find_unban_request(self, request_id: int) -> UnbanRequest | None:
        async with self._database.transaction():
            return await find_request(request_id)

    @answered
    async def list_unban_requests(
        self, query: RequestQuery, *, first: int, before_id: int | None
    ) -> list[UnbanRequest]:
        async with self._database.transaction():
            return await list_requests(query, first=first, before_id=before_id)

    @answered
    async def revoke(self, order: RevocationOrder, revocation: Revocation, *, now_ms: int) -> Receipt:
        """One by one as well, for the same reason."""
        async with self._command():
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            kept = await write_revocation(revocation, now_ms=now_ms)
            audit = revocation_audit_row(order, kept, now_ms)
            await append_audit(audit)
            return Receipt(audit.id, revocation=kept)

    async def erase_user(self, order: EraseUserOrder, *, now_ms: int) -> Receipt:
        """In parts, each a transaction of its own, so that no command waits for all of it. What is erased once is not
        found again, and the row of the command is written last: whoever was interrupted has it done again, and nothing
        is left out."""
        command, user_id = order.command, order.command.user_id
        if (earlier := await self.earlier(order, now_ms=now_ms)) is not None:
            return earlier
        purges = command.purges()
        for start in range(0, len(purges), _PURGES_AT_ONCE):
            await self._put_purges(purges[start : start + _PURGES_AT_ONCE], now_ms)
        for part in PARTS:
            await self._in_parts(partial(part, user_id, now_ms))
        after: str | None = ""
        while after is not None:
            after = await self._end_pins_of(user_id, after, now_ms)
        warnings: list[RoomWarning] = []
        has_more = True
        while has_more:
            closed, has_more = await self._erase_warnings(command.target, now_ms)
            warnings += closed
        while await self._forget_addresses(order, now_ms):
            pass
        return await self._finish_erasing(order, warnings, now_ms)

    @answered
    async def _put_purges(self, purges: Sequence[tuple[ErasureCommand, Erasure]], now_ms: int) -> None:
        async with self._command():
            for purge, erasure in purges:
                audit = erasure_audit_row(ErasureOrder(purge, erasure.log), erasure, None, now_ms)
                await append_audit(audit)
                await end_pin(purge.slug, erasure, now_ms=now_ms)
                await put(audit.id, erasure, now_ms=now_ms)
                await OutboxRow.filter(action_id=audit.id).update(due_at_ms=now_ms)  # it waits for nobody

    @answered
    async def _end_pins_of(self, user_id: int, after: str, now_ms: int) -> str | None:
        async with self._database.transaction():
            found, last = await pinned_of(user_id, after)
        if found:
            async with self._command():
                await end_pins_of(user_id, found, now_ms)
        return last

    @answered
    async def _erase_warnings(self, target: Target, now_ms: int) -> tuple[list[RoomWarning], bool]:
        async with self._command():
            return await erase_warnings(target, now_ms)

    @answered
    async def _forget_addresses(self, order: EraseUserOrder, now_ms: int) -> bool:
        """Of a part of the sanctions in force, where there are more than are dealt with at the end."""
        async with self._command():
            part = await self._followed(order, now_ms)
            if len(part) <= _SANCTIONS_MADE_ANEW:
                return False
            _, audit = await _make_anew(replace(order, origin=NO_ORIGIN), part[:_SANCTIONS_MADE_ANEW], now_ms)
            await append_audit(audit)
            return True

    @answered
    async def _finish_erasing(self, order: EraseUserOrder, warnings: Sequence[RoomWarning], now_ms: int) -> Receipt:
        command = order.command
        async with self._command():
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            lifted = await self._followed(order, now_ms)
            imposed, audit = await _make_anew(order, lifted, now_ms)
            await append_audit(audit)
            event = None
            if imposed:
                event = SanctionEvent(
                    event_id=audit.id,
                    action=imposed[0].kind,
                    target=command.target,
                    moderator_user_id=command.moderator.user_id,
                    duration_minutes=0,
                    scope=Scope.EVERYWHERE,
                    slug="",
                    at_ms=now_ms,
                    imposed=imposed,
                    lifted_ids=tuple(sanction.id for sanction in lifted),
                    silent=True,
                )
            return Receipt(audit.id, event, erased=ErasedUser(tuple(warnings)))

    async def _followed(self, order: EraseUserOrder, now_ms: int) -> list[Sanction]:
        """Those in force of the user that hold for addresses."""
        return [s for s in await self._in_force_of(order.command.target, frozenset(), now_ms) if s.addresses]

    @answered
    async def revocations_after(self, version: int, *, first: int, now_ms: int) -> list[Revocation]:
        async with self._database.transaction():
            return await revocations_after(version, first, now_ms)

    async def forget_revocations(self, before_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: forget_revocations(before_ms))

    @answered
    async def change_note(
        self, order: NoteOrder, demand: Callable[[int, Note | None], None], *, now_ms: int
    ) -> Receipt:
        """One by one as well: there are at most so many."""
        command = order.command

        async def demanded_now() -> Note | None:
            """The one that is to be deleted."""
            if isinstance(command, AddNote):
                demand(await count_notes(command.slug, command.target), None)
                return None
            known = await find_note(command.note_id)
            demand(0, known)
            return known

        if (earlier := await self._refused_early(order, demanded_now, now_ms)) is not None:
            return earlier
        async with self._command(self._deciding):
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            known = await demanded_now()
            if isinstance(command, AddNote):
                note = await insert_note(command, now_ms=now_ms)
                audit = note_audit_row(order, note, now_ms)
                await append_audit(audit)
                return Receipt(audit.id, note=note)
            assert known is not None
            await delete_note(known.id)
            audit = note_audit_row(order, known, now_ms)
            await append_audit(audit)
            return Receipt(audit.id)

    @answered
    async def find_note(self, note_id: int) -> Note | None:
        async with self._database.transaction():
            return await find_note(note_id)

    @answered
    async def case_of(
        self, slug: str, target: Target, *, with_reports: bool, with_everywhere: bool, since_ms: int = 0
    ) -> Case:
        async with self._database.transaction():
            query = ReportQuery(slug, target=target, since_ms=since_ms)
            sanctions = await _values(sanctions_of(slug, target))
            if with_everywhere:
                sanctions = _newest_first(sanctions, await _values(sanctions_of(None, target)))
            reports = await list_reports(query, first=SHOWN, before_id=None) if with_reports else []
            return Case(
                sanctions=self._understood(sanctions, {}),
                warnings=await warnings_of(slug, target, since_ms),
                notes=await notes_of(slug, target, since_ms),
                reports=reports,
                seen=await seen_of(slug, target, since_ms),
                messages=[],
            )

    @answered
    async def write_visits(self, visits: Mapping[Visit, tuple[int, int]]) -> None:
        async with self._database.transaction() as session:
            await write_visits(session, visits)

    @answered
    async def hold(self, order: HoldOrder, *, now_ms: int) -> Receipt:
        """One by one as well: so many may wait, and nobody who was banned meanwhile. One a replica waits for its turn
        among the commands, the others behind it: of what many send at once moderators are not to wait for more."""
        async with self._database.transaction():  # whoever sends again and again takes no lock
            if (known := await self._known_hold(order, now_ms)) is not None:
                return known
            if not order.message.number:  # only asked how one stands that waited; it was not judged
                raise HoldNotFound
            await demand_room(order, now_ms=now_ms)
        async with self._command(self._holding):
            if (known := await self._known_hold(order, now_ms)) is not None:
                return known
            await demand_room(order, now_ms=now_ms)
            if await self._ban_on(order.message.author, order.slug, now_ms) is not None:
                raise NotPermitted
            hold = await insert_hold(order, now_ms=now_ms)
            audit = hold_audit_row(hold)
            # The text stands in the row alone, where it is erased one day.
            shown = {name: value for name, value in shown_held(hold).items() if name not in ("message", "username")}
            await append_audit(audit, kind="hold", data=shown)
            return Receipt(audit.id, hold=hold)

    @answered
    async def decide_hold(
        self, order: DecideHeldOrder, decide: Callable[[Hold | None], Hold], *, now_ms: int
    ) -> Receipt:
        """One by one as well: the first decision counts."""
        command = order.command

        async def decided_now() -> tuple[Hold, Hold]:
            known = await find_hold(command.hold_id)
            decided = decide(known)
            assert known is not None
            return known, decided

        if (earlier := await self._refused_early(order, decided_now, now_ms)) is not None:
            return earlier
        async with self._command(self._deciding):
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            known, decided = await decided_now()
            if command.action is HoldAction.ALLOW:
                ban = await self._ban_on(known.message.author, known.slug, now_ms)
                if ban is not None:
                    return await _deny_instead(known, ban, now_ms)
            action_id = await _write_decision(command, decided, order.origin.nonce, now_ms)
            if command.action is not HoldAction.ALLOW:
                return Receipt(action_id, hold=decided)
            publication = Publication(known.log, order.origin, known.id, known.message)
            return Receipt(action_id, hold=decided, work=await put(action_id, publication, now_ms=now_ms))

    @answered
    async def expire_holds(self, *, now_ms: int) -> list[Hold]:
        async with self._database.transaction():
            if not await are_holds_late(now_ms):
                return []
        async with self._command() as session:
            expired = await expire_holds(now_ms)
            if expired:
                events = [(hold.slug, shown_decision(hold)) for hold in expired]
                await append_feed_events(session, "hold_decided", events, now_ms=now_ms)
            return expired

    @answered
    async def deny_held(self, ban: Sanction, *, now_ms: int) -> list[Hold]:
        async with self._command():
            known = await self._find(ban.id)
            if known is None or not known.is_in_force(now_ms):
                return []
            moderator = Moderator(ban.moderator_user_id, ban.moderator_rank)
            return list(await _deny_held_of([ban], moderator, ban.reason, now_ms))

    async def forget_holds(self, before_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: retention.delete_holds(before_ms))

    @answered
    async def holds_of(self, slugs: Sequence[str], *, since_ms: int, first: int) -> list[Hold]:
        async with self._database.transaction():
            return await holds_of(slugs, since_ms, first)

    @answered
    async def held(self, slug: str, *, first: int, before_id: int | None, now_ms: int) -> list[Hold]:
        async with self._database.transaction():
            return await held(slug, first, before_id, now_ms)

    @answered
    async def change_rules(self, order: RuleOrder, *, now_ms: int) -> Receipt:
        """One by one as well, for the same reason."""
        async with self._command():
            if (earlier := await self._earlier(order, now_ms)) is not None:
                return earlier
            rule, state, details = await write_rule(order.command, now_ms=now_ms)
            audit = rule_audit_row(order, details, now_ms)
            await append_audit(audit)
            return Receipt(audit.id, rule=rule, rules=state)

    @answered
    async def rules_after(self, version: int, *, first: int) -> list[RulesState]:
        async with self._database.transaction():
            return await rules_after(version, first)

    @answered
    async def rules_of(self, slug: str) -> tuple[int, list[KeptRule]]:
        async with self._database.transaction():
            return await rules_of(slug)

    @answered
    async def slug_of_rule(self, rule_id: int) -> str | None:
        async with self._database.transaction():
            return await slug_of_rule(rule_id)

    @answered
    async def find_rule(self, rule_id: int) -> KeptRule | None:
        async with self._database.transaction():
            return await find_rule(rule_id)

    @answered
    async def slugs_seen(self, since_ms: int, *, first: int) -> list[str]:
        async with self._database.transaction():
            return await slugs_seen(since_ms, first)

    @answered
    async def write_hits(self, batch: HitBatch) -> None:
        async with self._database.transaction():
            await write_hits(batch)

    @answered
    async def hits_of(self, rule_id: int, *, first: int, before_id: int | None) -> list[KeptHit]:
        async with self._database.transaction():
            return await hits_of(rule_id, first, before_id)

    @answered
    async def feed_heads_after(self, event_id: int, *, first: int) -> list[FeedHead]:
        async with self._database.transaction():
            return await heads_after(event_id, first)

    @answered
    async def last_feed_event_id(self) -> int:
        async with self._database.transaction():
            return await last_event_id()

    @answered
    async def feed_after(self, slugs: Sequence[str], event_id: int, *, first: int) -> FeedPart:
        async with self._database.transaction():
            return await next_events(slugs, event_id, first)

    @answered
    async def feed_state(
        self,
        slug: str,
        since: int | None,
        *,
        reader_id: int,
        with_everywhere: bool,
        now_ms: int,
        owned_since_ms: int = 0,
    ) -> FeedState:
        reaches = [Q(slug=slug), Q(slug__isnull=True)] if with_everywhere else [Q(slug=slug)]
        rows: list[_Values] = []
        has_more = False
        async with self._database.transaction():
            event_id = await last_event_id()  # first: whatever is committed since has a higher one
            items = await open_items(slug, reader_id, owned_since_ms)
            for reach in reaches:  # each with a limit of its own: many that hold everywhere hide none of the room
                in_force = SanctionRow.filter(_in_force(now_ms) & reach)
                found = await _values(in_force.order_by("-id").limit(MOST_SANCTIONS + 1))
                has_more |= len(found) > MOST_SANCTIONS
                rows = _newest_first(rows, found[:MOST_SANCTIONS])
            events = [] if since is None else await newest_events(slug, since, event_id)
            whole = since is None or is_whole(events, since, now_ms)
            events = [event for event in events if event.at_ms >= owned_since_ms]
            raid = await newest_of_kind(slug, RAID, max(owned_since_ms, now_ms - SHOWN_FOR_MS))
            return FeedState(event_id, items, self._understood(rows, {}), has_more, events, whole, raid)

    @answered
    async def append_flags(self, batches: Sequence[FlagBatch], *, now_ms: int) -> None:
        async with self._command() as session:
            events = [(batch.slug, batch.data()) for batch in batches]
            await append_feed_events(session, RULE_HITS, events, now_ms=now_ms)

    async def prune_feed(self, *, now_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: prune_feed(now_ms))

    @answered
    async def earlier(self, order: Order, *, now_ms: int) -> Receipt | None:
        async with self._database.transaction():
            return await self._earlier(order, now_ms)

    @answered
    async def follow(self, sanction_id: int, address: str, *, now_ms: int) -> SanctionEvent | None:
        """Under the lock of commands, so that no event of a sanction is published after it was lifted."""
        async with self._command():
            sanction = await self._find(sanction_id)
            if sanction is None or not sanction.is_in_force(now_ms) or not sanction.may_follow_to(address):
                return None
            await SanctionAddressRow(sanction_id=sanction_id, address=address).save()
            audit = follow_row(sanction, address, now_ms)
            await append_audit(audit)
            return event_from_row(audit, (replace(sanction, addresses=sanction.addresses | {address}),))

    @answered
    async def find(self, sanction_id: int) -> Sanction | None:
        async with self._database.transaction():
            return await self._find(sanction_id)

    @answered
    async def kept_of(self, slugs: Sequence[str], *, holds_since_ms: int, now_ms: int) -> set[Kept]:
        """One statement for all kinds."""
        async with self._database.session() as session:
            kinds = " UNION ALL ".join(_EXISTS.format(kind=kind.value, kept=kept) for kind, kept in _KEPT.items())
            rows = await session.fetch(
                _OF_ASKED.format(asked=session.rows({"slug": "text"}), kinds=kinds),
                packed([{"slug": slug} for slug in slugs]),
                now_ms,
                holds_since_ms,
            )
        return {Kept(row["kind"]) for row in rows}

    @answered
    async def in_force(self, query: SanctionQuery, *, now_ms: int) -> list[Sanction]:
        where = _in_force(now_ms) & _reach(query) & _aim(query.targets)
        async with self._database.transaction():
            rows = await _values(SanctionRow.filter(where).order_by("id"))
            if query.addresses:
                return await self._with_addresses(rows)
            return self._understood(rows, {})

    @answered
    async def in_force_after(self, sanction_id: int, *, first: int, now_ms: int) -> tuple[list[Sanction], int | None]:
        """Without the ORM, whose rows would take as long again. SQLite is kept from the index of ends, by which it
        would sort all that are in force for each part."""
        async with self._database.transaction() as session:
            next_ones = _NEXT if session.is_postgres else f"+{_NEXT}"
            in_force = _NEXT_IN_FORCE.format(columns=", ".join(SANCTION_COLUMNS), next=next_ones)
            found = await session.fetch(in_force, sanction_id, now_ms, first)
            if not found:
                return [], None
            rows = [tuple(row.values()) for row in found]
            theirs = _THEIR_ADDRESSES.format(next=next_ones)
            addresses: dict[int, set[str]] = {}
            for row in await session.fetch(theirs, sanction_id, now_ms, rows[-1][0]):
                addresses.setdefault(row["sanction_id"], set()).add(row["address"])
            return self._understood(rows, addresses), rows[-1][0] if len(rows) == first else None

    @answered
    async def last_action_id(self) -> int:
        async with self._database.transaction():
            newest = await AuditRow.all().order_by("-id").only("id").first()
            return 0 if newest is None else newest.id

    @answered
    async def changed_after(self, action_id: int, *, first: int, now_ms: int) -> ChangedSanctions | None:
        """Rows of before the chain too: every version has written one in the transaction of what it changed, under the
        lock of commands, so that their ids rise as they are committed."""
        since = AuditRow.filter(id__gte=action_id).order_by("id").limit(first + 1)
        async with self._database.transaction():
            rows = await since.only("id", "imposed_id", "lifted_ids", "details")
            if action_id and (not rows or rows[0].id != action_id):
                return None
            rows = [row for row in rows if row.id != action_id]
            touched = {id_ for row in rows for id_ in (*imposed_ids(row), *row.lifted_ids)}
            in_force = [s for s in await self._of_ids(sorted(touched)) if s.is_in_force(now_ms)]
            ended = touched - {sanction.id for sanction in in_force}
            last_id = rows[-1].id if rows else action_id
            return ChangedSanctions(in_force, sorted(ended), last_id, is_all=len(rows) < first)

    @answered
    async def history(
        self, slug: str | None, *, only_in_force: bool, first: int, before_id: int | None, now_ms: int
    ) -> list[Sanction]:
        if not first:  # Tortoise takes a limit of 0 for none
            return []
        # Left out here already, so that no page is short, which would be taken for the last one.
        where = Q(kind__in=_ACTIONS, moderator_rank__in=_RANKS)
        if only_in_force:
            where &= _in_force(now_ms)
        if slug is not None:
            where &= Q(slug=slug)
        if before_id is not None:
            where &= Q(id__lt=before_id)
        async with self._database.transaction():
            return await self._with_addresses(await _values(SanctionRow.filter(where).order_by("-id").limit(first)))

    @answered
    async def seen_addresses(self, target: Target, slug: str | None, *, since_ms: int) -> list[str]:
        where = Q(user_id=target.user_id, name=target.username, seen_at_ms__gte=since_ms)
        if slug is not None:
            where &= Q(slug=slug)
        async with self._database.transaction():
            latest = SightingRow.filter(where).annotate(last_ms=Max("seen_at_ms")).group_by("address")
            newest = await latest.order_by("-last_ms").limit(MOST_ADDRESSES).values_list("address", flat=True)
            return [str(address) for address in newest]

    @answered
    async def write_last_seen(self, seen: Mapping[LastSeen, int]) -> None:
        # Sorted, so that two replicas that write the same rows take their locks in the same order. As text, not as
        # models: everybody who joins or speaks has a row here.
        rows = [{**one._asdict(), "seen_at_ms": at_ms} for one, at_ms in sorted(seen.items())]
        async with self._database.transaction() as session:
            await session.fetch(_WRITE_SIGHTINGS.format(rows=session.rows(_SIGHTING)), packed(rows))

    async def forget_last_seen(self, before_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: retention.forget_last_seen(before_ms))

    async def end_expired(self, before_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: retention.end_expired(before_ms))
        await self._in_parts(lambda: lapse_ended(before_ms, retention.ROWS_AT_ONCE))

    async def erase_evidence(self, before_ms: int, *, now_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: retention.erase_evidence_of_sanctions(before_ms, now_ms))
        await self._in_parts(lambda: retention.erase_evidence_of_audit(before_ms, now_ms))
        while await self._end_pins(before_ms, now_ms):
            pass
        await self._in_parts(lambda: retention.erase_evidence_of_warnings(before_ms))
        await self._in_parts(lambda: retention.delete_rule_hits(before_ms))
        await self._in_parts(lambda: delete_visits(before_ms, retention.ROWS_AT_ONCE))
        await self._in_parts(lambda: erase_evidence_of_requests(before_ms, now_ms, retention.ROWS_AT_ONCE))
        await self._in_parts(lambda: erase_evidence_of_reports(before_ms, now_ms, retention.ROWS_AT_ONCE))

    async def delete_history(self, before_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: retention.delete_sanctions(before_ms))
        while await self._delete_audit(before_ms):
            pass
        await self._in_parts(lambda: retention.delete_warnings(before_ms))
        await self._in_parts(lambda: delete_notes(before_ms, retention.ROWS_AT_ONCE))
        await self._in_parts(lambda: delete_requests(before_ms, retention.ROWS_AT_ONCE))
        await self._in_parts(lambda: delete_reports(before_ms, retention.ROWS_AT_ONCE))
        await self._forget_pins(before_ms)

    @answered
    async def _end_pins(self, before_ms: int, now_ms: int) -> bool:
        async with self._command():
            return await end_pins(before_ms, now_ms)

    @answered
    async def _forget_pins(self, before_ms: int) -> None:
        async with self._database.transaction():
            await forget_pins(before_ms)

    async def forget_rules(self, before_ms: int) -> None:
        """See Store."""
        after: int | None = 0
        while after is not None:
            after = await self._forget_rules(before_ms, after)

    @answered
    async def _forget_rules(self, before_ms: int, after: int) -> int | None:
        async with self._database.transaction():
            return await forget_rules(before_ms, after, retention.ROWS_AT_ONCE)

    async def forget_policies(self, before_ms: int) -> None:
        """See Store."""
        after: int | None = 0
        while after is not None:
            after = await self._forget_policies(before_ms, after)

    @answered
    async def _forget_policies(self, before_ms: int, after: int) -> int | None:
        async with self._database.transaction():
            return await forget_policies(before_ms, after, retention.ROWS_AT_ONCE)

    async def expire_warnings(self, before_ms: int, *, anonymous_before_ms: int, now_ms: int) -> None:
        """See Store."""
        while await self._expire_warnings(before_ms, anonymous_before_ms, now_ms):
            pass

    @answered
    async def _expire_warnings(self, before_ms: int, anonymous_before_ms: int, now_ms: int) -> bool:
        """Under the lock of commands: versions rise as they are committed."""
        async with self._command():
            return await expire_warnings(before_ms, anonymous_before_ms, now_ms)

    async def _in_parts(self, part: Callable[[], Awaitable[bool]]) -> None:
        """A part at a time, each a transaction within the deadline, however much has come together."""
        while await self._run(part):
            pass

    @answered
    async def _delete_audit(self, before_ms: int) -> bool:
        async with self._database.transaction() as session:
            await session.lock(PRUNING_LOCK)
            return await retention.delete_audit(before_ms)

    @answered
    async def _run(self, part: Callable[[], Awaitable[bool]]) -> bool:
        async with self._database.transaction():
            return await part()

    async def _refused_early(
        self, order: Order, decide: Callable[[], Awaitable[object]], now_ms: int
    ) -> Receipt | None:
        """Decide before anybody waits for the lock of commands, in which it is decided again: whoever may not, or asks
        for what is not there, keeps no command waiting. None: nothing is refused so far; a receipt: it was carried out
        before. All of it is read as of one moment: the answers to two questions with a commit of another replica
        between them are of no state that there ever was."""
        async with self._database.transaction() as session:
            if session.is_postgres:
                await session.fetch("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            try:
                await decide()
            except ModerationError:
                earlier = await self._earlier(order, now_ms)
                if earlier is None:
                    raise
                return earlier
            return None

    @asynccontextmanager
    async def _command(self, behind: asyncio.Lock | None = None) -> AsyncIterator[Session]:
        """A transaction that goes one by one with the commands of all replicas: ids and versions rise as they are
        committed. `behind`: where one of a kind at a time waits among the commands."""
        async with behind or nullcontext(), self._commanding, self._database.transaction() as session:
            await session.lock(COMMAND_LOCK)
            yield session

    async def _earlier(self, order: Order, now_ms: int) -> Receipt | None:
        if not order.origin.nonce:
            return None
        mine = AuditRow.filter(moderator_user_id=order.command.moderator.user_id, nonce=order.origin.nonce)
        audit = await mine.filter(at_ms__gt=now_ms - NONCES_KNOWN_MS).order_by("-id").first()
        if audit is None:
            return None
        if not is_repeated(order, record_from_row(audit)):
            raise NonceTaken
        if audit.action in set(RuleEdit):
            rule_id = (audit.details or {}).get("rule_id", 0)
            return Receipt(audit.id, repeated=True, rule=await find_rule(rule_id))
        if audit.action in set(NoteAction):
            note = await find_note((audit.details or {}).get("note_id", 0))
            return Receipt(audit.id, repeated=True, note=note)
        if audit.action == ReportAction.RESOLVE:
            report_id = (audit.details or {}).get("report_id", 0)
            return Receipt(audit.id, repeated=True, report=await find_report(report_id))
        if audit.action == RoleAction.SET:
            known = await roles_of([audit.slug])
            return Receipt(audit.id, repeated=True, roles=known[0] if known else None)
        request_id = (audit.details or {}).get("unban_request_id")
        answers = None if request_id is None else await find_request(request_id)
        if audit.action == UnbanAction.DENY:
            return Receipt(audit.id, repeated=True, unban_request=answers)
        if audit.action in set(RevocationAction):
            key = f"u:{audit.target_user_id}" if audit.target_user_id else f"t:{(audit.details or {}).get('jti')}"
            return Receipt(audit.id, repeated=True, revocation=await find_revocation(key))
        event = event_from_row(audit, tuple(await self._of_ids(imposed_ids(audit))), order.origin)
        work = await OutboxRow.filter(action_id=audit.id).first()
        warning = await find_warning(audit.id) if audit.action == WarningAction.ISSUE else None
        hold = await find_hold((audit.details or {})["hold_id"]) if audit.action in set(HoldAction) else None
        undone = undone_from_row(audit, brings_entry=work is not None)
        entry_id = (work.entry_id if work else None) or 0
        kept = await policies_of([audit.slug]) if audit.action in set(PolicyAction) else []
        return Receipt(
            audit.id,
            event,
            entry_id,
            repeated=True,
            policy=kept[0] if kept else None,
            at_ms=audit.at_ms if kept else 0,
            unban_request=answers,
            warning=warning,
            hold=hold,
            undone=undone,
        )

    async def _known_hold(self, order: HoldOrder, now_ms: int) -> Receipt | None:
        known = await earlier_hold(order, now_ms=now_ms)
        if known is None:
            return None
        return Receipt(0, entry_id=await entry_of(known.id), repeated=True, hold=known.at(now_ms))

    async def _done_action(self, row: AuditRow, log: LogRef | None, now_ms: int) -> DoneAction:
        """What has become of what an action did. `log`: of the life that there is."""
        record = record_from_row(row)
        is_undone = await AuditRow.filter(undoes_id=row.id).exists()
        done = DoneAction(
            record,
            is_undone=is_undone,
            warning=await find_warning(row.id) if row.action == WarningAction.ISSUE else None,
            pin=await pin_state(record, log, now_ms - _ERASED_LATELY_MS),
            role=await role_state(row),
        )
        if named := fields_named(record):
            details = row.details or {}
            before, after = changes_from_values(details["before"]), changes_from_values(details["after"])
            done = replace(done, fields=named, before=before, after=after, policy=await policy_of(row.slug))
        if named or done.pin is not None:
            records, is_whole = await later_of_slug(row.id, row.slug)
            return replace(done, later=records, is_whole=is_whole)
        return await self._with_sanctions(done, now_ms)

    async def _with_sanctions(self, done: DoneAction, now_ms: int) -> DoneAction:
        """With what has become of the sanctions that it imposed and lifted."""
        record = done.record
        own = await self._known([*imposed_ids(record), *record.lifted_ids])
        targets = {sanction.target for sanction in own.values()}
        if targets and record.evidence_erased_at_ms is None:
            targets.add(Target(record.target_user_id, record.target_username))
        later, in_force, is_whole = dict[int, AuditRecord](), dict[int, Sanction](), True
        for of_part in [_aim(part) for part in _parts(sorted(targets))]:
            records, all_of_part = await later_of_targets(record.id, of_part)
            later |= {other.id: other for other in records}
            is_whole = is_whole and all_of_part
            rows = await _values(SanctionRow.filter(_in_force(now_ms) & of_part))
            in_force |= {sanction.id: sanction for sanction in await self._with_addresses(rows)}
        others = {number for other in later.values() for number in (*imposed_ids(other), *other.lifted_ids)}
        known = own | await self._known(sorted(others - own.keys())) | in_force
        by_time = tuple(other for _, other in sorted(later.items()))
        return replace(done, later=by_time, is_whole=is_whole, sanctions=known, in_force=frozenset(in_force))

    async def _known(self, sanction_ids: Sequence[int]) -> dict[int, Sanction]:
        """Those of which it is known whom they are aimed at."""
        found: dict[int, Sanction] = {}
        for start in range(0, len(sanction_ids), _IDS_AT_ONCE):
            of_part = SanctionRow.filter(id__in=list(sanction_ids[start : start + _IDS_AT_ONCE]))
            rows = of_part.filter(Q(target_user_id__not=0) | Q(evidence_erased_at_ms__isnull=True))
            found |= {sanction.id: sanction for sanction in await self._with_addresses(await _values(rows))}
        return found

    async def _of_ids(self, sanction_ids: Sequence[int]) -> list[Sanction]:
        if not sanction_ids:
            return []
        return await self._with_addresses(await _values(SanctionRow.filter(id__in=list(sanction_ids)).order_by("id")))

    async def _in_force_of(self, target: Target, addresses: frozenset[str], now_ms: int) -> list[Sanction]:
        """Of an anonymous target by its name and by its addresses, each with an index of its own."""
        mine = Q(target_user_id=target.user_id) & _in_force(now_ms)
        found = {row[0]: row for row in await _values(SanctionRow.filter(mine, target_username=target.username))}
        if not target.user_id and addresses:
            held = SanctionAddressRow.filter(address__in=sorted(addresses)).values("sanction_id")
            found |= {row[0]: row for row in await _values(SanctionRow.filter(mine, id__in=Subquery(held)))}
        return await self._with_addresses([found[sanction_id] for sanction_id in sorted(found)])

    async def _ban_on(self, speaker: Speaker, slug: str, now_ms: int) -> Sanction | None:
        """One that binds somebody in a room: of a user, or of whoever was seen at an anonymous person's address."""
        where = _in_force(now_ms) & _reach(SanctionQuery([slug], everywhere=True)) & Q(kind=int(Action.BAN))
        if speaker.user_id:
            rows = await _values(SanctionRow.filter(where, target_user_id=speaker.user_id))
        else:
            named = SanctionRow.filter(where, target_user_id=0, target_username=speaker.username)
            held = SanctionAddressRow.filter(address=speaker.address).values("sanction_id")
            rows = await _values(named) + await _values(SanctionRow.filter(where, id__in=Subquery(held)))
        bans = await self._with_addresses(rows)
        return next((ban for ban in bans if ban.binds(speaker, slug, now_ms=now_ms)), None)

    async def _find(self, sanction_id: int) -> Sanction | None:
        found = await self._with_addresses(await _values(SanctionRow.filter(id=sanction_id)))
        return found[0] if found else None

    async def _with_addresses(self, rows: Sequence[_Values]) -> list[Sanction]:
        addresses: dict[int, set[str]] = {}
        for start in range(0, len(rows), _IDS_AT_ONCE):
            ids = [row[0] for row in rows[start : start + _IDS_AT_ONCE]]
            held = SanctionAddressRow.filter(sanction_id__in=ids)
            for sanction_id, address in await held.values_list("sanction_id", "address"):
                addresses.setdefault(sanction_id, set()).add(address)
        return self._understood(rows, addresses)

    def _understood(self, rows: Sequence[_Values], addresses: Mapping[int, set[str]]) -> list[Sanction]:
        """Without those of a later version, which must not keep this one from the others."""
        found = []
        for row in rows:
            try:
                found.append(sanction_from_values(row, frozenset(addresses.get(row[0], ()))))
            except ValueError as problem:
                self._not_understood.note(sanction_id=row[0], problem=str(problem))
        return found


async def _values(rows: QuerySet[SanctionRow]) -> list[_Values]:
    """Without making a model of each: a replica that starts reads very many."""
    return await rows.values_list(*SANCTION_COLUMNS)


def _pin_details(version: int, life: int, before: LoggedMessage | None, after: LoggedMessage | None) -> dict[str, Any]:
    """What the audit row of a pin keeps: no text."""
    ids = {"before": None if before is None else before.id, "after": None if after is None else after.id}
    return {"version": version, "life": life, **ids}


async def _change_policy(order: PolicyOrder, now_ms: int) -> Receipt:
    """Under the lock of commands."""
    command, log = order.command, order.log
    changed, details = await write_policy(command, now_ms=now_ms)
    audit = policy_audit_row(order, details, now_ms)
    await append_audit(audit)
    if log is None:
        return Receipt(audit.id, policy=changed)
    change = PolicyChange(log, command.moderator.user_id, order.origin, changed.version, changed.policy)
    return Receipt(audit.id, policy=changed, work=await put(audit.id, change, now_ms=now_ms))


async def _undo(order: UndoOrder, undone: AuditRow, undoing: Undoing, now_ms: int) -> Receipt:
    """Do what an undo comes to, under the lock of commands."""
    log, moderator = order.log, order.command.moderator
    audit = undo_row(order, undone, undoing, now_ms)
    details: dict[str, Any] = dict(audit.details or {})
    if undoing.lifts:
        await SanctionRow.filter(id__in=audit.lifted_ids).update(lifted_at_ms=now_ms)
        await lapse_requests(audit.lifted_ids, now_ms=now_ms)
    imposed = tuple([await _insert_again(sanction, now_ms) for sanction in undoing.imposes])
    if imposed:
        details["imposed_ids"] = [sanction.id for sanction in imposed]
        details["again_of"] = [sanction.id for sanction in undoing.imposes]
    policy: RoomPolicy | None = None
    told: LogChange | None = None
    if undoing.changes:
        command = PolicyCommand(moderator, undone.slug, undoing.changes, order.command.reason)
        policy, of_policy = await write_policy(command, now_ms=now_ms)
        details |= of_policy
        if log is not None:
            told = PolicyChange(log, moderator.user_id, order.origin, policy.version, policy.policy)
    if undoing.pin is not None and log is not None:
        told, details["pin"] = await _put_pin_back(order, undone.slug, log, undoing.pin, now_ms)
    warning = None
    if undoing.withdraws is not None:
        warning = await withdraw(undoing.withdraws, now_ms=now_ms)
    roles, of_role = await undo_role(order.command, undone, undoing.role, now_ms=now_ms)
    audit.details = details | of_role
    await append_audit(audit)
    denied = await _deny_held_of(imposed, moderator, order.command.reason, now_ms)
    work = None if told is None else await put(audit.id, told, now_ms=now_ms)
    result = undone_from_row(audit, brings_entry=work is not None)
    return Receipt(
        audit.id,
        event_from_row(audit, imposed, order.origin),
        work=work,
        policy=policy,
        warning=warning,
        roles=roles,
        undone=result,
        denied=denied,
    )


async def _put_pin_back(
    order: UndoOrder, slug: str, log: LogRef, pin: PinBack, now_ms: int
) -> tuple[PinChange, dict[str, Any]]:
    """What is told of it, and what the audit row keeps."""
    action = PinAction.UNPIN if pin.message is None else PinAction.PIN
    known = await pin_of(slug)
    before = None if known is None else known.message_in(log)
    command = PinCommand(action, order.command.moderator, slug, pin.message_id, order.command.reason)
    version = await write_pin(command, log.life, pin.message, now_ms=now_ms)
    change = PinChange(action, log, command.moderator.user_id, order.origin, pin.message_id, version)
    return change, _pin_details(version, log.life, before, pin.message)


def _in_force(now_ms: int) -> Q:
    return Q(lifted_at_ms__isnull=True) & (Q(expires_at_ms__isnull=True) | Q(expires_at_ms__gt=now_ms))


def _reach(query: SanctionQuery) -> Q:
    if not query.everywhere:
        return Q(slug__in=list(query.slugs))
    return Q(slug__isnull=True) | Q(slug__in=list(query.slugs)) if query.slugs else Q(slug__isnull=True)


def _newest_first(rows: Sequence[_Values], others: Sequence[_Values]) -> list[_Values]:
    return sorted([*rows, *others], key=lambda row: row[0], reverse=True)


def _parts(targets: Sequence[Target]) -> list[Sequence[Target]]:
    """Behind one address there may have been thousands of names."""
    return [targets[start : start + _IDS_AT_ONCE] for start in range(0, len(targets), _IDS_AT_ONCE)]


def _aim(targets: Sequence[Target]) -> Q:
    """None are all. Users and names each with the columns of one index."""
    if not targets:
        return Q()
    users = [target.user_id for target in targets if target.user_id]
    names = [target.username for target in targets if not target.user_id]
    at_users = Q(target_user_id__in=users)
    at_names = Q(target_user_id=0, target_username__in=names)
    return at_users | at_names if users and names else at_users if users else at_names


async def _make_anew(
    order: EraseUserOrder, lifted: Sequence[Sanction], now_ms: int
) -> tuple[tuple[Sanction, ...], AuditRow]:
    """These sanctions without addresses, under new ids: replicas only ever add addresses to one that they know. And the
    row that says so."""
    lifted_ids = [sanction.id for sanction in lifted]
    if lifted_ids:
        await SanctionRow.filter(id__in=lifted_ids).update(lifted_at_ms=now_ms, evidence_erased_at_ms=now_ms)
        await SanctionAddressRow.filter(sanction_id__in=lifted_ids).delete()
    imposed = tuple([await _insert_again(replace(s, addresses=frozenset()), now_ms) for s in lifted])
    return imposed, user_erasure_audit_row(order, imposed, lifted_ids, now_ms)


async def _insert_again(sanction: Sanction, now_ms: int) -> Sanction:
    """The same sanction under a new id: edges do not hear of one again that they know as lifted."""
    row = SanctionRow(
        kind=int(sanction.kind),
        target_user_id=sanction.target.user_id,
        target_username=sanction.target.username,
        slug=sanction.slug,
        reason=sanction.reason,
        moderator_user_id=sanction.moderator_user_id,
        moderator_rank=int(sanction.moderator_rank),
        created_at_ms=now_ms,
        expires_at_ms=sanction.expires_at_ms,
    )
    return await _save(row, sanction.addresses)


async def _may_be_shielded(slug: str, now_ms: int) -> bool:
    """Whether the policy asks for a shield that comes by itself, there is none, and nobody took one away lately."""
    policy = await policy_of(slug)
    if not policy.shield_automatic or policy.is_shielded(now_ms):
        return False
    return not await was_shield_taken_away(slug, now_ms - LEFT_TO_MODERATORS_MS)


async def _carry_out(
    order: SanctionOrder, change: Change, *, now_ms: int, answers: UnbanRequest | None = None
) -> Receipt:
    """What was decided about sanctions, in the transaction that is open; `answers`: the unban request that it is about,
    as it is since."""
    command, purge = order.command, order.purge
    lifted_ids = tuple(s.id for s in change.lifted)
    if lifted_ids:
        await SanctionRow.filter(id__in=lifted_ids).update(lifted_at_ms=now_ms)
        await lapse_requests(lifted_ids, now_ms=now_ms)
    imposed = (await _insert(command, change.addresses, now_ms),) if change.imposes else ()
    audit = audit_row(order, imposed, lifted_ids, now_ms)
    if answers is None:
        await append_audit(audit)
    else:
        audit.details = {"unban_request_id": answers.id}
        await append_audit(audit, kind=REQUEST_DECIDED, data=_told_of(answers))
    work = None
    if purge is not None:
        await end_pin(command.slug, purge, now_ms=now_ms)
        work = await put(audit.id, purge, now_ms=now_ms)
    denied = await _deny_held_of(imposed, command.moderator, command.reason, now_ms)
    event = event_from_row(audit, imposed, order.origin)
    return Receipt(audit.id, event, work=work, unban_request=answers, denied=denied)


async def _deny_held_of(
    imposed: Sequence[Sanction], moderator: Moderator, reason: str, now_ms: int
) -> tuple[Hold, ...]:
    """What a ban's target has waiting, each denial with an audit row of its own; no more than DENIED_AT_ONCE."""
    denied: list[Hold] = []
    for ban in imposed:
        if ban.kind is not Action.BAN or len(denied) == DENIED_AT_ONCE:
            continue
        for hold in await waiting_of(ban, DENIED_AT_ONCE - len(denied), now_ms=now_ms):
            denied.append(hold.after(HoldStep.DENY, moderator.user_id, now_ms))
            command = DecideHeldCommand(HoldAction.DENY, moderator, hold.slug, hold.id, reason)
            await _write_decision(command, denied[-1], "", now_ms)
    return tuple(denied)


async def _deny_instead(hold: Hold, ban: Sanction, now_ms: int) -> Receipt:
    """What the ban of its author has not denied yet, as it would have."""
    denied = hold.after(HoldStep.DENY, ban.moderator_user_id, now_ms)
    moderator = Moderator(ban.moderator_user_id, ban.moderator_rank)
    command = DecideHeldCommand(HoldAction.DENY, moderator, hold.slug, hold.id, ban.reason)
    return Receipt(await _write_decision(command, denied, "", now_ms), hold=denied)


async def _write_decision(command: DecideHeldCommand, decided: Hold, nonce: str, now_ms: int) -> int:
    """The id of its audit row."""
    audit = decision_audit_row(command, decided, nonce, now_ms)
    await append_audit(audit, kind="hold_decided", data=shown_decision(decided))
    await write_decision(decided, audit.id)
    return int(audit.id)


def _told_of(request: UnbanRequest) -> dict[str, Any]:
    """A decision, in the moderators' feed."""
    return {"unban_request_id": request.id, "decision": request.state.name.lower()}


async def _insert(command: Command, addresses: frozenset[str], now_ms: int) -> Sanction:
    return await _save(sanction_to_row(command, now_ms), addresses)


async def _save(row: SanctionRow, addresses: frozenset[str]) -> Sanction:
    await row.save()
    await SanctionAddressRow.bulk_create([SanctionAddressRow(sanction_id=row.id, address=a) for a in sorted(addresses)])
    return sanction_from_row(row, addresses)
