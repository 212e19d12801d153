"""What was said lately in rooms where nobody says what was said."""

from collections import OrderedDict
from typing import NamedTuple

TEXTS_KEPT_NS = 120_000_000_000
MOST_TEXTS = 200_000
"""Bounds the memory: the oldest go first. A text is some 500 bytes, however long it is."""


class Said(NamedTuple):
    """Who said something."""

    connection: str
    number: int
    """Of the message. With the connection it tells it from every other."""
    speaker: int | str
    life: int
    nonce: str
    """May be empty. With the two before it the same message has it when it is sent again."""


class _Spoken(NamedTuple):
    at_ns: int
    said: Said


class SpokenTexts:
    """Digests of what was admitted in the last two minutes, by room. Times are those of the monotonic clock. What was
    said while a room did not ask for it is not known."""

    def __init__(self, largest: int = MOST_TEXTS) -> None:
        self._largest = largest
        self._said: OrderedDict[tuple[str, bytes], _Spoken] = OrderedDict()  # the oldest first
        self._texts: dict[tuple[str, int], tuple[str, bytes]] = {}  # by message

    def __len__(self) -> int:
        return len(self._said)

    def wait_ns(self, slug: str, digest: bytes, now_ns: int) -> int:
        """0 where it may be said now, else how long until it may."""
        spoken = self._said.get((slug, digest))
        return 0 if spoken is None else max(0, spoken.at_ns + TEXTS_KEPT_NS - now_ns)

    def is_repeated(self, slug: str, digest: bytes, said: Said) -> bool:
        """Whether it is the same message that has said it, sent again with its nonce."""
        known = self._said.get((slug, digest))
        return known is not None and bool(said.nonce) and known.said[2:] == said[2:]

    def say(self, slug: str, digest: bytes, said: Said, now_ns: int) -> None:
        """A message was admitted; only after wait_ns said 0."""
        text = (slug, digest)
        self._forget(text)
        self._said[text] = _Spoken(now_ns, said)
        self._texts[said.connection, said.number] = text
        for _ in range(2):  # two go where one comes, so that the memory shrinks again
            oldest, spoken = next(iter(self._said.items()))
            if spoken.at_ns + TEXTS_KEPT_NS > now_ns and len(self._said) <= self._largest:
                return
            self._forget(oldest)

    def release(self, connection: str, number: int) -> None:
        """That message could not be stored: it was not said."""
        text = self._texts.get((connection, number))
        if text is not None:
            self._forget(text)

    def _forget(self, text: tuple[str, bytes]) -> None:
        spoken = self._said.pop(text, None)
        if spoken is not None:
            self._texts.pop(spoken.said[:2], None)
