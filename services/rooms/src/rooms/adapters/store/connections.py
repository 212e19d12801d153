"""Rows of connections and of the people who have them: many at once in a few statements."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections import Counter
from collections.abc import Mapping, Sequence

from chassis.database import Row, Session, packed
from rooms.adapters.store.rooms import PART, end_lives, lock_lives, save_rooms
from rooms.domain.log_position import LifeLog
from rooms.domain.membership import Arrival, Entrant, HeldConnection, Membership
from rooms.domain.people import ConnectionId, EdgeId, Life, ParticipantKey, Rank
from rooms.domain.presence import Changes, Joins, Leaver, apply_joins, apply_leaves
from rooms.domain.rooms import RoomPolicy

_PARTICIPANT = {
    "life": "bigint",
    "key": "text",
    "user_id": "bigint",
    "username": "text",
    "connections": "int",
    "announced": "boolean",
    "joined_ms": "bigint",
    "version": "bigint",
}
_CONNECTION = {"number": "bigint", "life": "bigint", "participant_id": "bigint", "rank": "smallint"}
_NUMBERS = {"number": "bigint"}
_IDS = {"id": "bigint"}


async def add_connections(
    session: Session, edge: EdgeId, entrants: Sequence[Entrant], *, limit: int, now_ms: int
) -> tuple[Mapping[ConnectionId, Membership], Changes]:
    """Let entrants into their rooms, which are locked."""
    if not entrants:
        return {}, Changes()
    joins = apply_joins(edge, entrants, limit=limit)
    people = {(row["life"], row["key"]): row for row in await _save_people(session, joins, now_ms)}
    await _save_connections(session, edge, entrants, {key: row["id"] for key, row in people.items()})
    await save_rooms(session, joins.updates)
    return joins.memberships, joins.presence({key: row["connections"] for key, row in people.items()}, now_ms)


async def remove_connections(
    session: Session, policy: RoomPolicy, connections: Sequence[Row], *, now_ms: int
) -> Changes:
    """Take connections out of their rooms; `connections` have id and life. The caller holds the lease of their edge.
    Those in a life that is over just go."""
    if not connections:
        return Changes()
    rooms = await lock_lives(session, {row["life"] for row in connections})
    deleted = await session.fetch(
        f"DELETE FROM connection WHERE id IN (SELECT x.id FROM {session.rows(_IDS)})"
        " RETURNING id, life, participant_id, rank",
        packed([{"id": row["id"]} for row in connections]),
    )
    gone = sorted((row for row in deleted if row["life"] in rooms), key=lambda row: int(row["id"]))
    if not gone:
        return Changes()
    people = await _count_people(session, gone)
    leaves = apply_leaves(rooms, [(row["life"], people[row["participant_id"]]) for row in gone], policy, now_ms=now_ms)
    if leaves.updates:
        await save_rooms(session, leaves.updates)
    if leaves.ended:
        await end_lives(session, [ended.life for ended in leaves.ended])
    return leaves.changes


async def named(session: Session, edge: EdgeId, connections: Sequence[ConnectionId]) -> list[Row]:
    """Those of an edge's connections, for `remove_connections`."""
    return await session.fetch(
        "SELECT c.id, c.life FROM connection c WHERE c.edge = $2"
        f" AND c.number IN (SELECT x.number FROM {session.rows(_NUMBERS)})",
        packed([{"number": number} for number in connections]),
        edge,
    )


async def next_part(session: Session, edge: EdgeId, *, after: ConnectionId, is_stale: bool = False) -> list[Row]:
    """The following connections of an edge in the order of their numbers, PART at most, for `remove_connections`."""
    return await session.fetch(
        "SELECT c.id, c.life, c.number FROM connection c WHERE c.edge = $1 AND c.number > $2"
        f" {'AND c.stale' if is_stale else ''} ORDER BY c.number LIMIT {PART}",
        edge,
        after,
    )


async def standing(session: Session, edge: EdgeId, arrivals: Sequence[Arrival]) -> dict[ConnectionId, Membership]:
    """Memberships that are there already: the join is a repetition, and is answered as the first one was."""
    of_room = f"{session.for_update} OF r" if session.for_update else ""
    rows = await session.fetch(
        "SELECT c.number, r.life, r.room_id, r.slug, r.connection_count, r.version, r.crowded, r.partition_number"
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
            partition=row["partition_number"],
        )
        for row in rows
    }


async def confirm(session: Session, edge: EdgeId, held: Sequence[HeldConnection]) -> dict[ConnectionId, LifeLog]:
    """Mark what is there already as still held; what is there in another life goes with the rest, and what is in a
    life that is over is not there. First the rows, then the marks: of one UPDATE with a FROM, SQLite compares every
    connection of the edge with everything that is held."""
    rows = await session.fetch(
        "SELECT c.id, c.number, c.life, r.partition_number FROM connection c JOIN room r ON r.life = c.life"
        f" WHERE c.edge = $2 AND c.number IN (SELECT x.number FROM {session.rows(_NUMBERS)})",
        packed([{"number": one.connection} for one in held]),
        edge,
    )
    logs = {one.connection: one.log for one in held}
    found = {row["number"]: LifeLog(row["life"], row["partition_number"]) for row in rows}
    for is_stale in (False, True):
        marked = [{"id": row["id"]} for row in rows if (found[row["number"]] != logs[row["number"]]) is is_stale]
        if marked:
            await session.fetch(
                f"UPDATE connection SET stale = $2 WHERE id IN (SELECT x.id FROM {session.rows(_IDS)})",
                packed(marked),
                is_stale,
            )
    return found


async def _save_people(session: Session, joins: Joins, now_ms: int) -> list[Row]:
    return await session.fetch(
        "INSERT INTO participant (life, key, user_id, username, connections, announced, joined_ms, version)"
        " SELECT x.life, x.key, x.user_id, x.username, x.connections, x.announced, x.joined_ms, x.version"
        f" FROM {session.rows(_PARTICIPANT)} WHERE true"
        # Somebody who is here already keeps the name and the announcement that the others know.
        " ON CONFLICT (life, key) DO UPDATE SET connections = participant.connections + excluded.connections,"
        " username = CASE WHEN participant.connections > 0 THEN participant.username ELSE excluded.username END,"
        " announced = CASE WHEN participant.connections > 0 THEN participant.announced ELSE excluded.announced END,"
        " joined_ms = CASE WHEN participant.connections > 0 THEN participant.joined_ms ELSE excluded.joined_ms END,"
        " version = CASE WHEN participant.connections > 0 THEN participant.version ELSE excluded.version END"
        " RETURNING id, life, key, connections",
        packed(
            [
                {
                    "life": life,
                    "key": key,
                    "user_id": newcomer.person.user_id,
                    "username": newcomer.person.username,
                    "connections": newcomer.connections,
                    "announced": newcomer.is_announced,
                    "joined_ms": now_ms,
                    "version": newcomer.version,
                }
                for life, key, newcomer in joins.newcomers
            ]
        ),
    )


async def _save_connections(
    session: Session, edge: EdgeId, entrants: Sequence[Entrant], ids: dict[tuple[Life, ParticipantKey], int]
) -> None:
    await session.fetch(
        "INSERT INTO connection (edge, number, life, participant_id, rank)"
        f" SELECT $2, x.number, x.life, x.participant_id, x.rank FROM {session.rows(_CONNECTION)} WHERE true"
        # What is there already belongs to a life that is over and is not yet reaped.
        " ON CONFLICT (edge, number) DO UPDATE SET life = excluded.life, participant_id = excluded.participant_id,"
        " rank = excluded.rank, stale = false",
        packed(
            [
                {
                    "number": e.connection,
                    "life": e.room.life,
                    "participant_id": ids[e.room.life, e.person.key(edge, e.connection)],
                    "rank": int(e.person.rank),
                }
                for e in entrants
            ]
        ),
        edge,
    )


async def _count_people(session: Session, gone: Sequence[Row]) -> dict[int, Leaver]:
    """Who they were, with how many connections they have left. Anonymous people go with their only one."""
    anonymous = [row["participant_id"] for row in gone if row["rank"] == Rank.ANONYMOUS]
    users = [row["participant_id"] for row in gone if row["rank"] != Rank.ANONYMOUS]
    rows = await _forget(session, anonymous) if anonymous else []
    rows += await _count_users(session, users) if users else []
    return {
        row["id"]: Leaver(row["key"], row["user_id"], row["username"], bool(row["announced"]), row["connections"])
        for row in rows
    }


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
