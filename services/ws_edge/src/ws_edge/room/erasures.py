"""What of one life's log was taken back, as far as a worker knows.

Text that was taken back may still be stored for a moment, and a replica of the stream that lags gives it out for
longer. So whoever reads stored text has the room catch up first (Recovery.catch_up), and leaves out what is
covered here. What takes messages back reaches this in two ways: as an entry of the log, and, for what was in the log
before this worker opened the room, by one read of what is kept beside the log.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from ws_edge.protocol.identity import MessageId, UserId
from ws_edge.protocol.log import (
    Erasure,
    LogEntry,
    MessageDeleted,
    MessagePinned,
    MessagesPurged,
    RoomCleared,
    StoredMessage,
)

KEY_S = 120.0
"""So long the key of a message is known, from when it was taken back: moderation and the stream know a nonce for two
minutes from when it was sent."""
_DELETED_LIMIT = 20_000
"""Single messages: as many as a log has entries. The oldest go, which no log holds any more."""


class Erasures:
    """Begins empty, and `is_read` false: what was taken back before is not known."""

    __slots__ = ("_cleared_up_to", "_deleted", "_keys", "_purged_up_to", "is_read")

    def __init__(self) -> None:
        self.is_read = False
        """Nothing was missed: what came before was read, and what came since was heard."""
        self._cleared_up_to = MessageId(0)
        self._deleted: dict[MessageId, None] = {}
        self._purged_up_to: dict[UserId | str, MessageId] = {}
        self._keys: dict[str, float] = {}

    def note(self, erasures: Sequence[Erasure]) -> None:
        """Something was taken back; the same may come twice. Of a few, or of thousands that were read at once."""
        for erasure in erasures:
            self._note(erasure)
        self._note_keys(erasures)

    def _note(self, erasure: Erasure) -> None:
        match erasure:
            case MessageDeleted():
                self._deleted[erasure.message_id] = None
                if len(self._deleted) > _DELETED_LIMIT:
                    del self._deleted[next(iter(self._deleted))]
            case MessagesPurged():
                author = _author(erasure.user_id, erasure.username)
                self._purged_up_to[author] = max(erasure.up_to_id, self._purged_up_to.get(author, MessageId(0)))
            case RoomCleared():
                self._cleared_up_to = max(erasure.up_to_id, self._cleared_up_to)

    def covers(self, message: StoredMessage) -> bool:
        """Whether a message was taken back: its text is shown to nobody."""
        return self.covers_id(message.id, author_of(message))

    def covers_id(self, number: MessageId, author: UserId | str) -> bool:
        """The same of a message that is not at hand; `author` as author_of gives it."""
        return number <= self._cleared_up_to or number in self._deleted or number <= self._purged_up_to.get(author, 0)

    def without_covered(self, entries: Iterable[LogEntry]) -> list[LogEntry]:
        """The entries that may be shown, as they may."""
        shown = (self.shown(entry) for entry in entries)
        return [entry for entry in shown if entry is not None]

    def shown(self, entry: LogEntry) -> LogEntry | None:
        """An entry as it may be shown: one that pins what was taken back ends the pin before it. None: to nobody."""
        if isinstance(entry, StoredMessage):
            return None if self.covers(entry) else entry
        if isinstance(entry, MessagePinned):
            if entry.message is None:
                return None
            return entry.ended() if self.covers(entry.message) else entry
        return entry

    def names(self, number: MessageId) -> bool:
        """Whether the message with this id was taken back by itself or with all others; where all of its author's were,
        see `covers`."""
        return number <= self._cleared_up_to or number in self._deleted

    def refuses(self, key: str, *, now_s: float) -> bool:
        """Whether a message of this message_key was taken back in the last two minutes; Unix seconds."""
        return self._keys.get(key, 0.0) > now_s

    def _note_keys(self, erasures: Sequence[Erasure]) -> None:
        newest_s = 0.0
        for erasure in erasures:
            if erasure.message_keys:
                newest_s = max(newest_s, datetime.fromisoformat(erasure.at).timestamp())
                self._keys |= dict.fromkeys(erasure.message_keys, newest_s + KEY_S)
        if newest_s:
            self._keys = {key: until_s for key, until_s in self._keys.items() if until_s > newest_s}


def author_of(message: StoredMessage) -> UserId | str:
    """Whose message it is, as a purge names its author."""
    return _author(message.user_id, message.username)


def _author(user_id: UserId | None, username: str) -> UserId | str:
    return username if user_id is None else user_id
