"""Who is in a life of a room: what batches of joins and leaves come to, what is made known of them, and when people are
only counted.

Every connection that comes makes a version of the life's presence; of those who leave, each who is announced makes one,
or a batch of which nobody is. An event covers the versions of one transaction, so that whoever misses one sees the gap.

Whoever the server itself sent away is not counted any more, and yet has not left: they have *away* memberships for a
while, which their next connections take up, and which keep the room. Of whoever does not come back the end of that time
is the leaving (`apply_away_ends`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rooms.domain.membership import Entrant, Membership
from rooms.domain.people import ConnectionId, EdgeId, Life, ParticipantKey, Person, RoomId, UserId
from rooms.domain.rooms import LifeEnded, LivingRoom, RoomPolicy, RoomUpdate


@dataclass(frozen=True, slots=True)
class Announced:
    """A person as presence shows them."""

    key: ParticipantKey
    user_id: UserId | None
    username: str
    version: int = 0
    """The version at which they came; 0 for those who leave."""


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """One transaction's change of who is in a life of a room."""

    room_id: RoomId
    life: Life
    first_version: int
    version: int
    """The last of the versions it covers: one for each connection that came; one for each person who is announced as
    left, or for a batch of leaves of which nobody is."""
    connection_count: int
    crowded: bool
    joined: tuple[Announced, ...]
    left: tuple[Announced, ...]
    joined_count: int
    left_count: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What a transaction did that others must hear of, once it is committed."""

    presence: tuple[PresenceChanged, ...] = ()
    ended: tuple[LifeEnded, ...] = ()

    @classmethod
    def together(cls, parts: Iterable["Changes"]) -> "Changes":
        """Those of several transactions, in their order."""
        known = list(parts)
        return cls(tuple(p for each in known for p in each.presence), tuple(e for each in known for e in each.ended))


@dataclass(frozen=True, slots=True)
class RoomSnapshot:
    """Who is announced in one life of a room; version 0: that life is over, by a deletion or by its last leave."""

    version: int
    connection_count: int
    crowded: bool
    participants: tuple[Announced, ...]
    deleted: bool = False


@dataclass(slots=True)
class Tally:
    """One room's connections while a batch changes them."""

    limit: int
    """Above it a room is crowded, until below 80 % of it again."""
    connection_count: int
    crowded: bool

    def arrive(self) -> bool:
        """Count a connection in; whether somebody whose first one it is gets announced."""
        self.connection_count += 1
        self._turn()
        return not self.crowded

    def depart(self, *, was_announced: bool) -> bool:
        """Count a connection out; whether somebody whose last one it was gets announced. Who was announced on coming
        always is."""
        self.connection_count -= 1
        self._turn()
        return was_announced or not self.crowded

    def _turn(self) -> None:
        if self.connection_count > self.limit:
            self.crowded = True
        elif self.connection_count * 5 < self.limit * 4:
            self.crowded = False


@dataclass(slots=True)
class Newcomer:
    """What a batch brings of one person into one room."""

    person: Person
    is_announced: bool
    version: int
    connections: int = 0


@dataclass(slots=True)
class _Filling:
    """One room while a batch goes in."""

    room: LivingRoom
    tally: Tally
    version: int
    people: dict[ParticipantKey, Newcomer] = field(default_factory=dict)


class Joins:
    """What a batch of entrants comes to."""

    def __init__(self) -> None:
        self.memberships: dict[ConnectionId, Membership] = {}
        self._rooms: dict[Life, _Filling] = {}

    @property
    def newcomers(self) -> Iterable[tuple[Life, ParticipantKey, Newcomer]]:
        """Each person of the batch once a room."""
        return ((life, key, one) for life, room in self._rooms.items() for key, one in room.people.items())

    @property
    def updates(self) -> list[RoomUpdate]:
        """What is to be written of the rooms."""
        return [
            RoomUpdate(life, room.tally.connection_count, room.version, room.tally.crowded, None, room.room.partition)
            for life, room in self._rooms.items()
        ]

    def presence(self, versions: Mapping[tuple[Life, ParticipantKey], int], now_ms: int) -> Changes:
        """One event a room. `versions`: at which each of them came, as it is stored now; who was here before, or away,
        has an older one and is not among those who joined."""
        return Changes(tuple(self._event(life, versions, now_ms) for life in self._rooms))

    def add(self, edge: EdgeId, entrant: Entrant, limit: int) -> None:
        """Every connection makes a version, so that each of those who come in one batch can hear of the later
        ones."""
        room, person = entrant.room, entrant.person
        filling = self._rooms.get(room.life)
        if filling is None:
            tally = Tally(limit, room.connection_count, room.crowded)
            filling = self._rooms[room.life] = _Filling(room, tally, room.version)
        is_announced = filling.tally.arrive()
        filling.version += 1
        key = person.key(edge, entrant.connection)
        filling.people.setdefault(key, Newcomer(person, is_announced, filling.version)).connections += 1
        self.memberships[entrant.connection] = Membership(
            room_id=room.room_id,
            life=room.life,
            slug=room.slug,
            connection_count=filling.tally.connection_count,
            version=filling.version,
            crowded=filling.tally.crowded,
            partition=room.partition,
            owner=room.access.owner,
            owned_since_ms=room.access.owned_since_ms,
        )

    def _event(self, life: Life, versions: Mapping[tuple[Life, ParticipantKey], int], now_ms: int) -> PresenceChanged:
        filling = self._rooms[life]
        first = [(key, one) for key, one in filling.people.items() if versions[life, key] == one.version]
        return PresenceChanged(
            room_id=filling.room.room_id,
            life=life,
            first_version=filling.room.version + 1,
            version=filling.version,
            connection_count=filling.tally.connection_count,
            crowded=filling.tally.crowded,
            joined=tuple(
                Announced(key, one.person.user_id, one.person.username, one.version)
                for key, one in first
                if one.is_announced
            ),
            left=(),
            joined_count=len(first),
            left_count=0,
            at_ms=now_ms,
        )


def apply_joins(edge: EdgeId, entrants: Sequence[Entrant], *, limit: int) -> Joins:
    """Count entrants into their rooms; `limit`: connections above which a room is crowded."""
    joins = Joins()
    for entrant in entrants:
        joins.add(edge, entrant, limit)
    return joins


@dataclass(frozen=True, slots=True)
class Leaver:
    """Somebody of whom connections were taken out of a life."""

    key: ParticipantKey
    user_id: UserId | None
    username: str
    is_announced: bool
    connections: int
    """What they have left there."""
    away: int = 0
    """Away memberships that they have there."""

    @property
    def announced(self) -> Announced:
        """As others are told."""
        return Announced(self.key, self.user_id, self.username)


@dataclass(frozen=True, slots=True)
class Leaves:
    """What a batch of leaves, or of away memberships that end, comes to."""

    updates: tuple[RoomUpdate, ...]
    """Of the rooms that go on."""
    presence: tuple[PresenceChanged, ...]
    ended: tuple[LifeEnded, ...]

    @property
    def changes(self) -> Changes:
        """What others must hear of."""
        return Changes(self.presence, self.ended)


def apply_leaves(
    rooms: Mapping[Life, LivingRoom],
    gone: Sequence[tuple[Life, Leaver]],
    policy: RoomPolicy,
    *,
    away_until_ms: Mapping[Life, int],
    now_ms: int,
) -> Leaves:
    """Count connections out of their rooms, in this order, one item each. A room that becomes empty ends, unless it is
    kept for a while. `away_until_ms`: when the last away membership ends of each room that has some."""
    events = _count_out(rooms, gone, policy.presence_limit, now_ms)
    return _leaves(rooms, events, policy, away_until_ms)


def apply_away_ends(
    rooms: Mapping[Life, LivingRoom],
    gone: Sequence[tuple[Life, Leaver]],
    policy: RoomPolicy,
    *,
    away_until_ms: Mapping[Life, int],
    now_ms: int,
) -> Leaves:
    """Whose away memberships have ended has left, where they have no connection. Otherwise as `apply_leaves`."""
    announced: dict[Life, list[Announced]] = {life: [] for life, _ in gone}
    left = Counter(life for life, _ in gone)
    for life, leaver in gone:
        if leaver.is_announced or not rooms[life].crowded:
            announced[life].append(leaver.announced)
    tallies = {life: Tally(policy.presence_limit, rooms[life].connection_count, rooms[life].crowded) for life in left}
    events = [_left_event(rooms[life], tally, announced[life], left[life], now_ms) for life, tally in tallies.items()]
    return _leaves(rooms, events, policy, away_until_ms)


def _leaves(
    rooms: Mapping[Life, LivingRoom],
    events: Sequence[PresenceChanged],
    policy: RoomPolicy,
    away_until_ms: Mapping[Life, int],
) -> Leaves:
    empty = {event.life for event in events if event.connection_count <= 0}
    is_over = {life for life in empty if policy.empty_grace_ms == 0 and life not in away_until_ms}
    going_on = tuple(event for event in events if event.life not in is_over)
    updates = tuple(_update(rooms[e.life], e, away_until_ms.get(e.life, e.at_ms)) for e in going_on)
    return Leaves(updates, going_on, tuple(rooms[life].ended for life in sorted(is_over)))


def _update(room: LivingRoom, event: PresenceChanged, empty_from_ms: int) -> RoomUpdate:
    empty_since_ms = empty_from_ms if event.connection_count <= 0 else None
    return RoomUpdate(room.life, event.connection_count, event.version, event.crowded, empty_since_ms, room.partition)


def _count_out(
    rooms: Mapping[Life, LivingRoom], gone: Sequence[tuple[Life, Leaver]], limit: int, now_ms: int
) -> list[PresenceChanged]:
    tallies = {life: Tally(limit, rooms[life].connection_count, rooms[life].crowded) for life, _ in gone}
    remaining = Counter((life, leaver.key) for life, leaver in gone)
    announced: dict[Life, list[Announced]] = {life: [] for life in tallies}
    left: Counter[Life] = Counter()
    for life, leaver in gone:
        remaining[life, leaver.key] -= 1
        is_announced = tallies[life].depart(was_announced=leaver.is_announced)
        if remaining[life, leaver.key] == 0 and leaver.connections <= 0 and leaver.away <= 0:
            left[life] += 1
            if is_announced:
                announced[life].append(leaver.announced)
    return [_left_event(rooms[life], tally, announced[life], left[life], now_ms) for life, tally in tallies.items()]


def _left_event(
    room: LivingRoom, tally: Tally, announced: Sequence[Announced], left_count: int, now_ms: int
) -> PresenceChanged:
    return PresenceChanged(
        room_id=room.room_id,
        life=room.life,
        first_version=room.version + 1,
        version=room.version + max(1, len(announced)),  # one for each who is announced
        connection_count=tally.connection_count,
        crowded=tally.crowded,
        joined=(),
        left=tuple(announced),
        joined_count=0,
        left_count=left_count,
        at_ms=now_ms,
    )
