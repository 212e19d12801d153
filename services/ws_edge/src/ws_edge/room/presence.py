"""Versions of presence

Who is in a room is decided by the rooms service, in the transaction that changes its memberships. Edges only tell it to
their members: user_joined when somebody's first connection opens, user_left when the last one closes, or room_stats
with counts where a room is crowded. Several edges hold members of one room, several replicas of rooms change it at the
same time, and events travel over core NATS, where they may be late, in another order, twice, or not at all. One number
makes that harmless.

What a version is
-----------------

Each life of a room counts its changes: the *version* rises by one with each connection that comes, and with each person
who is announced as left. (A batch of leaves of which nobody is announced still makes one version, since the count of
connections has changed.) The number is taken inside the transaction, with the room's row locked, so there are no two of
one number and none is left out.

Why every connection makes one
------------------------------

Joins travel in batches, many to a transaction. With one version for each transaction all who came in one batch would
have had the same, and nobody could say whether a member came before or after somebody else of their batch. A version
for each connection orders everybody. So a member is told of exactly those who have a higher version than their own:

* a join answers with the connection's own version, and a participant carries the one at which they came;
* who came while a member was on its way, and is known here already, is told with its room_joined (`later_than`);
* of an event that comes later, a member is sent only what is newer than itself: newcomers.py keeps their versions
  until the room has caught up with them.

Events cover ranges
-------------------

One event tells of one transaction: it covers the versions `first_version` to `version`. Large ones are divided, each
part ending before the version of somebody, and together they cover the transaction without a gap. Hence an edge
compares the ends of ranges and never counts events:

    first_version == our version + 1    the next one: apply it
    version <= our version              known already: ignore it
    otherwise                           something before it is missing: keep it, the room has a gap

Gaps
----

An event that is early waits in `_early`, at most EARLY_LIMIT of them. Events of two transactions may overtake each
other on their way, so a gap mostly closes by itself; the reader waits a tenth of a second (room/recovery.py). Where it
does not close, an event is lost, and the participants are read again.

Rereads
-------

A snapshot says who is in the room at one version. `restore` compares it with who was announced here and tells the
difference: `Left` for who is no longer there, `Joined` for who is new, in the order of their versions. Early events
that the snapshot includes are dropped, those that follow it are applied. A snapshot older than what is known changes
nothing. A room is read again when it has a gap, after every interruption of NATS, and once when its first member here
comes: the subscription stands before that, so that what happens later is heard and what happened before is read.

The last event before a quiet time leaves no gap when it is lost, since none follows it. The rooms service keeps the
last lost one of each room and tells it when it can: an edge that is one behind takes it as it is, one that is further
behind sees the gap, one that knows better goes by the version.

Version 0 of a snapshot says that the life is over. A participant's version 0 stands for who left.
"""

from dataclasses import dataclass, field

from ws_edge.protocol.rooms import Participant, PresenceChanged, RoomSnapshot
from ws_edge.room import crowding

EARLY_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Joined:
    """To be sent as user_joined, but not to the person, nor to members who came later than they did."""

    participant: Participant
    at_ms: int
    version: int


@dataclass(frozen=True, slots=True)
class Left:
    """To be sent as user_left."""

    participant: Participant
    version: int


@dataclass(frozen=True, slots=True)
class Stats:
    """To be sent as room_stats."""

    connection_count: int
    joined: int
    left: int


Announcement = Joined | Left


@dataclass(slots=True)
class Presence:
    """The presence of one life of a room, from one edge's point of view."""

    version: int
    connection_count: int
    crowded: bool
    announced: dict[str, Participant] = field(default_factory=dict)
    is_read: bool = True
    """False until the first snapshot: who was there before is not known, so nothing is announced yet."""
    _early: dict[int, PresenceChanged] = field(default_factory=dict)
    _joined: int = 0
    _left: int = 0
    _has_changes: bool = False
    _stats_sent_at_s: float = float("-inf")
    _stats_left: float = 0.0
    """How many room_stats may follow the last one, a second apart: they are saved up in a time with few, one for each
    interval of a room of this size."""

    @property
    def has_gap(self) -> bool:
        """Later events are here, but the next one is not: wait a little, then read the room again."""
        return bool(self._early)

    def receive(self, change: PresenceChanged) -> list[Announcement]:
        """Take one event, in whatever order they come; returns what is to be announced now."""
        if change.version <= self.version:
            return []
        if self.is_read and change.first_version == self.version + 1:
            return self._apply(change) + self._follow()
        if len(self._early) < EARLY_LIMIT:  # what is dropped here is read again with the gap
            self._early[change.first_version] = change
        return []

    def later_than(self, version: int) -> list[Participant]:
        """Announced people who came after that version, in their order."""
        later = []
        for participant in reversed(self.announced.values()):  # they are in the order of their versions
            if participant.version <= version:
                break
            later.append(participant)
        return later[::-1]

    def restore(self, snapshot: RoomSnapshot, at_ms: int) -> list[Announcement]:
        """Take over what the rooms service says, and return the difference. An older snapshot changes nothing."""
        if snapshot.version < self.version:
            return []
        self.is_read = True
        present = {p.key: p for p in sorted(snapshot.participants, key=lambda p: p.version)}
        announcements: list[Announcement] = [
            Left(p, snapshot.version) for key, p in self.announced.items() if key not in present
        ]
        announcements += [Joined(p, at_ms, p.version) for key, p in present.items() if key not in self.announced]
        self.announced = present
        self._note_count(snapshot.connection_count, is_crowded=snapshot.crowded)
        self.version = snapshot.version
        self.connection_count = snapshot.connection_count
        self.crowded = snapshot.crowded
        self._early = {first: change for first, change in self._early.items() if first > self.version}
        return announcements + self._follow()

    def stats_due_s(self, now_s: float) -> float | None:
        """In how many seconds take_stats is due; None: there is nothing new in a crowded room."""
        if not self._has_changes:
            return None
        interval_s = crowding.stats_interval_s(self.connection_count)
        return max(0.0, self._stats_sent_at_s + max(1.0, (1.0 - self._stats_left) * interval_s) - now_s)

    def take_stats(self, now_s: float) -> Stats:
        """What came and went since the last time."""
        stats = Stats(self.connection_count, self._joined, self._left)
        self._joined = self._left = 0
        self._has_changes = False
        saved = (now_s - self._stats_sent_at_s) / crowding.stats_interval_s(self.connection_count)
        self._stats_left = max(0.0, min(crowding.STATS_AT_ONCE, self._stats_left + saved) - 1.0)
        self._stats_sent_at_s = now_s
        return stats

    def _follow(self) -> list[Announcement]:
        announcements: list[Announcement] = []
        while change := self._early.pop(self.version + 1, None):
            announcements += self._apply(change)
        return announcements

    def _apply(self, change: PresenceChanged) -> list[Announcement]:
        self._note_count(change.connection_count, is_crowded=change.crowded)
        self.version = change.version
        self.connection_count = change.connection_count
        self.crowded = change.crowded
        announcements: list[Announcement] = []
        for participant in change.joined:
            self.announced.pop(participant.key, None)
            self.announced[participant.key] = participant
            announcements.append(Joined(participant, change.at_ms, participant.version))
        for participant in change.left:
            self.announced.pop(participant.key, None)
            announcements.append(Left(participant, change.version))
        if change.crowded:
            self._joined += change.joined_count
            self._left += change.left_count
            self._has_changes |= bool(change.joined_count or change.left_count)
        return announcements

    def _note_count(self, connection_count: int, *, is_crowded: bool) -> None:
        """A count is to be sent also where nobody came or went: the connections that a dead edge had are removed, while
        their users are back through another one."""
        self._has_changes |= is_crowded and connection_count != self.connection_count
