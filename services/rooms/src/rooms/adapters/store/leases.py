"""The Leases port on SQLite or PostgreSQL. Every change is one short transaction."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Callable, Sequence, Set
from datetime import datetime

from chassis.database import Database, Session, packed
from chassis.outages import retried_on_conflict, retry_on_conflict
from rooms.adapters.store.connections import (
    add_connections,
    confirm,
    end_away,
    find_away,
    next_part,
    remove_connections,
)
from rooms.adapters.store.dormant_logs import supersede, take_up
from rooms.adapters.store.reaping import OrphanSearch, reap
from rooms.adapters.store.rooms import PART, end_lives, forget_unused, lock_empty, lock_slugs
from rooms.adapters.store.tables import to_ms
from rooms.domain.leases import Lease
from rooms.domain.membership import HeldConnection, find_missing, lives_without, newest_lives, take_back
from rooms.domain.people import ConnectionId, EdgeId, Life
from rooms.domain.presence import Changes
from rooms.domain.rooms import DAY_MS, RoomPolicy
from rooms.errors import SyncSuperseded
from rooms.ports import Parted, Registered, Removed

_EDGES_A_SWEEP = 100
_PARTS_REAPED = 20
"""In one go; what is left waits for the next."""
_BEING_REMOVED_MS = -1
"""When the lease expires of an edge of which a part was removed: no heartbeat renews it, the edge registers again."""
_REVIVED = {"life": "bigint", "room_id": "bigint", "slug": "text", "partition_number": "smallint"}
_DELETED = "SELECT 1 FROM deleted_slug d WHERE d.slug = x.slug AND x.life <= d.last_life"


async def open_lease(session: Session, edge: EdgeId, lease_ms: int) -> None:
    """Renew a lease, or make one, and lock it."""
    await session.fetch(
        f"INSERT INTO edge_lease (edge, expires_ms) VALUES ($1, {session.now_ms} + $2)"
        " ON CONFLICT (edge) DO UPDATE SET expires_ms = excluded.expires_ms",
        edge,
        lease_ms,
    )


async def lock_lease(session: Session, edge: EdgeId) -> None:
    """Calls of one edge wait for each other here, so that a leave finds what the join before it put in."""
    await session.fetch(f"SELECT edge FROM edge_lease WHERE edge = $1 {session.for_update}", edge)


async def come_to(session: Session, edge: EdgeId, ordinal: int) -> bool:
    """Lock a lease, and remember that its edge has come to this request of those that carry ranks. False: it has come
    to a later one, so that it has given this one up, or it has no lease."""
    return bool(
        await session.fetch(
            "UPDATE edge_lease SET ordinal = $2 WHERE edge = $1 AND ordinal <= $2 RETURNING edge", edge, ordinal
        )
    )


class TortoiseLeases:
    """Raises DatabaseUnavailable, SyncSuperseded."""

    def __init__(self, database: Database, policy: RoomPolicy) -> None:
        self._database = database
        self._policy = policy
        self._orphans = OrphanSearch()

    async def is_answering(self) -> bool:
        """See Database.is_alive."""
        return await self._database.is_alive()

    async def renew(self, edge: EdgeId) -> Lease:
        """As long as nothing was swept, what the lease covers still stands, however late the heartbeat."""
        async with self._database.session() as session:
            rows = await session.fetch(
                f"UPDATE edge_lease SET expires_ms = {session.now_ms} + $1"
                f" WHERE edge = $2 AND expires_ms <> {_BEING_REMOVED_MS}"
                " RETURNING (SELECT count(*) FROM connection WHERE connection.edge = $2) AS held",
                self._policy.lease_ms,
                edge,
            )
        return Lease(True, rows[0]["held"]) if rows else Lease(False, 0)

    @retried_on_conflict
    async def register(
        self,
        edge: EdgeId,
        held: Sequence[HeldConnection],
        *,
        ordinal: int,
        is_newest: Callable[[], bool],
        now: datetime,
    ) -> Registered:
        """Register a part of what an edge holds, after its lease had expired or an answer was lost."""
        now_ms = to_ms(now)
        async with self._database.transaction() as session:
            await open_lease(session, edge, self._policy.lease_ms)
            await _check_newest(session, edge, ordinal, is_newest)
            if not held:
                return Registered([], Changes())
            missing, lost = find_missing(held, await confirm(session, edge, held))
            revived = await _revive(session, missing, now_ms)
            entrants, turned_away = take_back(missing, await lock_slugs(session, {one.slug for one in missing}))
            if unused := lives_without(revived, entrants):
                await end_lives(session, unused, dormant_ms=self._policy.dormant_ms)
            limit = self._policy.presence_limit
            _, changes = await add_connections(session, edge, entrants, limit=limit, now_ms=now_ms)
            return Registered(lost + turned_away, changes)

    @retried_on_conflict
    async def mark_stale(
        self, edge: EdgeId, *, after: ConnectionId, ordinal: int, is_newest: Callable[[], bool]
    ) -> ConnectionId | None:
        """Mark a part of what an edge holds."""
        async with self._database.transaction() as session:
            await open_lease(session, edge, self._policy.lease_ms)
            await _check_newest(session, edge, ordinal, is_newest)
            rows = await session.fetch(
                "UPDATE connection SET stale = true WHERE id IN (SELECT c.id FROM connection c"
                f" WHERE c.edge = $1 AND c.number > $2 AND NOT c.stale ORDER BY c.number LIMIT {PART})"
                " RETURNING number",
                edge,
                after,
            )
            return max(row["number"] for row in rows) if len(rows) == PART else None

    @retried_on_conflict
    async def remove_stale(
        self, edge: EdgeId, *, after: ConnectionId, ordinal: int, is_newest: Callable[[], bool], now: datetime
    ) -> Removed:
        """Remove a part of what is marked."""
        async with self._database.transaction() as session:
            await _check_newest(session, edge, ordinal, is_newest)
            part = await next_part(session, edge, after=after, is_stale=True)
            changes = await remove_connections(session, self._policy, part, now_ms=to_ms(now))
            return Removed(changes, part[-1]["number"] if len(part) == PART else None)

    @retried_on_conflict
    async def remove(self, edge: EdgeId, *, now: datetime, only_expired: bool = False) -> Removed:
        """Remove a part of what an edge holds."""
        async with self._database.transaction() as session:
            if not only_expired:
                await lock_lease(session, edge)
            elif not await _lock_expired(session, edge):
                return Removed(Changes(), None)
            return await self._remove_part(session, edge, to_ms(now))

    async def _remove_part(self, session: Session, edge: EdgeId, now_ms: int) -> Removed:
        part = await next_part(session, edge, after=ConnectionId(0))
        changes = await remove_connections(session, self._policy, part, now_ms=now_ms)
        if len(part) < PART:
            await session.fetch("DELETE FROM edge_lease WHERE edge = $1", edge)
            return Removed(changes, None)
        await session.fetch("UPDATE edge_lease SET expires_ms = $2 WHERE edge = $1", edge, _BEING_REMOVED_MS)
        return Removed(changes, part[-1]["number"])

    async def expired(self) -> list[EdgeId]:
        """By the database's clock."""
        async with self._database.session() as session:
            rows = await session.fetch(
                f"SELECT edge FROM edge_lease WHERE expires_ms < {session.now_ms} ORDER BY edge LIMIT {_EDGES_A_SWEEP}"
            )
        return [EdgeId(row["edge"]) for row in rows]

    @retried_on_conflict
    async def end_away(self, *, now: datetime) -> Parted:
        """End a part of the away memberships whose time is up."""
        async with self._database.transaction() as session:
            changes, is_last = await end_away(session, self._policy, now_ms=to_ms(now))
            return Parted(changes, is_last)

    @retried_on_conflict
    async def end_abandoned(self, *, now: datetime) -> Changes:
        """End rooms that are empty or unused for too long."""
        now_ms = to_ms(now)
        async with self._database.transaction() as session:
            grace, unused = self._policy.empty_grace_ms, self._policy.unused_ms
            found = await lock_empty(session, empty_before_ms=now_ms - grace, unused_before_ms=now_ms - unused)
            abandoned = [room for room in found if self._policy.is_abandoned(room, now_ms=now_ms)]
            away = await find_away(session, [room.life for room in abandoned])
            rooms = [room for room in abandoned if room.life not in away]
            if rooms:
                await end_lives(session, [room.life for room in rooms], dormant_ms=self._policy.dormant_ms)
            for table, key in (("deleted_slug", "slug"), ("deleted_life", "life")):
                old = f"SELECT {key} FROM {table} WHERE deleted_ms < $1 LIMIT {PART}"
                await session.fetch(f"DELETE FROM {table} WHERE {key} IN ({old})", now_ms - DAY_MS)
            return Changes(ended=tuple(room.ended for room in rooms))

    async def reap(self, *, now: datetime) -> None:
        """Some parts, each in a transaction of its own."""

        async def part() -> bool:
            async with self._database.transaction() as session:
                return await reap(session, now_ms=to_ms(now))

        if self._orphans.is_due(now_ms=to_ms(now)):
            async with self._database.session() as session:
                await self._orphans.step(session, now_ms=to_ms(now))
        for _ in range(_PARTS_REAPED):
            if not await retry_on_conflict(part):
                break
        await self._forget_unused()

    @retried_on_conflict
    async def _forget_unused(self) -> None:
        async with self._database.transaction() as session:
            await forget_unused(session, self._policy.kept_ms)


async def _check_newest(session: Session, edge: EdgeId, ordinal: int, is_newest: Callable[[], bool]) -> None:
    """`is_newest` also knows the syncs of edges of before, which have no ordinals, but those of this replica alone."""
    if not (await come_to(session, edge, ordinal) and is_newest()):
        raise SyncSuperseded


async def _lock_expired(session: Session, edge: EdgeId) -> bool:
    """What another replica is sweeping is left to it, and what was renewed is left alone."""
    rows = await session.fetch(
        f"SELECT edge FROM edge_lease WHERE edge = $1 AND expires_ms < {session.now_ms}"
        f" {session.for_update_skip_locked}",
        edge,
    )
    return bool(rows)


async def _revive(session: Session, missing: Sequence[HeldConnection], now_ms: int) -> Set[Life]:
    """Make rooms again with their old life where the slug does not live and nobody deleted it."""
    newest = newest_lives(missing)
    revived = await _insert_lives(session, newest, now_ms) if newest else set()
    if not revived:
        return revived
    if late := await take_up(session, revived):
        these = f"life IN (SELECT x.life FROM {session.rows({'life': 'bigint'})})"
        await session.fetch(f"DELETE FROM room WHERE {these}", packed([{"life": life} for life in late]))
        revived -= late
    if not revived:
        return revived
    await session.never_reuse("room", "life", max(revived))
    # Who was in it before is here again: a part of a reaping that is under way ends first, and no other follows.
    await session.fetch(
        f"DELETE FROM ended_life WHERE life IN (SELECT x.life FROM {session.rows({'life': 'bigint'})})",
        packed([{"life": life} for life in revived]),
    )
    deleted = await _deleted_lives(session, [one for one in newest if one.life in revived])
    if deleted:
        await end_lives(session, deleted, dormant_ms=0)
    await supersede(session, [one.slug for one in newest if one.life in revived])
    return revived - deleted


async def _insert_lives(session: Session, held: Sequence[HeldConnection], now_ms: int) -> set[Life]:
    """Those whose slug is free. Which versions the edges have seen is not known any more: the clock is beyond all of
    them, and the gap makes every edge read the participants again."""
    rows = await session.fetch(
        "INSERT INTO room (life, room_id, slug, created_ms, version, partition_number)"
        f" SELECT x.life, x.room_id, x.slug, $2, $3, x.partition_number FROM {session.rows(_REVIVED)}"
        f" WHERE NOT EXISTS ({_DELETED}) ORDER BY x.slug ON CONFLICT DO NOTHING RETURNING life",
        packed([_revived(one) for one in held]),
        now_ms,
        now_ms,
    )
    return {row["life"] for row in rows}


def _revived(one: HeldConnection) -> dict[str, object]:
    return {"life": one.life, "room_id": one.room_id, "slug": one.slug, "partition_number": one.partition}


async def _deleted_lives(session: Session, held: Sequence[HeldConnection]) -> set[Life]:
    """A deletion that was under way held the slug until now, and was not there to be seen before."""
    rows = await session.fetch(
        f"SELECT x.life FROM {session.rows({'life': 'bigint', 'slug': 'text'})} WHERE EXISTS ({_DELETED})",
        packed([{"life": one.life, "slug": one.slug} for one in held]),
    )
    return {row["life"] for row in rows}
