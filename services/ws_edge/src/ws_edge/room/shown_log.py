"""What a room has shown of its log: held for those who come back or send again, without what was taken back since."""

from collections.abc import Sequence

from msgspec.structs import replace

from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import (
    Erasure,
    LogEntry,
    MessageDeleted,
    RoomCleared,
    StoredMessage,
    UnknownEntry,
)
from ws_edge.room.erasures import Erasures
from ws_edge.room.recent_log import HELD_S, REPLAY_LIMIT, RecentLog

REPEATABLE_LIMIT = 1024
"""Messages with a nonce that are kept for those who send them again; older ones are read from the stream."""


class ShownLog:
    """Everything that a room shows goes through `show`, in the order of the log."""

    __slots__ = ("_hidden_id", "_ids", "_last_id", "_recent", "_repeatable", "erasures")

    def __init__(self) -> None:
        self.erasures = Erasures()
        self._last_id = MessageId(0)
        self._hidden_id: MessageId | None = None
        """The newest entry that was shown to nobody."""
        self._recent: RecentLog | None = None
        self._repeatable: dict[MessageId, StoredMessage] = {}
        self._ids: list[MessageId] | None = None
        """Of all entries of the life, where this worker has shown them from the first one on: REPLAY_LIMIT of them, but
        for messages that were taken back. None: it is not known which there were."""

    def begin(self, last_id: MessageId, *, is_whole: bool) -> None:
        """The log reaches to here; `is_whole`: the life began on this worker, with nothing before."""
        self._last_id = last_id
        if is_whole:
            self._ids = []
            self.erasures.is_read = True

    def show(self, entry: LogEntry) -> LogEntry | None:
        """The entry as it is to be shown: prev_id is that of the one that was shown before it. None: to nobody."""
        shown = None if isinstance(entry, UnknownEntry) else self.erasures.shown(entry)
        if shown is None:
            self._hidden_id = entry.id
            return None
        entry = shown
        if self._hidden_id is not None and entry.prev_id == self._hidden_id:
            entry = replace(entry, prev_id=self._last_id)
        self._last_id = entry.id
        self._hold(entry)
        if isinstance(entry, Erasure):
            self.take_back((entry,))
        return entry

    def take_back(self, erasures: Sequence[Erasure]) -> None:
        """Nothing of it is at hand any more; the same may come twice."""
        if not erasures:
            return
        self.erasures.note(erasures)
        covers = self.erasures.covers
        self._repeatable = {number: one for number, one in self._repeatable.items() if not covers(one)}
        if self._recent is not None:
            self._recent.drop(self.erasures)
        for erasure in erasures:
            self._ids = None if self._ids is None else _ids_without(self._ids, erasure)

    def missed_something(self) -> None:
        """A gap was not filled: what was taken back in it is not known."""
        self.erasures.is_read = False

    def repeatable(self, message_id: MessageId) -> StoredMessage | None:
        """A message that was sent with a nonce, if it is still at hand."""
        return self._repeatable.get(message_id)

    # --- for those who come back -----------------------------------------------------------------------------------

    def hold_recent(self, last_id: MessageId, *, now_s: float) -> RecentLog:
        """From now on, and for HELD_S, hold what is shown; it was shown up to here."""
        if self._recent is None:
            self._recent = RecentLog(last_id, now_s=now_s)
        self._recent.used_at_s = now_s
        return self._recent

    def let_go(self, *, now_s: float) -> None:
        """Nobody came back for HELD_S: hold nothing any more."""
        if self._recent is not None and now_s - self._recent.used_at_s > HELD_S:
            self._recent = None

    def since(self, since: MessageId) -> list[LogEntry] | None:
        """What was shown after this entry, in order; None: it is not at hand."""
        return None if self._recent is None else self._recent.since(since)

    def is_whole_after(self, since: MessageId, entries: Sequence[LogEntry]) -> bool:
        """Whether these are all that the log ever had after this entry: this worker has shown it from its beginning."""
        if self._ids is None:
            return False
        read = {entry.id for entry in entries}
        return all(number in read for number in self._ids if number > since)

    def _hold(self, entry: LogEntry) -> None:
        if self._recent is not None:
            self._recent.append(entry)
        if isinstance(entry, StoredMessage) and entry.nonce:
            if len(self._repeatable) >= REPEATABLE_LIMIT:
                del self._repeatable[next(iter(self._repeatable))]
            self._repeatable[entry.id] = entry
        if self._ids is not None:
            self._ids.append(entry.id)
            if len(self._ids) > REPLAY_LIMIT:
                self._ids = None


def _ids_without(ids: list[MessageId], erasure: Erasure) -> list[MessageId] | None:
    """None: which of them are gone is not known."""
    match erasure:
        case MessageDeleted():
            return [number for number in ids if number != erasure.message_id]
        case RoomCleared():
            return [number for number in ids if number > erasure.up_to_id]
        case _:
            return None
