"""The pin of a room. Its entries in the log name a message and hold no text: whoever shows one reads the message first,
and leaves out what was taken back. A pin whose message is gone is shown as the end of the pin before it, so that who
follows the log ends with the same one as everybody, also who comes back and is given what was shown meanwhile."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from ws_edge.ports import Bus
from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import LogEntry, LogRef, MessagePinned, MessageUnpinned, StoredMessage
from ws_edge.protocol.pins import Pin
from ws_edge.room.erasures import Erasures

PINS_READ = 16
"""So many of the newest among entries that are read at once are shown; those before them hold no longer."""


class RoomPin:
    """What is pinned, as the log and moderation tell it: the higher version holds."""

    __slots__ = ("_current", "_version", "is_known", "is_of_log")

    def __init__(self) -> None:
        self._current: Pin | None = None
        self._version = 0
        self.is_known = True
        """False: something was pinned that could not be read."""
        self.is_of_log = False
        """The log told it, and not moderation."""

    @property
    def current(self) -> Pin | None:
        """None: nothing, as far as is known."""
        return self._current

    @property
    def message(self) -> StoredMessage | None:
        """What is pinned."""
        return None if self._current is None else self._current.message

    def told(self, pin: Pin, *, by_log: bool = False) -> None:
        """Moderation says so, or the log."""
        if pin.version > self._version:
            self._version, self.is_known, self.is_of_log = pin.version, True, by_log
            self._current = None if pin.message is None else pin

    def heard(self, entry: MessagePinned | MessageUnpinned) -> None:
        """The log says so; in its turn."""
        if isinstance(entry, MessageUnpinned) and entry.is_certain:
            self.told(Pin(entry.version, None, entry.moderator_user_id, entry.at), by_log=True)
        elif isinstance(entry, MessagePinned) and entry.message is not None:
            self.told(Pin(entry.version, entry.message, entry.moderator_user_id, entry.at), by_log=True)
        elif entry.version > self._version:
            self._version, self.is_known, self._current = entry.version - 1, False, None

    def take_back(self, erasures: Erasures) -> None:
        """Nothing is pinned that was taken back."""
        message = self.message
        if message is not None and erasures.covers(message):
            self._current = None


class PinnedRoom(Protocol):
    """What is asked of a room for which pins are read."""

    @property
    def log(self) -> LogRef:
        """Its log."""

    @property
    def erasures(self) -> Erasures:
        """What was taken back."""

    @property
    def pinned(self) -> StoredMessage | None:
        """What is pinned: at hand also where the log has let go of it."""


def unread_pins(entries: Sequence[LogEntry]) -> list[MessagePinned]:
    """Those whose messages have to be read before they can be shown."""
    pins = [entry for entry in entries if isinstance(entry, MessagePinned)]
    return [pin for pin in pins[-PINS_READ:] if pin.message is None]


async def with_messages(bus: Bus, room: PinnedRoom, entries: Sequence[LogEntry]) -> list[LogEntry]:
    """The entries, those of pins with their messages. One whose message is gone is the end of a pin; older ones than
    PINS_READ stay without. What was taken back may still be stored: see Erasures. Raises BusUnavailable."""
    unread = unread_pins(entries)
    if not unread:
        return list(entries)
    pinned = room.pinned
    found: dict[MessageId, LogEntry | None] = {} if pinned is None else {pinned.id: pinned}
    wanted = list(dict.fromkeys(pin.message_id for pin in unread if pin.message_id not in found))
    found |= zip(wanted, await asyncio.gather(*(bus.entry(room.log, number) for number in wanted)), strict=True)
    read: dict[MessageId, LogEntry] = {}
    for pin in unread:
        message = found[pin.message_id]
        if isinstance(message, StoredMessage):
            read[pin.id] = replace(pin, message=message)
        else:  # what the log has let go of moderation tells with the text, under the same version
            read[pin.id] = pin.ended(is_certain=room.erasures.names(pin.message_id))
    return [read.get(entry.id, entry) for entry in entries]
