"""The Memberships port on SQLite or PostgreSQL. Every change is one transaction."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Mapping, Sequence, Set
from datetime import datetime

from chassis.database import Database, Session, packed
from chassis.outages import retried_on_conflict
from rooms.adapters.store.connections import add_connections, named, remove_connections, save_ranks, standing
from rooms.adapters.store.dormant_logs import find_dormant, supersede, wake
from rooms.adapters.store.leases import come_to, lock_lease, open_lease
from rooms.adapters.store.rooms import (
    NewRoom,
    begin_anew,
    end_lives,
    insert_rooms,
    lock_slugs,
    slugs_of,
    states_of,
    take_ids,
)
from rooms.adapters.store.tables import to_ms
from rooms.domain.audit import RoomLog
from rooms.domain.membership import (
    Arrival,
    ById,
    BySlug,
    JoinOutcome,
    JoinPlan,
    RoomRef,
    let_in,
    lives_without,
    outdated,
)
from rooms.domain.people import ConnectionId, EdgeId, Life, Rank, RoomId, Slug, UserId
from rooms.domain.presence import Announced, Changes, RoomSnapshot
from rooms.domain.rooms import RoomPolicy, SlugState
from rooms.ports import Entered

# Those who are present and those who are away have an index each on their rows of a life.
_SNAPSHOTS = """
SELECT r.life, r.version, r.connection_count, r.crowded, NULL AS key, NULL AS user_id, NULL AS username
  FROM room r WHERE r.life {among}
UNION ALL
SELECT q.life, q.version, 0, false, q.key, q.user_id, q.username
  FROM participant q WHERE q.life {among} AND q.announced AND q.connections > 0
UNION ALL
SELECT q.life, q.version, 0, false, q.key, q.user_id, q.username
  FROM participant q WHERE q.life {among} AND q.announced AND q.away > 0 AND q.connections <= 0
ORDER BY 2
"""


class TortoiseMemberships:
    """Raises DatabaseUnavailable."""

    def __init__(self, database: Database, policy: RoomPolicy) -> None:
        self._database = database
        self._policy = policy

    async def resolve(self, ids: Sequence[RoomId]) -> Mapping[RoomId, Slug]:
        """Slugs of the living rooms, kept settings and dormant lives with these public ids."""
        async with self._database.session() as session:
            known = await slugs_of(session, ids)
            if unknown := [room_id for room_id in ids if room_id not in known]:
                for room_id, dormant in await find_dormant(session, unknown):
                    known.setdefault(room_id, dormant.slug)
            return known

    async def states(self, arrivals: Sequence[Arrival]) -> Mapping[RoomRef, SlugState]:
        """The slug behind each reference as it is now."""
        ids = {arrival.ref.room_id for arrival in arrivals if isinstance(arrival.ref, ById)}
        async with self._database.session() as session:
            known = await slugs_of(session, ids) if ids else {}
            known |= await _slugs_of_dormant(session, arrivals, known)
            slugs = {arrival.ref: _slug(arrival.ref, known) for arrival in arrivals}
            visitors: dict[Slug, set[UserId]] = {slug: set() for slug in slugs.values()}
            for arrival in arrivals:
                if arrival.person.user_id is not None:
                    visitors[slugs[arrival.ref]].add(arrival.person.user_id)
            states = await states_of(session, visitors)
        return {ref: states[slug] for ref, slug in slugs.items()}

    async def enter(self, edge: EdgeId, plan: JoinPlan, *, now: datetime) -> Entered:
        """Carry a plan out. Numbers are taken before: in the transaction all other joins would wait for it."""
        unnumbered = sum(room_id is None for room_id in plan.new_rooms.values())
        numbers = iter(await self._take_ids(unnumbered))
        rooms = {slug: NewRoom(slug, room_id or next(numbers)) for slug, room_id in plan.new_rooms.items()}
        return await self._enter(edge, plan, rooms, to_ms(now))

    async def _take_ids(self, number: int) -> list[RoomId]:
        if not number:
            return []
        async with self._database.session() as session:
            return await take_ids(session, number)

    @retried_on_conflict
    async def _enter(self, edge: EdgeId, plan: JoinPlan, new_rooms: Mapping[Slug, NewRoom], now_ms: int) -> Entered:
        async with self._database.transaction() as session:
            await open_lease(session, edge, self._policy.lease_ms)
            outcomes: dict[ConnectionId, JoinOutcome] = {**plan.refused, **await standing(session, edge, plan.arrivals)}
            admitted = [item for item in plan.admitted if item.arrival.connection not in outcomes]
            slugs = {item.slug for item in admitted}
            woken = await wake(session, [one for one in plan.dormant if one.slug in slugs])
            new = [room for slug, room in new_rooms.items() if slug in slugs]
            created = await insert_rooms(session, new, now_ms=now_ms) if new else set()
            locked = await lock_slugs(session, slugs) if slugs else {}
            ended = outdated(plan, admitted, locked)
            if ended:
                created |= await begin_anew(session, ended, now_ms=now_ms)
                locked |= await lock_slugs(session, [room.slug for room in ended])
            entrants, refused = let_in(plan, admitted, locked)
            if unused := lives_without(created | woken, entrants):
                await end_lives(session, unused, dormant_ms=self._policy.dormant_ms)
            if begun := created - unused:
                await supersede(session, [item.room.slug for item in entrants if item.room.life in begun])
            limit = self._policy.presence_limit
            memberships, changes = await add_connections(session, edge, entrants, limit=limit, now_ms=now_ms)
            made_known = Changes.together([Changes(ended=tuple(room.ended for room in ended)), changes])
            return Entered({**outcomes, **refused, **memberships}, made_known)

    @retried_on_conflict
    async def leave(
        self, edge: EdgeId, connections: Sequence[ConnectionId], *, away: Set[ConnectionId], now: datetime
    ) -> Changes:
        """Take connections out."""
        async with self._database.transaction() as session:
            await lock_lease(session, edge)
            gone = await named(session, edge, connections)
            return await remove_connections(session, self._policy, gone, away=away, now_ms=to_ms(now))

    @retried_on_conflict
    async def change_ranks(self, edge: EdgeId, ranks: Mapping[ConnectionId, Rank], *, ordinal: int) -> None:
        """Write ranks in place of those of the joins."""
        async with self._database.transaction() as session:
            if await come_to(session, edge, ordinal):
                await save_ranks(session, edge, ranks)

    async def snapshots(self, lives: Sequence[Life]) -> Mapping[Life, RoomSnapshot]:
        """One statement, so that people and version belong together. Of lives that it does not find, a deletion is seen
        by the one after it: both were committed at once."""
        async with self._database.session() as session:
            asked = f"SELECT x.life FROM {session.rows({'life': 'bigint'})}"
            # PostgreSQL takes it for a hundred lives otherwise, and reads all rooms.
            among = f"= ANY(ARRAY({asked}))" if session.is_postgres else f"IN ({asked})"
            found = await session.fetch(_SNAPSHOTS.format(among=among), packed([{"life": life} for life in lives]))
            rooms = {row["life"]: row for row in found if row["key"] is None}
            over = [{"life": life} for life in lives if life not in rooms]
            deleted = (
                await session.fetch(f"SELECT life FROM deleted_life WHERE life {among}", packed(over)) if over else []
            )
        gone = {row["life"] for row in deleted}
        people: dict[Life, list[Announced]] = {life: [] for life in lives}
        for row in found:
            if row["key"] is not None:
                people[row["life"]].append(Announced(row["key"], row["user_id"], row["username"], row["version"]))
        snapshots = {life: RoomSnapshot(0, 0, False, (), deleted=life in gone) for life in lives}
        for life, room in rooms.items():
            shown = tuple(people[life])
            snapshots[life] = RoomSnapshot(room["version"], room["connection_count"], bool(room["crowded"]), shown)
        return snapshots

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

    async def logs_of(self, user_id: UserId) -> list[tuple[Slug, RoomLog]]:
        """By participants: users keep their row for as long as the room lives."""
        async with self._database.session() as session:
            rows = await session.fetch(
                "SELECT r.slug, r.room_id, r.life, r.partition_number FROM participant p JOIN room r ON r.life = p.life"
                " WHERE p.user_id = $1 AND r.partition_number IS NOT NULL ORDER BY r.life",
                user_id,
            )
        return [(row["slug"], RoomLog(row["room_id"], row["life"], row["partition_number"])) for row in rows]

    @retried_on_conflict
    async def erase_user(self, user_id: UserId) -> None:
        """Who is connected keeps the name, which others see."""
        async with self._database.transaction() as session:
            await session.fetch(
                "UPDATE participant SET username = $2 WHERE user_id = $1 AND connections = 0 RETURNING id",
                user_id,
                f"user_{user_id}",
            )
            await session.fetch("DELETE FROM block WHERE user_id = $1 RETURNING id", user_id)

    async def stats(self) -> Mapping[RoomId, int]:
        """Open connections by public room id."""
        async with self._database.session() as session:
            rows = await session.fetch("SELECT room_id, connection_count FROM room WHERE connection_count > 0")
        return {row["room_id"]: row["connection_count"] for row in rows}


async def _slugs_of_dormant(
    session: Session, arrivals: Sequence[Arrival], known: Mapping[RoomId, Slug]
) -> dict[RoomId, Slug]:
    """Whoever comes back to a life by the id that its room had finds it, until it is purged."""
    wanted = {
        (arrival.ref.room_id, arrival.last_life)
        for arrival in arrivals
        if isinstance(arrival.ref, ById) and arrival.last_life is not None and arrival.ref.room_id not in known
    }
    found = await find_dormant(session, {room_id for room_id, _ in wanted}) if wanted else []
    return {room_id: dormant.slug for room_id, dormant in found if (room_id, dormant.life) in wanted}


def _slug(ref: RoomRef, known: Mapping[RoomId, Slug]) -> Slug:
    match ref:
        case ById(room_id):
            return known.get(room_id, Slug(str(room_id)))
        case BySlug(slug):
            return slug
        case _:
            raise AssertionError("videos are turned into slugs before")
