"""What commands have still to do in the logs of rooms: rows that one replica works on at a time."""

import asyncio
import secrets
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from tortoise.functions import Count, Min

from chassis.database import Database
from moderation.adapters.store.audit import append_audit
from moderation.adapters.store.database import COMMAND_LOCK, answered
from moderation.adapters.store.holds import message_from_values, values_of as values_of_message
from moderation.adapters.store.policies import policy_from_values, values_of
from moderation.adapters.store.rows import completing_row, storable
from moderation.adapters.store.tables import AuditRow, OutboxRow
from moderation.domain.commands import LogChange, OutboxItem
from moderation.domain.erasures import Erasure, ErasureKind, LoggedMessage, LogRef, Origin
from moderation.domain.holds import HoldAction, Publication
from moderation.domain.people import Target
from moderation.domain.pins import PinAction, PinChange
from moderation.domain.policy import PolicyAction, PolicyChange
from moderation.errors import ClaimLost
from moderation.ports import Backlog

LEASE_MS = 15_000
"""A replica that has not said for so long that it still works on a row has lost it to the next that looks."""
_ROWS_AT_ONCE = 1000
_ERASURES = [int(kind) for kind in ErasureKind]
_PINS = [int(action) for action in PinAction]
_KINDS = [*_ERASURES, int(PolicyAction.CHANGE), *_PINS, int(HoldAction.ALLOW)]


class TortoiseOutbox:
    """The port Outbox, on a database that its owner opens and closes."""

    def __init__(self, database: Database, commanding: asyncio.Lock | None = None) -> None:
        """`commanding`: of the store on the same database, see there."""
        self._database = database
        self._commanding = commanding or asyncio.Lock()

    @answered
    async def claim(
        self, *, first: int, now_ms: int, of: Collection[int] = (), not_of: Collection[int] = ()
    ) -> list[OutboxItem]:
        """Each by one replica: rows that another one takes at this moment are left out. So are those of a kind that a
        later version has made."""
        claim = new_claim()
        due = OutboxRow.filter(done_at_ms__isnull=True, due_at_ms__lte=now_ms, kind__in=_KINDS)
        if of:
            due = due.filter(log_partition__in=list(of))
        if not_of:
            due = due.exclude(log_partition__in=list(not_of))
        async with self._database.transaction():
            rows = await due.order_by("due_at_ms").limit(first).select_for_update(skip_locked=True)
            for row in rows:
                row.attempts, row.claim, row.due_at_ms = row.attempts + 1, claim, now_ms + LEASE_MS
                await row.save(update_fields=["attempts", "claim", "due_at_ms"])
            return [item_from_row(row) for row in rows]

    @answered
    async def renew(self, item: OutboxItem, *, now_ms: int) -> None:
        await self._update(item, due_at_ms=now_ms + LEASE_MS)

    @answered
    async def resolved(self, item: OutboxItem, erasure: Erasure, message: LoggedMessage | None, *, now_ms: int) -> None:
        turn = nullcontext() if message is None else self._commanding
        async with turn, self._database.transaction() as session:
            if message is not None:
                await session.lock(COMMAND_LOCK)
            values = {"resolved_at_ms": now_ms, "due_at_ms": now_ms + LEASE_MS}
            await self._write(item, details=_details_of_erasure(erasure), **values)
            if message is not None:
                # Its row is in the chain, and is what it was when the deletion was asked for: this is another one.
                deletion = await AuditRow.get_or_none(id=item.action_id, evidence_erased_at_ms__isnull=True)
                if deletion is not None:
                    await append_audit(completing_row(deletion, message, now_ms))

    @answered
    async def appended(self, item: OutboxItem, entry_id: int, *, now_ms: int) -> None:
        values: dict[str, Any] = {"entry_id": entry_id, "due_at_ms": now_ms + LEASE_MS}
        if isinstance(item.change, Publication):  # from here on the log alone has the text, where it can be erased
            values["details"] = _details_of_publication(item.change.without_text)
        await self._update(item, **values)

    @answered
    async def is_preceded(self, item: OutboxItem) -> bool:
        async with self._database.transaction():
            log = item.change.log
            of_log = OutboxRow.filter(life=log.life, room_id=log.room_id, done_at_ms__isnull=True, kind__in=_PINS)
            return await of_log.filter(entry_id__isnull=True, action_id__lt=item.action_id).exists()

    @answered
    async def postpone(self, item: OutboxItem, *, until_ms: int) -> None:
        await self._update(item, due_at_ms=until_ms)

    @answered
    async def done(self, item: OutboxItem, *, now_ms: int) -> None:
        await self._update(item, done_at_ms=now_ms)

    @answered
    async def backlog(self) -> Backlog:
        async with self._database.transaction():
            found = OutboxRow.filter(done_at_ms__isnull=True).annotate(
                count=Count("action_id"), first=Min("made_at_ms")
            )
            ((count, first),) = await found.values_list("count", "first")
            return Backlog(int(count), None if first is None else int(first))

    @answered
    async def forget_done(self, before_ms: int) -> bool:
        async with self._database.transaction():
            rows = OutboxRow.filter(done_at_ms__lt=before_ms).limit(_ROWS_AT_ONCE)
            ids = [row.action_id for row in await rows.select_for_update(skip_locked=True).only("action_id")]
            await OutboxRow.filter(action_id__in=ids).delete()
            return len(ids) == _ROWS_AT_ONCE

    async def _update(self, item: OutboxItem, **values: Any) -> None:
        async with self._database.transaction():
            await self._write(item, **values)

    async def _write(self, item: OutboxItem, **values: Any) -> None:
        mine = OutboxRow.filter(action_id=item.action_id, claim=item.claim, done_at_ms__isnull=True)
        if not await mine.update(**values):
            raise ClaimLost


async def put(action_id: int, change: LogChange, *, now_ms: int) -> OutboxItem:
    """Give the outbox something to do, in the transaction that is open; claimed for the caller. What is taken back and
    is not in the log yet never will be."""
    if isinstance(change, Erasure) and change.kind is not ErasureKind.DELETE:
        change = replace(change, ended_keys=await _end_publications(change))
    is_resolved = not isinstance(change, Erasure) or change.is_resolved
    row = OutboxRow(
        action_id=action_id,
        kind=_kind_of(change),
        log_partition=change.log.partition,
        room_id=change.log.room_id,
        life=change.log.life,
        details=_details_of(change),
        made_at_ms=now_ms,
        resolved_at_ms=now_ms if is_resolved else None,
        due_at_ms=now_ms + LEASE_MS,
        claim=new_claim(),
    )
    await row.save()
    return item_from_row(row)


async def pending(log: LogRef) -> list[Erasure]:
    """What is to be erased in that log and is not yet, in the transaction that is open."""
    rows = OutboxRow.filter(life=log.life, room_id=log.room_id, done_at_ms__isnull=True, kind__in=_ERASURES)
    return [_erasure(row) for row in await rows.order_by("action_id")]


async def erased_since(log: LogRef, since_ms: int) -> list[Erasure]:
    """What is to be erased in that log, or was since then, in the transaction that is open."""
    done = OutboxRow.filter(done_at_ms__gte=since_ms, life=log.life, room_id=log.room_id, kind__in=_ERASURES)
    return [*await pending(log), *map(_erasure, await done)]


async def _end_publications(erasure: Erasure) -> tuple[str, ...]:
    """Forget what it takes back of what was allowed and, as far as is known, not stored; the keys. Whoever works on it
    has lost its claim."""
    log = erasure.log
    rows = OutboxRow.filter(
        life=log.life, room_id=log.room_id, done_at_ms__isnull=True, kind=int(HoldAction.ALLOW), entry_id__isnull=True
    )
    ended = [row for row in await rows if erasure.takes_all_of(_publication(row).message.target)]
    if ended:
        await rows.filter(action_id__in=[row.action_id for row in ended]).delete()
    return tuple(item_from_row(row).key for row in ended)


def new_claim() -> str:
    """What nobody else writes."""
    return secrets.token_hex(16)


def _kind_of(change: LogChange) -> int:
    if isinstance(change, PolicyChange):
        return int(PolicyAction.CHANGE)
    if isinstance(change, Publication):
        return int(HoldAction.ALLOW)
    return int(change.action if isinstance(change, PinChange) else change.kind)


def _details_of(change: LogChange) -> dict[str, Any]:
    if isinstance(change, PolicyChange):
        return _details_of_policy(change)
    if isinstance(change, Publication):
        return _details_of_publication(change)
    return _details_of_pin(change) if isinstance(change, PinChange) else _details_of_erasure(change)


def _details_of_erasure(erasure: Erasure) -> dict[str, Any]:
    """What differs by kind, and what the log says only later. Names stand in pairs of user id and name."""
    return {
        "moderator_user_id": erasure.moderator_user_id,
        "origin": _origin(erasure.origin),
        "message_id": erasure.message_id,
        "author": None if erasure.author is None else [erasure.author.user_id, storable(erasure.author.username)],
        "username": storable(erasure.username),
        "up_to_id": erasure.up_to_id,
        "message_keys": list(erasure.message_keys),
        "ended_keys": list(erasure.ended_keys),
    }


def _details_of_policy(change: PolicyChange) -> dict[str, Any]:
    return {
        "moderator_user_id": change.moderator_user_id,
        "origin": _origin(change.origin),
        "version": change.version,
        "policy": values_of(change.policy),
    }


def _details_of_pin(change: PinChange) -> dict[str, Any]:
    return {
        "moderator_user_id": change.moderator_user_id,
        "origin": _origin(change.origin),
        "version": change.version,
        "message_id": change.message_id,
    }


def _details_of_publication(change: Publication) -> dict[str, Any]:
    return {
        "origin": _origin(change.origin),
        "hold_id": change.hold_id,
        "message": values_of_message(change.message),
    }


def _origin(origin: Origin) -> list[str]:
    return [origin.edge, str(origin.token), storable(origin.nonce)]


def item_from_row(row: OutboxRow) -> OutboxItem:
    """A row as the use cases know it."""
    return OutboxItem(
        action_id=row.action_id,
        claim=row.claim,
        change=_change(row),
        entry_id=row.entry_id or 0,
        attempts=row.attempts,
        made_at_ms=row.made_at_ms,
        resolved_at_ms=row.resolved_at_ms,
    )


def _change(row: OutboxRow) -> LogChange:
    if row.kind == PolicyAction.CHANGE:
        return _policy_change(row)
    if row.kind == HoldAction.ALLOW:
        return _publication(row)
    return _pin_change(row) if row.kind in _PINS else _erasure(row)


def _log_of(row: OutboxRow) -> LogRef:
    return LogRef(row.log_partition, row.room_id, row.life)


def _origin_from(details: Mapping[str, Any]) -> Origin:
    edge, token, nonce = details["origin"]
    return Origin(edge, int(token), nonce)


def _policy_change(row: OutboxRow) -> PolicyChange:
    details = row.details
    policy = policy_from_values(details["policy"])
    origin = _origin_from(details)
    return PolicyChange(_log_of(row), details["moderator_user_id"], origin, details["version"], policy)


def _pin_change(row: OutboxRow) -> PinChange:
    details, action = row.details, PinAction(row.kind)
    by, origin = details["moderator_user_id"], _origin_from(details)
    return PinChange(action, _log_of(row), by, origin, details["message_id"], details["version"])


def _publication(row: OutboxRow) -> Publication:
    details = row.details
    origin, message = _origin_from(details), message_from_values(details["message"])
    return Publication(_log_of(row), origin, details["hold_id"], message)


def _erasure(row: OutboxRow) -> Erasure:
    details = row.details
    author = details["author"]
    return Erasure(
        ErasureKind(row.kind),
        _log_of(row),
        details["moderator_user_id"],
        _origin_from(details),
        message_id=details["message_id"],
        author=None if author is None else Target(*author),
        username=details["username"],
        up_to_id=details["up_to_id"],
        message_keys=tuple(details["message_keys"]),
        ended_keys=tuple(details.get("ended_keys", ())),
    )
