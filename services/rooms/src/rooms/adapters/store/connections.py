"""Rows of connections and of the people who have them: many at once in a few statements."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections import Counter
from collections.abc import Mapping, Sequence, Set

from chassis.database import Row, Session, packed
from rooms.adapters.store.rooms import PART, end_lives, lock_lives, save_rooms
from rooms.domain.log_position import LifeLog
from rooms.domain.membership import Arrival, Entrant, HeldConnection, Membership
from rooms.domain.people import ConnectionId, EdgeId, Life, ParticipantKey, Rank
from rooms.domain.presence import Changes, Joins, Leaver, Leaves, apply_away_ends, apply_joins, apply_leaves
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
_LIVES = {"life": "bigint"}
_NUMBERS = {"number": "bigint"}
_IDS = {"id": "bigint"}
_KEPT = ", ".join(
    f"{column} = CASE WHEN participant.connections > 0 OR participant.away > 0 THEN participant.{column}"
    f" ELSE excluded.{column} END"
    for column in ("username", "announced", "joined_ms", "version")
)


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
    return joins.memberships, joins.presence({key: row["version"] for key, row in people.items()}, now_ms)


async def remove_connections(
    session: Session,
    policy: RoomPolicy,
    connections: Sequence[Row],
    *,
    away: Set[ConnectionId] = frozenset(),
    now_ms: int,
) -> Changes:
    """Take connections out of their rooms; `connections` have id and life. The caller holds the lease of their edge.
    Those in a life that is over just go. Of those in `away` an away membership stays."""
    if not connections:
        return Changes()
    rooms = await lock_lives(session, {row["life"] for row in connections})
    deleted = await session.fetch(
        f"DELETE FROM connection WHERE id IN (SELECT x.id FROM {session.rows(_IDS)})"
        " RETURNING id, number, life, participant_id, rank",
        packed([{"id": row["id"]} for row in connections]),
    )
    gone = sorted((row for row in deleted if row["life"] in rooms), key=lambda row: int(row["id"]))
    if not gone:
        return Changes()
    people = await _count_people(session, gone, away, policy.away_ms)
    left = [(row["life"], people[row["participant_id"]]) for row in gone]
    taken = Counter(row["life"] for row in gone)
    empty = [life for life, number in taken.items() if rooms[life].connection_count <= number]
    away_until_ms = await find_away(session, empty)
    leaves = apply_leaves(rooms, left, policy, away_until_ms=away_until_ms, now_ms=now_ms)
    return await _write(session, leaves, policy)


async def end_away(session: Session, policy: RoomPolicy, *, now_ms: int) -> tuple[Changes, bool]:
    """End a part of the away memberships whose time is up by the database's clock, PART people at most; whether it may
    have been the last part."""
    is_due = f"away > 0 AND away_until_ms <= {session.now_ms}"
    due = await session.fetch(
        f"SELECT p.id, p.life FROM participant p JOIN room r ON r.life = p.life WHERE {is_due}"
        f" ORDER BY p.away_until_ms LIMIT {PART}"
    )
    if not due:
        return Changes(), True
    rooms = await lock_lives(session, {row["life"] for row in due})
    ended = await session.fetch(
        f"UPDATE participant SET away = 0, away_until_ms = NULL WHERE id IN (SELECT x.id FROM {session.rows(_IDS)})"
        f" AND {is_due} RETURNING id, life, key, user_id, username, announced, connections, away",
        packed([{"id": row["id"]} for row in due if row["life"] in rooms]),
    )
    gone = sorted((row for row in ended if row["connections"] <= 0), key=lambda row: int(row["id"]))
    if not gone:
        return Changes(), len(due) < PART
    await _forget(session, [row["id"] for row in gone if row["user_id"] is None])
    away_until_ms = await find_away(session, [life for life, room in rooms.items() if room.connection_count <= 0])
    left = [(row["life"], _leaver(row)) for row in gone]
    leaves = apply_away_ends(rooms, left, policy, away_until_ms=away_until_ms, now_ms=now_ms)
    return await _write(session, leaves, policy), len(due) < PART


async def find_away(session: Session, lives: Sequence[Life]) -> dict[Life, int]:
    """Those of these lives, which are locked, that have away memberships, and when the last one of each ends."""
    if not lives:
        return {}
    rows = await session.fetch(
        "SELECT p.life, max(p.away_until_ms) AS until_ms FROM participant p WHERE p.away > 0"
        f" AND p.life IN (SELECT x.life FROM {session.rows(_LIVES)}) GROUP BY p.life",
        packed([{"life": life} for life in lives]),
    )
    return {row["life"]: row["until_ms"] for row in rows}


async def _write(session: Session, leaves: Leaves, policy: RoomPolicy) -> Changes:
    if leaves.updates:
        await save_rooms(session, leaves.updates)
    if leaves.ended:
        await end_lives(session, [ended.life for ended in leaves.ended], dormant_ms=policy.dormant_ms)
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
        "SELECT c.number, r.life, r.room_id, r.slug, r.connection_count, r.version, r.crowded, r.partition_number,"
        " k.owner, k.created_ms AS kept_since_ms"
        " FROM connection c JOIN room r ON r.life = c.life LEFT JOIN kept_settings k ON k.slug = r.slug"
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
            owner=row["owner"],
            owned_since_ms=0 if row["owner"] is None else row["kept_since_ms"],
        )
        for row in rows
    }


async def confirm(session: Session, edge: EdgeId, held: Sequence[HeldConnection]) -> dict[ConnectionId, LifeLog]:
    """Mark what is there already as still held, with its rank of now; what is there in another life goes with the rest,
    and what is in a life that is over is not there. First the rows, then the marks: of one UPDATE with a FROM, SQLite
    compares every connection of the edge with everything that is held."""
    rows = await session.fetch(
        "SELECT c.id, c.number, c.life, c.rank, r.partition_number FROM connection c JOIN room r ON r.life = c.life"
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
    known = {row["number"]: row["rank"] for row in rows}
    ranks = {one.connection: one.person.rank for one in held if one.connection in known}
    await save_ranks(session, edge, {number: rank for number, rank in ranks.items() if rank != known[number]})
    return found


async def save_ranks(session: Session, edge: EdgeId, ranks: Mapping[ConnectionId, Rank]) -> None:
    """Write ranks of an edge's connections; unknown ones are ignored."""
    for rank in set(ranks.values()):
        await session.fetch(
            "UPDATE connection SET rank = $3 WHERE edge = $2"
            f" AND number IN (SELECT x.number FROM {session.rows(_NUMBERS)})",
            packed([{"number": number} for number, one in ranks.items() if one is rank]),
            edge,
            int(rank),
        )


async def _save_people(session: Session, joins: Joins, now_ms: int) -> list[Row]:
    return await session.fetch(
        "INSERT INTO participant (life, key, user_id, username, connections, announced, joined_ms, version)"
        " SELECT x.life, x.key, x.user_id, x.username, x.connections, x.announced, x.joined_ms, x.version"
        f" FROM {session.rows(_PARTICIPANT)} WHERE true"
        # Somebody who is here already, or away, keeps the name and the announcement that the others know.
        " ON CONFLICT (life, key) DO UPDATE SET connections = participant.connections + excluded.connections,"
        " away = CASE WHEN participant.away > excluded.connections THEN participant.away - excluded.connections"
        f" ELSE 0 END, {_KEPT} RETURNING id, life, key, version",
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


async def _count_people(
    session: Session, gone: Sequence[Row], away: Set[ConnectionId], away_ms: int
) -> dict[int, Leaver]:
    """Who they were, with what they have left. Anonymous people most often go with their only connection."""
    taken = Counter(row["participant_id"] for row in gone)
    staying = Counter(row["participant_id"] for row in gone if row["number"] in away)
    anonymous = {row["participant_id"] for row in gone if row["rank"] == Rank.ANONYMOUS}
    rows = await _forget(session, [one for one in anonymous if taken[one] == 1 and one not in staying])
    forgotten = {row["id"] for row in rows}
    counted = await _count(session, {one: n for one, n in taken.items() if one not in forgotten}, staying, away_ms)
    await _forget(session, [row["id"] for row in counted if row["id"] in anonymous and row["connections"] <= 0])
    return {row["id"]: _leaver(row) for row in [*rows, *counted]}


def _leaver(row: Row) -> Leaver:
    return Leaver(row["key"], row["user_id"], row["username"], bool(row["announced"]), row["connections"], row["away"])


async def _forget(session: Session, people: Sequence[int]) -> list[Row]:
    """Those of these anonymous people who have no more than one connection, which goes."""
    if not people:
        return []
    return await session.fetch(
        f"DELETE FROM participant WHERE id IN (SELECT x.id FROM {session.rows(_IDS)}) AND connections <= 1 AND away = 0"
        " RETURNING id, key, user_id, username, 0 AS connections, announced, away",
        packed([{"id": participant} for participant in people]),
    )


async def _count(session: Session, taken: Mapping[int, int], staying: Mapping[int, int], away_ms: int) -> list[Row]:
    """Take connections from people; in place of some of them away memberships stay."""
    if not taken:
        return []
    return await session.fetch(
        "UPDATE participant SET connections = participant.connections - x.n, away = participant.away + x.away,"
        f" away_until_ms = CASE WHEN x.away > 0 THEN {session.now_ms} + $2 ELSE participant.away_until_ms END"
        f" FROM {session.rows({'id': 'bigint', 'n': 'int', 'away': 'int'})} WHERE participant.id = x.id"
        " RETURNING participant.id, key, user_id, username, connections, announced, participant.away",
        packed([{"id": one, "n": n, "away": staying.get(one, 0)} for one, n in taken.items()]),
        away_ms,
    )
