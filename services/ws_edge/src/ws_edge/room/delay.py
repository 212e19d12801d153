"""What waits until it may be seen: everything behind a delayed message waits behind it."""

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import Generic, TypeVar

from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import LogEntry, StoredMessage

WAITING_LIMIT = 10_000
"""Entries of a room that wait; a message more is left out, which prev_id of the next one shows."""
_T = TypeVar("_T")


def visible_ms(entry: LogEntry, now_ms: int) -> int:
    """From when on viewers may see it, whatever lies before it: Unix milliseconds, 0: at once. By the stream's time, so
    that all edges say the same; an edge whose clock is behind has it wait for no longer than the delay."""
    if not isinstance(entry, StoredMessage) or not entry.delay_ms:
        return 0
    return min(stored_ms(entry), now_ms) + entry.delay_ms


def stored_ms(entry: LogEntry) -> int:
    """When the stream stored it, Unix milliseconds."""
    return int(datetime.fromisoformat(entry.at).timestamp() * 1000)


class DelayLine(Generic[_T]):
    """Things in the order of the log, each with the time from which on it may be seen; none before the one ahead."""

    __slots__ = ("_last_ms", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, _T]] = deque()
        self._last_ms = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[tuple[int, _T]]:
        return iter(self._waiting)

    def due_ms(self, visible_ms: int, now_ms: int) -> int | None:
        """When what comes next may be seen; None: at once."""
        due_ms = max(self._last_ms, visible_ms) if self._waiting else visible_ms
        return due_ms if self._waiting or due_ms > now_ms else None

    def put(self, what: _T, due_ms: int) -> None:
        """It waits until then."""
        self._waiting.append((due_ms, what))
        self._last_ms = due_ms

    @property
    def next_ms(self) -> int | None:
        """When something may be seen; None: nothing waits."""
        return self._waiting[0][0] if self._waiting else None

    def put_off(self, due_ms: int) -> None:
        """What comes next may not be seen before that, while anything waits."""
        self._last_ms = max(self._last_ms, due_ms)

    def come_sooner(self, by_ms: int) -> None:
        """All that waits, by so much."""
        self._waiting = deque((due_ms - by_ms, what) for due_ms, what in self._waiting)
        self._last_ms -= by_ms

    def take(self, now_ms: int) -> list[_T]:
        """What may be seen by now."""
        taken: list[_T] = []
        while self._waiting and self._waiting[0][0] <= now_ms:
            taken.append(self._waiting.popleft()[1])
        return taken


class ShownChain:
    """Of what waited: names before each entry the one that was shown before it, also where that was taken back while it
    waited, and is shown to nobody."""

    __slots__ = ("_gone_id", "_shown_id", "_skipped", "last_id")

    def __init__(self, last_id: MessageId) -> None:
        self.last_id = last_id
        """The last entry whose time has come."""
        self._gone_id: MessageId | None = None
        self._skipped = 0
        self._shown_id = last_id

    def pass_by(self, entry_id: MessageId) -> None:
        """It is not part of the chain."""
        self.last_id = entry_id

    def prev_id(self, prev_id: MessageId) -> MessageId:
        """Of an entry that follows one, the one that is shown before it."""
        return self._shown_id if prev_id == self._gone_id else prev_id

    def show(self, entry_id: MessageId) -> None:
        """It is shown."""
        self.last_id, self._gone_id = entry_id, None

    def skipped_before(self, prev_id: MessageId) -> int:
        """How many were left out before what was taken back, that an entry follows."""
        return self._skipped if prev_id == self._gone_id else 0

    def leave_out(self, entry_id: MessageId, prev_id: MessageId, skipped: int = 0) -> None:
        """It was to be shown behind that one, with so many left out between, and is not."""
        self._skipped = skipped + self.skipped_before(prev_id)
        self._shown_id = self.prev_id(prev_id)
        self.last_id = self._gone_id = entry_id
