"""Taking connections out of rooms, many in a few statements; the rooms that become empty end."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections import Counter
from collections.abc import Sequence

from rooms.adapters.arrivals import save_rooms
from rooms.adapters.database import Row, Session, packed
from rooms.adapters.room_rows import LockedRoom, end_lives, lock_rooms_of
from rooms.domain.identity import Life
from rooms.domain.membership import Announced, Changes, PresenceChanged
from rooms.domain.policy import RoomPolicy
from rooms.domain.presence import Tally


async def remove(session: Session, policy: RoomPolicy, condition: str, *values: object, now_ms: int) -> Changes:
    """Remove the connections (`c`) that meet a condition. The caller holds the lease of their edge."""
    rooms = await lock_rooms_of(session, condition, *values)
    if not rooms:
        return Changes()
    gone = await session.fetch(
        "DELETE FROM connection AS c WHERE " + condition + " RETURNING id, life, participant_id", *values
    )
    people = await _count_people(session, gone)
    left = _count_out(rooms, sorted(gone, key=lambda row: int(row["id"])), people, policy, now_ms)
    await _forget_anonymous(session, list(people.values()))
    return await _save(session, rooms, left, policy, now_ms)


async def _count_people(session: Session, gone: Sequence[Row]) -> dict[int, Row]:
    rows = await session.fetch(
        f"UPDATE participant SET connections = participant.connections - x.n"
        f" FROM {session.rows({'id': 'bigint', 'n': 'int'})} WHERE participant.id = x.id"
        " RETURNING participant.id, key, user_id, username, connections, announced",
        packed([{"id": i, "n": n} for i, n in Counter(row["participant_id"] for row in gone).items()]),
    )
    return {row["id"]: row for row in rows}


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


async def _forget_anonymous(session: Session, people: Sequence[Row]) -> None:
    gone = [{"id": row["id"]} for row in people if row["user_id"] is None and row["connections"] <= 0]
    if gone:
        await session.fetch(
            f"DELETE FROM participant WHERE id IN (SELECT x.id FROM {session.rows({'id': 'bigint'})})",
            packed(gone),
        )


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
