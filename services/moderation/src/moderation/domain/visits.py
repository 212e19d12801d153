"""When users were first and last in a room, and by which names: what is not in the database yet."""

from typing import NamedTuple

from moderation.domain.last_seen import LARGEST, LONGEST_NAME, LONGEST_SLUG
from moderation.domain.people import Speaker

MOST_VISITS = 200
"""Of one user, over all slugs and names. With one more the one that was seen longest ago goes."""


class Visit(NamedTuple):
    """Somebody signed in was in a room under a name. One of these is one row, with the first and the last time."""

    user_id: int
    slug: str
    name: str

    @classmethod
    def of(cls, speaker: Speaker, slug: str) -> "Visit | None":
        """A speaker in a room; None: nobody signed in, or nothing that every database takes."""
        is_storable = len(slug) <= LONGEST_SLUG and len(speaker.username) <= LONGEST_NAME
        if not (speaker.user_id and is_storable) or "\0" in slug or "\0" in speaker.username:
            return None
        return cls(speaker.user_id, slug, speaker.username)


class VisitBuffer:
    """What is on its way to the database, at most `largest`: when full the oldest are lost, of which the next sighting
    tells again."""

    def __init__(self, largest: int = LARGEST) -> None:
        self._largest = largest
        self._waiting: dict[Visit, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, visit: Visit, at_ms: int) -> None:
        """Somebody was there at that time, in Unix milliseconds."""
        first_ms, last_ms = self._waiting.pop(visit, (at_ms, at_ms))
        self._waiting[visit] = min(first_ms, at_ms), max(last_ms, at_ms)
        if len(self._waiting) > self._largest:
            del self._waiting[next(iter(self._waiting))]

    def take(self, count: int) -> dict[Visit, tuple[int, int]]:
        """The next ones to write, with first and last time."""
        return {visit: self._waiting.pop(visit) for visit in list(self._waiting)[:count]}

    def forget(self, user_id: int) -> None:
        """A user is erased: what waits of them is not written any more."""
        for visit in [visit for visit in self._waiting if visit.user_id == user_id]:
            del self._waiting[visit]

    def put_back(self, visits: dict[Visit, tuple[int, int]]) -> None:
        """They could not be written."""
        for visit, (first_ms, last_ms) in visits.items():
            self.put(visit, first_ms)
            self.put(visit, last_ms)
