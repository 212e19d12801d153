"""What was said lately in rooms where nobody says what was said."""

from collections import OrderedDict
from typing import NamedTuple

TEXTS_KEPT_NS = 120_000_000_000
MOST_TEXTS = 200_000
"""Bounds the memory: the oldest go first. A text is some 500 bytes, however long it is."""


class _Said(NamedTuple):
    at_ns: int
    message: tuple[str, int]
    """Its connection and its number."""


class SpokenTexts:
    """Digests of what was admitted in the last two minutes, by room. Times are those of the monotonic clock. What was
    said while a room did not ask for it is not known."""

    def __init__(self, largest: int = MOST_TEXTS) -> None:
        self._largest = largest
        self._said: OrderedDict[tuple[str, bytes], _Said] = OrderedDict()  # the oldest first
        self._texts: dict[tuple[str, int], tuple[str, bytes]] = {}  # by message

    def __len__(self) -> int:
        return len(self._said)

    def wait_ns(self, slug: str, digest: bytes, now_ns: int) -> int:
        """0 where it may be said now, else how long until it may."""
        said = self._said.get((slug, digest))
        return 0 if said is None else max(0, said.at_ns + TEXTS_KEPT_NS - now_ns)

    def say(self, slug: str, digest: bytes, connection: str, number: int, now_ns: int) -> None:
        """A message was admitted; only after wait_ns said 0."""
        text, message = (slug, digest), (connection, number)
        self._forget(text)
        self._said[text] = _Said(now_ns, message)
        self._texts[message] = text
        for _ in range(2):  # two go where one comes, so that the memory shrinks again
            oldest, said = next(iter(self._said.items()))
            if said.at_ns + TEXTS_KEPT_NS > now_ns and len(self._said) <= self._largest:
                return
            self._forget(oldest)

    def release(self, connection: str, number: int) -> None:
        """That message could not be stored: it was not said."""
        text = self._texts.get((connection, number))
        if text is not None:
            self._forget(text)

    def _forget(self, text: tuple[str, bytes]) -> None:
        said = self._said.pop(text, None)
        if said is not None:
            self._texts.pop(said.message, None)
