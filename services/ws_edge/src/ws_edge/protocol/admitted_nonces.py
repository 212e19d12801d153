"""Which messages were admitted lately: one that is sent again costs its author nothing."""

from collections import OrderedDict

from ws_edge.protocol.identity import Life

NONCE_AGE_S = 120.0
"""For so long the stream tells a message that it has from a new one."""
NONCES_LIMIT = 10_000


class AdmittedNonces:
    """Bounded twice, by age and by number: the oldest are forgotten first. The nonces of a participant are its own in
    each life of a room."""

    __slots__ = ("_at_s",)

    def __init__(self) -> None:
        self._at_s: OrderedDict[tuple[str, Life, str], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._at_s)

    def note(self, key: str, life: Life, nonce: str, now: float) -> None:
        """Remember a message that was admitted; a repeat does not make it younger."""
        self._age(now)
        self._at_s.setdefault((key, life, nonce), now)
        if len(self._at_s) > NONCES_LIMIT:
            self._at_s.popitem(last=False)

    def knows(self, key: str, life: Life, nonce: str, now: float) -> bool:
        """Whether this was admitted within the last two minutes."""
        self._age(now)
        return (key, life, nonce) in self._at_s

    def _age(self, now: float) -> None:
        horizon = now - NONCE_AGE_S
        while self._at_s and next(iter(self._at_s.values())) <= horizon:
            self._at_s.popitem(last=False)
