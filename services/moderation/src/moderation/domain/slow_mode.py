"""Slow mode: when somebody last spoke in a room, and since when they may speak there again."""

from collections import OrderedDict
from typing import NamedTuple

from moderation.domain.policy import LONGEST_SLOW_MODE_S

MOST_PLACES = 500_000
"""Bounds the memory: the oldest go first. A place is some 400 bytes."""
_KEPT_NS = LONGEST_SLOW_MODE_S * 1_000_000_000


class Place(NamedTuple):
    """The admission that somebody has to keep their distance from."""

    at_ns: int
    connection: str
    number: int
    """Of the message, as its edge counts them. With the connection it tells the place from every other."""


class SlowMode:
    """The last admission of each speaker in each room that has slow mode. Times are those of the monotonic clock.

    What was admitted while a room had no slow mode holds no place in it. A place is kept for the longest slow mode that
    there is, since the room's may be made longer meanwhile.
    """

    def __init__(self, largest: int = MOST_PLACES) -> None:
        self._largest = largest
        # The oldest first, but for those that were carried.
        self._places: OrderedDict[tuple[int | str, str], Place] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def wait_ns(self, key: int | str, slug: str, seconds: int, now_ns: int) -> int:
        """0 where the speaker may speak now, else how long until they may."""
        place = self._places.get((key, slug))
        return 0 if place is None else max(0, place.at_ns + seconds * 1_000_000_000 - now_ns)

    def take(self, key: int | str, slug: str, place: Place, now_ns: int) -> None:
        """A message was admitted, here or elsewhere; one that was admitted after it stays."""
        taken = (key, slug)
        known = self._places.get(taken)
        if known is not None and (known.at_ns >= place.at_ns or known[1:] == place[1:]):
            return
        self._places[taken] = place
        self._places.move_to_end(taken)
        for _ in range(2):  # two go where one comes, so that the memory shrinks again
            oldest = next(iter(self._places))
            if self._places[oldest].at_ns + _KEPT_NS > now_ns and len(self._places) <= self._largest:
                return
            del self._places[oldest]
            if not self._places:
                return

    def release(self, key: int | str, slug: str, connection: str, number: int) -> None:
        """That message could not be stored. Nothing changes where the speaker has spoken since."""
        place = self._places.get((key, slug))
        if place is not None and place[1:] == (connection, number):
            del self._places[key, slug]
