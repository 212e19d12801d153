"""Which messages were admitted in the last two minutes, by their nonces."""

from collections import OrderedDict

KEEP_NS = 120_000_000_000
LARGEST = 500_000
"""Bounds the memory. What is forgotten early is still found by the stream's duplicate window; it only counts again."""


class Nonces:
    """A memory of admitted messages."""

    def __init__(self, keep_ns: int = KEEP_NS, largest: int = LARGEST) -> None:
        self._keep_ns = keep_ns
        self._largest = largest
        self._admitted: OrderedDict[tuple[int | str, int, str], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._admitted)

    def knows(self, speaker: int | str, life: int, nonce: str, now_ns: int) -> bool:
        """Whether that message was admitted within the time kept."""
        at_ns = self._admitted.get((speaker, life, nonce))
        return at_ns is not None and at_ns + self._keep_ns > now_ns

    def remember(self, speaker: int | str, life: int, nonce: str, at_ns: int, now_ns: int) -> None:
        """A message with that nonce was admitted at that time."""
        message = (speaker, life, nonce)
        earlier = self._admitted.pop(message, at_ns)
        self._admitted[message] = max(earlier, at_ns)
        for _ in range(2):  # more leave than can come
            oldest, oldest_ns = next(iter(self._admitted.items()))
            if oldest_ns + self._keep_ns > now_ns and len(self._admitted) <= self._largest:
                return
            del self._admitted[oldest]
            if not self._admitted:
                return
