"""Taking connections out of rooms, many in a few statements; the rooms that become empty end."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections import Counter
from collections.abc import Sequence

from chassis.database import Row, Session, packed
from rooms.adapters.arrivals import save_rooms
from rooms.adapters.room_rows import LockedRoom, end_lives, lock_lives
from rooms.domain.people import ConnectionId, EdgeId, Life, Rank
from rooms.domain.presence import Announced, Changes, PresenceChanged, Tally
from rooms.domain.rooms import RoomPolicy

PART = 1000
"""Connections in one transaction."""
_IDS = {"id": "bigint"}


async def named(session: Session, edge: EdgeId, connections: Sequence[ConnectionId]) -> list[Row]:
    """Those of an edge's connections, for `remove`."""
    return await session.fetch(
        "SELECT c.id, c.life FROM connection c WHERE c.edge = $2"
        f" AND c.number IN (SELECT x.number FROM {session.rows({'number': 'bigint'})})",
        packed([{"number": number} for number in connections]),
        edge,
    )


async def next_part(session: Session, edge: EdgeId, *, after: int, is_stale: bool = False) -> list[Row]:
    """The following connections of an edge in the order of their numbers, PART at most, for `remove`."""
    return await session.fetch(
        f"SELECT c.id, c.life, c.number FROM connection c WHERE c.edge = $1 AND c.number > $2"
        f" {'AND c.stale' if is_stale else ''} ORDER BY c.number LIMIT {PART}",
        edge,
        after,
    )


async def remove(session: Session, policy: RoomPolicy, connections: Sequence[Row], *, now_ms: int) -> Changes:
    """Remove connections. The caller holds the lease of their edge. Those in a life that is over just go."""
    if not connections:
        return Changes()
    rooms = await lock_lives(session, {row["life"] for row in connections})
    deleted = await session.fetch(
        f"DELETE FROM connection WHERE id IN (SELECT x.id FROM {session.rows(_IDS)})"
        " RETURNING id, life, participant_id, rank",
        packed([{"id": row["id"]} for row in connections]),
    )
    gone = [row for row in deleted if row["life"] in rooms]
    if not gone:
        return Changes()
    people = await _count_people(session, gone)
    left = _count_out(rooms, sorted(gone, key=lambda row: int(row["id"])), people, policy, now_ms)
    return await _save(session, rooms, left, policy, now_ms)


async def _count_people(session: Session, gone: Sequence[Row]) -> dict[int, Row]:
    """Who they were, with how many connections they have left. Anonymous people go with their only one."""
    anonymous = [row["participant_id"] for row in gone if row["rank"] == Rank.ANONYMOUS]
    users = [row["participant_id"] for row in gone if row["rank"] != Rank.ANONYMOUS]
    rows = await _forget(session, anonymous) if anonymous else []
    rows += await _count_users(session, users) if users else []
    return {row["id"]: row for row in rows}


async def _forget(session: Session, people: Sequence[int]) -> list[Row]:
    return await session.fetch(
        f"DELETE FROM participant WHERE id IN (SELECT x.id FROM {session.rows(_IDS)})"
        " RETURNING id, key, user_id, username, 0 AS connections, announced",
        packed([{"id": participant} for participant in people]),
    )


async def _count_users(session: Session, people: Sequence[int]) -> list[Row]:
    return await session.fetch(
        f"UPDATE participant SET connections = participant.connections - x.n"
        f" FROM {session.rows({'id': 'bigint', 'n': 'int'})} WHERE participant.id = x.id"
        " RETURNING participant.id, key, user_id, username, connections, announced",
        packed([{"id": i, "n": n} for i, n in Counter(people).items()]),
    )


def _count_out(
    rooms: dict[Life, LockedRoom], gone: Sequence[Row], people: dict[int, Row], policy: RoomPolicy, now_ms: int
) -> dict[Life, PresenceChanged]:
    tallies = {life: Tally(policy.presence_limit, room.connection_count, room.crowded) for life, room in rooms.items()}
    remaining = Counter(row["participant_id"] for row in gone)
    announced: dict[Life, list[Announced]] = {life: [] for life in rooms}
    left: Counter[Life] = Counter()
    touched: set[Life] = set()
    for row in gone:
        life, person = row["life"], people[row["participant_id"]]
        touched.add(life)
        remaining[person["id"]] -= 1
        is_told = tallies[life].depart(was_announced=bool(person["announced"]))
        if remaining[person["id"]] == 0 and person["connections"] <= 0:
            left[life] += 1
            if is_told:
                announced[life].append(Announced(person["key"], person["user_id"], person["username"]))
    return {
        life: PresenceChanged(
            room_id=rooms[life].room_id,
            life=life,
            first_version=rooms[life].version + 1,
            version=rooms[life].version + max(1, len(announced[life])),  # one for each who is announced
            connection_count=tallies[life].connection_count,
            crowded=tallies[life].crowded,
            joined=(),
            left=tuple(announced[life]),
            joined_count=0,
            left_count=left[life],
            at_ms=now_ms,
        )
        for life in touched
    }


async def _save(
    session: Session,
    rooms: dict[Life, LockedRoom],
    left: dict[Life, PresenceChanged],
    policy: RoomPolicy,
    now_ms: int,
) -> Changes:
    is_over = {life for life, e in left.items() if e.connection_count <= 0 and policy.empty_grace_ms == 0}
    going_on = [event for life, event in left.items() if life not in is_over]
    if going_on:
        await save_rooms(
            session,
            [
                {
                    "life": event.life,
                    "connection_count": event.connection_count,
                    "version": event.version,
                    "crowded": event.crowded,
                    "empty_since_ms": now_ms if event.connection_count <= 0 else None,
                }
                for event in going_on
            ],
        )
    if is_over:
        await end_lives(session, is_over)
    return Changes(tuple(going_on), tuple(rooms[life].ended for life in is_over))
