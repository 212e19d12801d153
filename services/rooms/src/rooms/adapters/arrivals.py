"""Putting connections into rooms whose rows are locked, many in a few statements."""

# ruff: noqa: S608 - the statements are made of constants of ours; values are always parameters

from collections.abc import Sequence
from dataclasses import dataclass, field

from chassis.database import Session, packed
from rooms.adapters.room_rows import LockedRoom
from rooms.domain.membership import Membership
from rooms.domain.people import ConnectionId, EdgeId, Life, ParticipantKey, Person
from rooms.domain.presence import Announced, PresenceChanged, Tally

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
ROOM_UPDATE = {
    "life": "bigint",
    "connection_count": "int",
    "version": "bigint",
    "crowded": "boolean",
    "empty_since_ms": "bigint",
}


@dataclass(frozen=True, slots=True)
class Entrant:
    """A connection that is let into a locked room."""

    connection: ConnectionId
    person: Person
    room: LockedRoom


@dataclass(slots=True)
class _Newcomer:
    """What a batch brings of one person into one room."""

    person: Person
    announced: bool
    version: int
    connections: int = 0


@dataclass(slots=True)
class _Hall:
    """One room while a batch goes in."""

    room: LockedRoom
    tally: Tally
    version: int
    people: dict[ParticipantKey, _Newcomer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admission:
    """What a batch of entrants came to."""

    memberships: dict[ConnectionId, Membership]
    presence: tuple[PresenceChanged, ...]


async def admit(session: Session, edge: EdgeId, entrants: Sequence[Entrant], *, limit: int, now_ms: int) -> Admission:
    """Insert the connections and their people, and update the rooms."""
    if not entrants:
        return Admission({}, ())
    halls: dict[Life, _Hall] = {}
    memberships = {entrant.connection: _count_in(halls, edge, entrant, limit) for entrant in entrants}
    ids, first_comers = await _save_people(session, halls, now_ms)
    await _save_connections(session, edge, entrants, ids)
    await save_rooms(session, [_room_update(hall) for hall in halls.values()])
    return Admission(memberships, tuple(_event(hall, first_comers, now_ms) for hall in halls.values()))


def _count_in(halls: dict[Life, _Hall], edge: EdgeId, entrant: Entrant, limit: int) -> Membership:
    """Every connection makes a version, so that of those who come in one batch each can be told of the later ones."""
    room, person = entrant.room, entrant.person
    hall = halls.get(room.life)
    if hall is None:
        hall = halls[room.life] = _Hall(room, Tally(limit, room.connection_count, room.crowded), room.version)
    is_announced = hall.tally.arrive()
    hall.version += 1
    key = person.key(edge, entrant.connection)
    newcomer = hall.people.setdefault(key, _Newcomer(person, is_announced, hall.version))
    newcomer.connections += 1
    return Membership(
        room_id=room.room_id,
        life=room.life,
        slug=room.slug,
        connection_count=hall.tally.connection_count,
        version=hall.version,
        crowded=hall.tally.crowded,
    )


async def _save_people(
    session: Session, halls: dict[Life, _Hall], now_ms: int
) -> tuple[dict[tuple[Life, ParticipantKey], int], set[tuple[Life, ParticipantKey]]]:
    """The numbers of the participants, and whose first connections these are."""
    rows = await session.fetch(
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
                    "announced": newcomer.announced,
                    "joined_ms": now_ms,
                    "version": newcomer.version,
                }
                for life, hall in halls.items()
                for key, newcomer in hall.people.items()
            ]
        ),
    )
    ids = {(row["life"], row["key"]): row["id"] for row in rows}
    first = {
        (row["life"], row["key"])
        for row in rows
        if row["connections"] == halls[row["life"]].people[row["key"]].connections
    }
    return ids, first


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


async def save_rooms(session: Session, updates: Sequence[dict[str, object]]) -> None:
    """Write what a batch changed of its rooms; whoever is written here has been visited."""
    await session.fetch(
        "UPDATE room SET connection_count = x.connection_count, version = x.version, crowded = x.crowded,"
        f" visited = true, empty_since_ms = x.empty_since_ms FROM {session.rows(ROOM_UPDATE)}"
        " WHERE room.life = x.life",
        packed(updates),
    )


def _room_update(hall: _Hall) -> dict[str, object]:
    return {
        "life": hall.room.life,
        "connection_count": hall.tally.connection_count,
        "version": hall.version,
        "crowded": hall.tally.crowded,
        "empty_since_ms": None,
    }


def _event(hall: _Hall, first_comers: set[tuple[Life, ParticipantKey]], now_ms: int) -> PresenceChanged:
    life = hall.room.life
    first = [(key, newcomer) for key, newcomer in hall.people.items() if (life, key) in first_comers]
    return PresenceChanged(
        room_id=hall.room.room_id,
        life=life,
        first_version=hall.room.version + 1,
        version=hall.version,
        connection_count=hall.tally.connection_count,
        crowded=hall.tally.crowded,
        joined=tuple(Announced(k, n.person.user_id, n.person.username, n.version) for k, n in first if n.announced),
        left=(),
        joined_count=len(first),
        left_count=0,
        at_ms=now_ms,
    )
