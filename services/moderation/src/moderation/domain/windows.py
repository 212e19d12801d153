"""What was admitted lately: the sliding windows of the rate limits, and the nonces of messages."""

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from typing import NamedTuple

NONCES_KEPT_NS = 110_000_000_000
"""For 120 s the stream finds duplicates: what is known here as admitted is found there too, also where it is repeated
at the last moment and waits on its way."""
MOST_NONCES = 500_000
"""Bounds the memory. What is forgotten early is still found by the stream's duplicate window; it only counts again."""
CARRY_TOLERANCE_NS = 2_000_000_000
"""How far an edge's time of an admission may be from ours: its deadline for a verdict."""


class Accepted(NamedTuple):
    """One accepted message. `source` is its connection, by which a message that is carried is recognised, `number` what
    it is released by; 0: nobody knows."""

    at_ns: int
    source: str
    number: int = 0


class CarryMatcher:
    """Finds out which of the admissions that one stream carries were known before. It holds, for each speaker, what was
    known when the stream began to carry theirs; each of these is matched with one admission at most."""

    def __init__(self) -> None:
        self._unmatched: dict[Hashable, dict[str, deque[int]]] = {}

    def knows(self, key: Hashable) -> bool:
        """Whether begin was called for that speaker."""
        return key in self._unmatched

    def begin(self, key: Hashable, known: Iterable[Accepted]) -> None:
        """What is known of a speaker, oldest first."""
        by_source: dict[str, deque[int]] = {}
        for accepted in known:
            by_source.setdefault(accepted.source, deque()).append(accepted.at_ns)
        self._unmatched[key] = by_source

    def match(self, key: Hashable, source: str, at_ns: int) -> bool:
        """Take the earliest that is near, once. Called oldest first, so that what is too early now stays too early."""
        times = self._unmatched[key].get(source)
        while times and times[0] < at_ns - CARRY_TOLERANCE_NS:
            times.popleft()
        if not times or times[0] > at_ns + CARRY_TOLERANCE_NS:
            return False
        times.popleft()
        return True


class SlidingWindowLimiter:
    """Exact: never more than `limit` messages of a speaker in any span of `window_ns`. A speaker who was idle for a
    window's length costs no memory, and an active one what was accepted within a window and CARRY_TOLERANCE_NS, however
    high the limit.

    The last `limit` accepted times are all that exactness needs: a message is accepted when the oldest of them is a
    whole window ago. Windows are half-open: a message exactly `window_ns` after another is in another window.
    """

    def __init__(self, limit: int, window_ns: int) -> None:
        self._limit = limit
        self._window_ns = window_ns
        self._speakers: OrderedDict[Hashable, deque[Accepted]] = OrderedDict()  # the longest idle first
        self._carried: dict[Hashable, list[Accepted]] = {}  # to be sorted into those

    def __len__(self) -> int:
        return len(self._speakers)

    def wait_ns(self, key: Hashable, now_ns: int) -> int:
        """0 where a message may be accepted now, else how long until it may."""
        accepted = self._settled(key)
        if accepted is None or len(accepted) < self._limit:
            return 0
        return max(0, accepted[0].at_ns + self._window_ns - now_ns)

    def accept(self, key: Hashable, source: str, now_ns: int, number: int = 0) -> None:
        """Count a message; only after wait_ns said 0."""
        accepted = self._settled(key)
        if accepted is None:
            accepted = self._speakers[key] = deque(maxlen=self._limit)
        else:
            self._speakers.move_to_end(key)
        accepted.append(Accepted(now_ns, source, number))
        self._drop_old(accepted, now_ns)
        self._drop_idle(now_ns)

    def release(self, key: Hashable, source: str, number: int) -> None:
        """That message counts no longer. It and no other: the time of another one would make room too early, or too
        late."""
        accepted = self._settled(key)
        for place, (_, whose, known) in enumerate(accepted or ()):
            if known == number != 0 and whose == source:
                assert accepted is not None
                del accepted[place]
                break
        if accepted is not None and not accepted:
            del self._speakers[key]

    def carry(self, key: Hashable, source: str, at_ns: int, matcher: CarryMatcher, number: int = 0) -> None:
        """Count a message that was accepted elsewhere, unless it is one that is known here.

        The same edge may come back to the same replica. A carried message is taken for a known one of the same
        connection within CARRY_TOLERANCE_NS, each known one for at most one, the earliest first: called
        oldest first, that matches as many as can be. What cannot be matched is counted, so that in doubt a speaker
        waits rather than exceeds the limit.
        """
        if not matcher.knows(key):
            matcher.begin(key, self._settled(key) or ())
        if matcher.match(key, source, at_ns):
            return
        carried = self._carried.setdefault(key, [])
        carried.append(Accepted(at_ns, source, number))
        self._speakers.setdefault(key, deque(maxlen=self._limit))
        if len(carried) > self._limit:
            self._settled(key)

    def _settled(self, key: Hashable) -> deque[Accepted] | None:
        """What was accepted of a speaker. Carried ones are sorted in here, once for many of them."""
        carried = self._carried.pop(key, None)
        if carried is None:
            return self._speakers.get(key)
        accepted = self._speakers[key] = deque(sorted([*self._speakers[key], *carried]), maxlen=self._limit)
        return accepted

    def _drop_old(self, accepted: deque[Accepted], now_ns: int) -> None:
        """Forget what no window reaches any more. The tolerance is for carried ones, which are matched with it."""
        while accepted[0].at_ns + self._window_ns + CARRY_TOLERANCE_NS <= now_ns:
            accepted.popleft()

    def _drop_idle(self, now_ns: int) -> None:
        """Forget up to two idle speakers. One comes at a time, so that the memory shrinks again."""
        for _ in range(2):
            key = next(iter(self._speakers))
            accepted = self._settled(key)
            assert accepted
            if accepted[-1].at_ns + self._window_ns > now_ns:
                return
            del self._speakers[key]


class AdmittedNonces:
    """Which messages were admitted in the last `keep_ns`, by speaker, life and nonce; the latest `largest` of them.
    With another text it is another message: what it says was never judged. An empty text is one that is not known."""

    def __init__(self, keep_ns: int = NONCES_KEPT_NS, largest: int = MOST_NONCES) -> None:
        self._keep_ns = keep_ns
        self._largest = largest
        self._admitted: OrderedDict[tuple[int | str, int, str], tuple[int, int]] = OrderedDict()
        """When, and eight bytes of what."""

    def __len__(self) -> int:
        return len(self._admitted)

    def knows(self, speaker: int | str, life: int, nonce: str, text: str, now_ns: int) -> bool:
        """Whether that message was admitted within the time kept."""
        known = self._admitted.get((speaker, life, nonce))
        if known is None or known[0] + self._keep_ns <= now_ns:
            return False
        return not text or known[1] in (_UNKNOWN, hash(text))

    def remember(self, speaker: int | str, life: int, nonce: str, text: str, at_ns: int, now_ns: int) -> None:
        """A message with that nonce was admitted at that time."""
        message = (speaker, life, nonce)
        earlier_ns, digest = self._admitted.pop(message, (at_ns, _UNKNOWN))
        self._admitted[message] = max(earlier_ns, at_ns), hash(text) if text else digest
        for _ in range(2):  # two go where one comes, so that the memory shrinks again
            oldest, (oldest_ns, _digest) = next(iter(self._admitted.items()))
            if oldest_ns + self._keep_ns > now_ns and len(self._admitted) <= self._largest:
                return
            del self._admitted[oldest]
            if not self._admitted:
                return

    def forget(self, speaker: int | str, life: int, nonce: str) -> None:
        """That message was not stored: sent again it is a new one."""
        self._admitted.pop((speaker, life, nonce), None)


_UNKNOWN = hash("")
