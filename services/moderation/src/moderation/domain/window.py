"""Exact sliding windows: never more than the limit in any span of the window's length."""

from collections import Counter, OrderedDict, deque
from collections.abc import Hashable
from typing import NamedTuple

CARRY_TOLERANCE_NS = 2_000_000_000
"""How far an edge's time of an admission may be from ours: its deadline for a verdict."""


class Accepted(NamedTuple):
    """One accepted message; who told tells carried ones apart."""

    at_ns: int
    source: str


class Claims:
    """Which known admissions the carried ones of one stream were already matched with."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Hashable, Accepted]] = Counter()

    def take(self, key: Hashable, accepted: Accepted) -> None:
        """This one is matched."""
        self._counts[key, accepted] += 1

    def free(self, key: Hashable, known: deque[Accepted]) -> list[Accepted]:
        """Those of `known` that are not matched yet; equal ones count each."""
        left = Counter(known)
        return [a for a, count in left.items() if count > self._counts[key, a]]


class Windows:
    """The windows of many speakers. A speaker who was idle for a window's length costs no memory, and an active one
    what was accepted within a window and CARRY_TOLERANCE_NS, however high the limit.

    The last `limit` accepted times are all that exactness needs: a message is accepted when the oldest of them is a
    whole window ago. Windows are half-open: a message exactly `window_ns` after another is in another window.
    """

    def __init__(self, limit: int, window_ns: int) -> None:
        self._limit = limit
        self._window_ns = window_ns
        self._speakers: OrderedDict[Hashable, deque[Accepted]] = OrderedDict()  # the longest idle first

    def __len__(self) -> int:
        return len(self._speakers)

    def wait_ns(self, key: Hashable, now_ns: int) -> int:
        """0 where a message may be accepted now, else how long until it may."""
        accepted = self._speakers.get(key)
        if accepted is None or len(accepted) < self._limit:
            return 0
        return max(0, accepted[0].at_ns + self._window_ns - now_ns)

    def accept(self, key: Hashable, source: str, now_ns: int) -> None:
        """Count a message; only after wait_ns said 0."""
        accepted = self._speakers.get(key)
        if accepted is None:
            accepted = self._speakers[key] = deque(maxlen=self._limit)
        else:
            self._speakers.move_to_end(key)
        accepted.append(Accepted(now_ns, source))
        self._drop_old(accepted, now_ns)
        self._drop_idle(now_ns)

    def carry(self, key: Hashable, source: str, at_ns: int, claims: Claims) -> None:
        """Count a message that was accepted elsewhere, unless it is one that is known here.

        The same edge may come back to the same replica. A carried message is taken for a known one of the same
        connection within CARRY_TOLERANCE_NS, each known one for at most one, the earliest first: called
        oldest first, that matches as many as can be. What cannot be matched is counted, so that in doubt a speaker
        waits rather than exceeds the limit.
        """
        accepted = self._speakers.setdefault(key, deque(maxlen=self._limit))
        near = [
            a for a in claims.free(key, accepted) if a.source == source and abs(a.at_ns - at_ns) <= CARRY_TOLERANCE_NS
        ]
        if near:
            claims.take(key, min(near))
            return
        arrived = Accepted(at_ns, source)
        claims.take(key, arrived)
        self._speakers[key] = deque(sorted([*accepted, arrived]), maxlen=self._limit)

    def _drop_old(self, accepted: deque[Accepted], now_ns: int) -> None:
        """Forget what no window reaches any more. The tolerance is for carried ones, which are matched with it."""
        while accepted[0].at_ns + self._window_ns + CARRY_TOLERANCE_NS <= now_ns:
            accepted.popleft()

    def _drop_idle(self, now_ns: int) -> None:
        """Forget up to two idle speakers: more leave than can come."""
        for _ in range(2):
            key, accepted = next(iter(self._speakers.items()))
            if accepted[-1].at_ns + self._window_ns > now_ns:
                return
            del self._speakers[key]
