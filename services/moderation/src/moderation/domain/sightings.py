"""Who was seen where: what is not in the database yet."""

from typing import NamedTuple

from moderation.domain.people import Speaker, Target

LARGEST = 20_000
LONGEST_NAME = 255
LONGEST_SLUG = 128
LONGEST_ADDRESS = 64


class Sighting(NamedTuple):
    """Somebody was in a room, from an address. One of these is one row, with the last time."""

    user_id: int
    name: str
    """Of an anonymous speaker, else empty."""
    slug: str
    address: str

    @classmethod
    def of(cls, speaker: Speaker, slug: str) -> "Sighting":
        """What a speaker in a room leaves behind."""
        return cls(speaker.user_id, "" if speaker.user_id else speaker.username, slug, speaker.address)

    @property
    def is_storable(self) -> bool:
        """Whether every database takes it: one that does not would hold up all the others."""
        limits = ((self.name, LONGEST_NAME), (self.slug, LONGEST_SLUG), (self.address, LONGEST_ADDRESS))
        return bool(self.address) and all(len(text) <= longest and "\0" not in text for text, longest in limits)

    def is_of(self, target: Target) -> bool:
        """Whether it is the target who was seen."""
        return self.user_id == target.user_id and self.name == target.username


class SightingBuffer:
    """Sightings on their way to the database. When full the oldest are lost, and counted."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._waiting: dict[Sighting, int] = {}
        self._being_written: dict[Sighting, int] = {}
        self.lost = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._being_written)

    def note(self, sighting: Sighting, at_ms: int) -> None:
        """Somebody was seen just now."""
        self._waiting[sighting] = at_ms
        if len(self._waiting) > self._largest:
            del self._waiting[next(iter(self._waiting))]
            self.lost += 1

    def take(self, count: int) -> dict[Sighting, int]:
        """The next ones to write. Call written or put_back afterwards."""
        while self._waiting and len(self._being_written) < count:
            sighting = next(iter(self._waiting))
            self._being_written[sighting] = self._waiting.pop(sighting)
        return dict(self._being_written)

    def written(self) -> None:
        """What was taken is in the database."""
        self._being_written.clear()

    def put_back(self) -> None:
        """What was taken could not be written; what came since is newer."""
        for sighting, at_ms in self._being_written.items():
            self.note(sighting, max(at_ms, self._waiting.get(sighting, 0)))
        self._being_written.clear()

    def of(self, target: Target, slug: str | None) -> list[Sighting]:
        """Where the target was seen, the last at the end; slug None: anywhere."""
        both = (*self._being_written, *self._waiting)
        return [s for s in both if s.is_of(target) and (slug is None or s.slug == slug)]
