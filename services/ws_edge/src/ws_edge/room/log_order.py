"""The order of a room's log on one worker: every entry once, none before those that lie before it."""

from collections.abc import Sequence

from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import LogEntry, MessagePinned

HELD_LIMIT = 1000
"""Entries that wait while a gap is filled; what does not fit in leaves a gap of its own."""


class LogOrder:
    """Takes entries as they come and returns those to be shown now, in the order of the log. What it returns counts as
    shown: `last_id` is its last one.

    It begins filling: until `restored` is called for the first time, everything waits.
    """

    __slots__ = ("_held", "has_jumped", "is_filling", "last_id")

    def __init__(self) -> None:
        self.last_id = MessageId(0)
        self.is_filling = True
        """Entries wait for those that lie before them."""
        self.has_jumped = False
        """The last `restored` went on with a gap."""
        self._held: dict[MessageId, LogEntry] = {}

    @property
    def holds_back(self) -> bool:
        """Whether entries wait that were not shown."""
        return any(entry_id > self.last_id for entry_id in self._held)

    def is_held_back(self, entry_id: MessageId) -> bool:
        """Whether an entry waits for those that lie before it."""
        return entry_id in self._held

    @property
    def unread_pins(self) -> list[LogEntry]:
        """Those that wait, and whose messages have to be read."""
        return [entry for entry in self._held.values() if isinstance(entry, MessagePinned) and entry.message is None]

    def receive(self, entry: LogEntry) -> Sequence[LogEntry]:
        """Take the next one of the subscription. One that shows a gap waits, and so does a pin whose message has to be
        read, and all that follow, until `restored`: `is_filling` is true from then on, and the log has to be read."""
        if self.is_filling or entry.prev_id > self.last_id:
            self.is_filling = True
            self._hold(entry)
            return ()
        if entry.id <= self.last_id:
            return ()
        if isinstance(entry, MessagePinned) and entry.message is None:
            self.is_filling = True
            self._hold(entry)
            return ()
        self.last_id = entry.id
        return (entry,)

    def restored(self, missed: Sequence[LogEntry]) -> list[LogEntry]:
        """The log was read after last_id: go on with what it had; without it, if it could not be read: prev_id of the
        next entry shows clients the gap."""
        entries = sorted([*missed, *self._held.values()], key=_by_id)
        self.has_jumped = not self.is_closed_by(missed)
        self._held = {}
        self.is_filling = False
        return self._advance(entries)

    def found(self, found: Sequence[LogEntry]) -> list[LogEntry]:
        """Entries that follow last_id without a gap were read for another reason than a gap. While one is filled they
        wait as well, as far as there is room: see `is_held_back`."""
        if not self.is_filling:
            return self._advance(found)
        for entry in found:
            self._hold(entry)
        return []

    def is_closed_by(self, missed: Sequence[LogEntry]) -> bool:
        """Whether these and what is held back follow last_id without a gap."""
        last_id = self.last_id
        for entry in sorted([*missed, *self._held.values()], key=_by_id):
            if entry.prev_id > last_id:
                return False
            last_id = max(last_id, entry.id)
        return True

    def _hold(self, entry: LogEntry) -> None:
        if len(self._held) < HELD_LIMIT:
            self._held[entry.id] = entry

    def _advance(self, entries: Sequence[LogEntry]) -> list[LogEntry]:
        shown = []
        for entry in entries:
            if entry.id > self.last_id:
                self.last_id = entry.id
                shown.append(entry)
        return shown


def _by_id(entry: LogEntry) -> MessageId:
    return entry.id
