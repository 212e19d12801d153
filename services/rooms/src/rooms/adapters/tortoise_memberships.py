"""Memberships and leases in the database. Every change is one transaction, and locks lease, then rooms by slug."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog

from chassis.database import Database, Session, packed
from chassis.errors import DatabaseUnavailable
from chassis.outages import is_conflict, retry_on_conflict
from rooms.adapters.arrivals import Entrant, admit
from rooms.adapters.departures import PART, named, next_part, remove
from rooms.adapters.join_plan import Plan, Planned, plan
from rooms.adapters.reaping import OrphanSearch, reap
from rooms.adapters.registration import register_again
from rooms.adapters.room_rows import LockedRoom, end_lives, insert_rooms, lock_abandoned, lock_slugs, slugs_of
from rooms.adapters.unused_settings import forget_unused
from rooms.domain.leases import Lease
from rooms.domain.membership import Arrival, ById, HeldConnection, JoinOutcome, JoinRefusal, Membership
from rooms.domain.people import ConnectionId, EdgeId, Life, Rank, RoomId, Slug, UserId
from rooms.domain.presence import Announced, Changes, RoomSnapshot
from rooms.domain.rooms import DAY_MS, RoomPolicy
from rooms.ports import Tell

_NUMBERS = {"number": "bigint"}
_ROUNDS = 20
_EDGES_A_SWEEP = 100
_PARTS_REAPED = 20
"""In one go; what is left waits for the next."""
_BEING_REMOVED_MS = -1
"""When the lease expires of an edge of which a part was removed: no heartbeat renews it, the edge registers again."""
_log = structlog.get_logger()


class TortoiseMemberships:
    """The Memberships port on SQLite or PostgreSQL. Raises DatabaseUnavailable."""

    def __init__(self, database: Database, policy: RoomPolicy) -> None:
        self._database = database
        self._policy = policy
        self._orphans = OrphanSearch()
        self._syncs: dict[EdgeId, object] = {}

    async def resolve(self, refs: Sequence[RoomId]) -> Mapping[RoomId, Slug]:
        """Slugs of the living rooms and kept settings with these public ids."""
        async with self._database.session() as session:
            return await slugs_of(session, refs)

    async def join(self, edge: EdgeId, arrivals: Sequence[Arrival], *, now: datetime, tell: Tell) -> list[JoinOutcome]:
        """Rounds, because a room may vanish, or appear, between being looked up and being locked."""
        pending: dict[ConnectionId, Arrival] = {}
        for arrival in arrivals:
            pending.setdefault(arrival.connection, arrival)
        outcomes: dict[ConnectionId, JoinOutcome] = {}
        for _ in range(_ROUNDS):
            waiting = [arrival for arrival in pending.values() if arrival.connection not in outcomes]
            if not waiting:
                break
            async with self._database.session() as session:
                planned = await plan(session, waiting, self._policy)
            found, made = await retry_on_conflict(lambda p=planned: self._join_round(edge, p, _ms(now)))  # type: ignore[misc] # mypy cannot infer a lambda's default
            tell(made)
            outcomes |= found
        return [outcomes.get(arrival.connection, JoinRefusal.UNAVAILABLE) for arrival in arrivals]

    async def _join_round(
        self, edge: EdgeId, planned: Plan, now_ms: int
    ) -> tuple[dict[ConnectionId, JoinOutcome], Changes]:
        async with self._database.transaction() as session:
            await self._open_lease(session, edge)
            outcomes = await _standing(session, edge, planned.arrivals)
            outcomes |= {c: refusal for c, refusal in planned.refused.items() if c not in outcomes}
            admitted = [item for item in planned.admitted if item.arrival.connection not in outcomes]
            slugs = {item.slug for item in admitted}
            new = [room for room in planned.new_rooms if room.slug in slugs]
            created = await insert_rooms(session, new, now_ms=now_ms) if new else set()
            locked = await lock_slugs(session, slugs) if slugs else {}
            entrants = [_entrant(item, locked[item.slug]) for item in admitted if _stands(item, locked.get(item.slug))]
            if unused := created - {entrant.room.life for entrant in entrants}:
                await end_lives(session, unused)
            limit = self._policy.presence_limit
            admission = await admit(session, edge, entrants, limit=limit, now_ms=now_ms)
            return outcomes | admission.memberships, Changes(admission.presence)

    async def leave(self, edge: EdgeId, connections: Sequence[ConnectionId], *, now: datetime) -> Changes:
        """Take connections out."""

        async def attempt() -> Changes:
            async with self._database.transaction() as session:
                await _lock_lease(session, edge)
                gone = await named(session, edge, connections)
                return await remove(session, self._policy, gone, now_ms=_ms(now))

        return await retry_on_conflict(attempt)

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

    async def sync(
        self, edge: EdgeId, held: Sequence[HeldConnection], *, first: bool, last: bool, now: datetime, tell: Tell
    ) -> list[ConnectionId]:
        """Register again what an edge holds; what it does not name is forgotten with the last part. The caller has
        none of the edge's joins and leaves under way."""

        async def register() -> tuple[list[ConnectionId], Changes]:
            async with self._database.transaction() as session:
                await self._open_lease(session, edge)
                return await register_again(session, edge, held, limit=self._policy.presence_limit, now_ms=_ms(now))

        if first:
            self._syncs[edge] = object()
            await self._doubt(edge)
        this = self._syncs.get(edge)
        lost, changes = await retry_on_conflict(register)
        tell(changes)
        if last:
            await self._forget_stale(edge, this, _ms(now), tell)
            self._syncs.pop(edge, None)
        return lost

    def _check_newest(self, edge: EdgeId, sync: object) -> None:
        """A sync whose edge gave it up and began another one here must not undo what that one did. Raises
        DatabaseUnavailable."""
        if self._syncs.get(edge) is not sync:
            raise DatabaseUnavailable

    async def _doubt(self, edge: EdgeId) -> None:
        """Mark all that an edge held as stale, in parts."""
        this = self._syncs[edge]

        async def mark(after: int) -> int | None:
            async with self._database.transaction() as session:
                await self._open_lease(session, edge)
                self._check_newest(edge, this)
                rows = await session.fetch(
                    "UPDATE connection SET stale = true WHERE id IN (SELECT c.id FROM connection c"
                    f" WHERE c.edge = $1 AND c.number > $2 AND NOT c.stale ORDER BY c.number LIMIT {PART})"
                    " RETURNING number",
                    edge,
                    after,
                )
                return max(row["number"] for row in rows) if len(rows) == PART else None

        after: int | None = 0
        while after is not None:
            after = await retry_on_conflict(lambda a=after: mark(a))  # type: ignore[misc] # mypy cannot infer a lambda's default

    async def _forget_stale(self, edge: EdgeId, sync: object, now_ms: int, tell: Tell) -> None:
        async def forget(after: int) -> tuple[Changes, int | None]:
            async with self._database.transaction() as session:
                await _lock_lease(session, edge)
                self._check_newest(edge, sync)
                part = await next_part(session, edge, after=after, is_stale=True)
                changes = await remove(session, self._policy, part, now_ms=now_ms)
                return changes, part[-1]["number"] if len(part) == PART else None

        after: int | None = 0
        while after is not None:
            changes, after = await retry_on_conflict(lambda a=after: forget(a))  # type: ignore[misc] # mypy cannot infer a lambda's default
            tell(changes)

    async def release(self, edge: EdgeId, *, now: datetime, tell: Tell) -> None:
        """Drop all that an edge holds, in parts, and its lease."""

        async def attempt() -> tuple[Changes, bool]:
            async with self._database.transaction() as session:
                await _lock_lease(session, edge)
                return await self._remove_part(session, edge, _ms(now))

        self._syncs.pop(edge, None)
        has_more = True
        while has_more:
            changes, has_more = await retry_on_conflict(attempt)
            tell(changes)

    async def sweep(self, *, now: datetime, tell: Tell) -> None:
        """Expired edges by turns, each part in a transaction of its own. One that fails does not keep the others from
        theirs."""
        async with self._database.session() as session:
            rows = await session.fetch(
                f"SELECT edge FROM edge_lease WHERE expires_ms < {session.now_ms} ORDER BY edge LIMIT {_EDGES_A_SWEEP}"
            )
        edges = [EdgeId(row["edge"]) for row in rows]
        while edges:
            edges = [edge for edge in edges if await self._try_to_sweep_edge(edge, _ms(now), tell)]
        tell(await retry_on_conflict(lambda: self._sweep_rooms(_ms(now))))

    async def reap(self, *, now: datetime) -> None:
        """Some parts, each in a transaction of its own."""

        async def part() -> bool:
            async with self._database.transaction() as session:
                return await reap(session, now_ms=_ms(now))

        if self._orphans.is_due(now_ms=_ms(now)):
            async with self._database.session() as session:
                await self._orphans.step(session, now_ms=_ms(now))
        for _ in range(_PARTS_REAPED):
            if not await retry_on_conflict(part):
                break
        await retry_on_conflict(self._forget_unused)

    async def _forget_unused(self) -> None:
        async with self._database.transaction() as session:
            await forget_unused(session, self._policy.kept_ms)

    async def _try_to_sweep_edge(self, edge: EdgeId, now_ms: int, tell: Tell) -> bool:
        """Whether more of it is left."""
        try:
            changes, has_more = await retry_on_conflict(lambda: self._sweep_edge(edge, now_ms))
        except Exception as problem:
            # Where it is not the edge, the next hundred would wait for their timeouts for nothing.
            has_lost = isinstance(problem, DatabaseUnavailable) or is_conflict(problem)
            if not has_lost or not await self._database.is_alive():
                raise
            _log.warning("edge_not_swept", edge=edge, reason=type(problem.__cause__ or problem).__name__)
            return False
        tell(changes)
        self._syncs.pop(edge, None)
        return has_more

    async def _sweep_edge(self, edge: EdgeId, now_ms: int) -> tuple[Changes, bool]:
        """What another replica is sweeping is left to it, and what was renewed is left alone."""
        async with self._database.transaction() as session:
            rows = await session.fetch(
                f"SELECT edge FROM edge_lease WHERE edge = $1 AND expires_ms < {session.now_ms}"
                f" {session.for_update_skip_locked}",
                edge,
            )
            return await self._remove_part(session, edge, now_ms) if rows else (Changes(), False)

    async def _sweep_rooms(self, now_ms: int) -> Changes:
        async with self._database.transaction() as session:
            grace, unused = self._policy.empty_grace_ms, self._policy.unused_ms
            rooms = await lock_abandoned(session, empty_before_ms=now_ms - grace, unused_before_ms=now_ms - unused)
            if rooms:
                await end_lives(session, [room.life for room in rooms])
            for table, key in (("deleted_slug", "slug"), ("deleted_life", "life")):
                old = f"SELECT {key} FROM {table} WHERE deleted_ms < $1 LIMIT {PART}"
                await session.fetch(f"DELETE FROM {table} WHERE {key} IN ({old})", now_ms - DAY_MS)
            return Changes(ended=tuple(room.ended for room in rooms))

    async def _remove_part(self, session: Session, edge: EdgeId, now_ms: int) -> tuple[Changes, bool]:
        """What changed, and whether more is left. The lease goes with the last part."""
        part = await next_part(session, edge, after=0)
        changes = await remove(session, self._policy, part, now_ms=now_ms)
        if len(part) < PART:
            await session.fetch("DELETE FROM edge_lease WHERE edge = $1", edge)
            return changes, False
        await session.fetch("UPDATE edge_lease SET expires_ms = $2 WHERE edge = $1", edge, _BEING_REMOVED_MS)
        return changes, True

    async def snapshot(self, life: Life) -> RoomSnapshot:
        """One statement, so that people and version belong together. Of a life that it does not find, a deletion is
        seen by the one after it: both were committed at once."""
        async with self._database.session() as session:
            rows = await session.fetch(
                "SELECT r.version, r.connection_count, r.crowded,"
                " p.key, p.user_id, p.username, p.version AS came FROM room r"
                " LEFT JOIN participant p ON p.life = r.life AND p.announced AND p.connections > 0"
                " WHERE r.life = $1 ORDER BY p.version",
                life,
            )
            if not rows:
                deleted = await session.fetch("SELECT life FROM deleted_life WHERE life = $1", life)
                return RoomSnapshot(0, 0, False, (), deleted=bool(deleted))
        people = tuple(
            Announced(row["key"], row["user_id"], row["username"], row["came"])
            for row in rows
            if row["key"] is not None
        )
        return RoomSnapshot(rows[0]["version"], rows[0]["connection_count"], bool(rows[0]["crowded"]), people)

    async def connected_rank(self, user_id: UserId | None, username: str, slug: Slug | None) -> Rank | None:
        """The highest rank of the connections of a user, or of the anonymous ones with a name."""
        who = "p.user_id = $1" if user_id is not None else "p.user_id IS NULL AND p.username = $1"
        where = "" if slug is None else " AND r.slug = $2"
        async with self._database.session() as session:
            rows = await session.fetch(
                "SELECT max(c.rank) AS highest FROM participant p JOIN connection c ON c.participant_id = p.id"
                f" JOIN room r ON r.life = p.life WHERE {who}{where}",
                user_id if user_id is not None else username,
                *([] if slug is None else [slug]),
            )
        return None if rows[0]["highest"] is None else Rank(rows[0]["highest"])

    async def stats(self) -> Mapping[RoomId, int]:
        """Open connections by public room id."""
        async with self._database.session() as session:
            rows = await session.fetch("SELECT room_id, connection_count FROM room WHERE connection_count > 0")
        return {row["room_id"]: row["connection_count"] for row in rows}

    async def _open_lease(self, session: Session, edge: EdgeId) -> None:
        await session.fetch(
            f"INSERT INTO edge_lease (edge, expires_ms) VALUES ($1, {session.now_ms} + $2)"
            " ON CONFLICT (edge) DO UPDATE SET expires_ms = excluded.expires_ms",
            edge,
            self._policy.lease_ms,
        )


def _ms(now: datetime) -> int:
    return int(now.timestamp() * 1000)


async def _lock_lease(session: Session, edge: EdgeId) -> None:
    """Calls of one edge wait for each other here, so that a leave finds what the join before it put in."""
    await session.fetch(f"SELECT edge FROM edge_lease WHERE edge = $1 {session.for_update}", edge)


async def _standing(session: Session, edge: EdgeId, arrivals: Sequence[Arrival]) -> dict[ConnectionId, JoinOutcome]:
    """Memberships that are there already: the join is a repetition, and is answered as the first one was."""
    of_room = f"{session.for_update} OF r" if session.for_update else ""
    rows = await session.fetch(
        "SELECT c.number, r.life, r.room_id, r.slug, r.connection_count, r.version, r.crowded"
        " FROM connection c JOIN room r ON r.life = c.life"
        f" WHERE c.edge = $2 AND c.number IN (SELECT x.number FROM {session.rows(_NUMBERS)}) ORDER BY r.slug {of_room}",
        packed([{"number": arrival.connection} for arrival in arrivals]),
        edge,
    )
    return {
        row["number"]: Membership(
            room_id=row["room_id"],
            life=row["life"],
            slug=row["slug"],
            connection_count=row["connection_count"],
            version=row["version"],
            crowded=bool(row["crowded"]),
        )
        for row in rows
    }


def _stands(item: Planned, room: LockedRoom | None) -> bool:
    """Whether the plan still holds for the room that was locked."""
    if room is None or room.access != item.access:
        return False
    return not isinstance(item.arrival.ref, ById) or room.room_id == item.arrival.ref.room_id


def _entrant(item: Planned, room: LockedRoom) -> Entrant:
    return Entrant(item.arrival.connection, item.arrival.person, room)
