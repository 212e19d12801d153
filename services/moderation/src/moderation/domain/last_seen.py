"""Who was last seen where and when: what is not in the database yet. A sanction follows the addresses last seen."""

from typing import NamedTuple

from moderation.domain.people import Speaker, Target

LARGEST = 20_000
LONGEST_NAME = 255
LONGEST_SLUG = 128
LONGEST_ADDRESS = 64
"""Characters that every database takes."""


class LastSeen(NamedTuple):
    """Somebody was in a room, from an address. One of these is one row, with the last time."""

    user_id: int
    """0 for an anonymous speaker."""
    name: str
    """Of an anonymous speaker, else empty."""
    slug: str
    address: str

    @classmethod
    def of(cls, speaker: Speaker, slug: str) -> "LastSeen":
        """A speaker in a room."""
        return cls(speaker.user_id, "" if speaker.user_id else speaker.username, slug, speaker.address)

    @property
    def is_storable(self) -> bool:
        """Whether every database takes it: one that does not would hold up all the others."""
        limits = ((self.name, LONGEST_NAME), (self.slug, LONGEST_SLUG), (self.address, LONGEST_ADDRESS))
        return bool(self.address) and all(len(text) <= longest and "\0" not in text for text, longest in limits)

    def is_of(self, target: Target) -> bool:
        """Whether it is the target who was seen."""
        return self.user_id == target.user_id and self.name == target.username


class LastSeenBuffer:
    """What is on its way to the database, at most `largest`. When full the oldest are lost, and counted."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._waiting: dict[LastSeen, int] = {}
        self._being_written: dict[LastSeen, int] = {}
        self.lost = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._being_written)

    def put(self, seen: LastSeen, at_ms: int) -> None:
        """Somebody was seen at that time, in Unix milliseconds."""
        self._waiting[seen] = at_ms
        if len(self._waiting) > self._largest:
            del self._waiting[next(iter(self._waiting))]
            self.lost += 1

    def take(self, count: int) -> dict[LastSeen, int]:
        """The next ones to write, with their times. Call written or put_back afterwards."""
        while self._waiting and len(self._being_written) < count:
            seen = next(iter(self._waiting))
            self._being_written[seen] = self._waiting.pop(seen)
        return dict(self._being_written)

    def written(self) -> None:
        """What was taken is in the database."""
        self._being_written.clear()

    def put_back(self) -> None:
        """What was taken could not be written; what came since is newer."""
        for seen, at_ms in self._being_written.items():
            self.put(seen, max(at_ms, self._waiting.get(seen, 0)))
        self._being_written.clear()

    def forget(self, user_id: int) -> None:
        """A user is erased: what waits of them is not written any more."""
        for seen in [seen for seen in self._waiting if seen.user_id == user_id]:
            del self._waiting[seen]

    def of(self, target: Target, slug: str | None, *, since_ms: int) -> list[LastSeen]:
        """Where the target was seen from that time on, in Unix milliseconds, the last at the end; slug None: anywhere.
        While the database is away what waits for it grows old."""
        both = (*self._being_written.items(), *self._waiting.items())
        return [
            seen
            for seen, at_ms in both
            if at_ms >= since_ms and seen.is_of(target) and (slug is None or seen.slug == slug)
        ]
