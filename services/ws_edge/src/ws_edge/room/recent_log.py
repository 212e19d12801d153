"""The newest entries that a room has shown, held in memory while clients come back: what room/replay.py fills, and the
room writes behind room_joined."""

from collections import deque
from collections.abc import Callable, Sequence

from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import LogEntry
from ws_edge.room.erasures import Erasures

REPLAY_LIMIT = 500
"""Entries that one client is given; who has missed more reads the history."""
HELD_S = 30.0
"""For so long after the last client came back a room holds what it has shown."""


class RecentLog:
    """Entries without a gap: all that the room has shown after `after`, at most REPLAY_LIMIT of them, but for messages
    that were taken back."""

    __slots__ = ("_addresses", "_entries", "_frames", "_last_id", "after", "too_old", "used_at_s")

    def __init__(self, last_id: MessageId, *, now_s: float) -> None:
        """Begins empty, at the last entry that was shown."""
        self.after = last_id
        self._last_id = last_id
        self._entries: deque[LogEntry] = deque()
        self._frames: dict[tuple[MessageId, bool], tuple[MessageId, bytes]] = {}
        """By entry, and whether its emotes are left out."""
        self._addresses: dict[MessageId, int] = {}
        self.too_old = MessageId(-1)
        """Up to here the log is known not to give what came after."""
        self.used_at_s = now_s

    def append(self, entry: LogEntry) -> None:
        """An entry is shown. One behind a gap that was not filled leaves nothing before it."""
        if entry.prev_id > self._last_id:
            self._entries.clear()
            self._frames.clear()
            self._addresses.clear()
            self.after = entry.prev_id
        self._entries.append(entry)
        self._last_id = entry.id
        if len(self._entries) > REPLAY_LIMIT:
            self.after = self._entries.popleft().id
            self._forget(self.after)

    def prepend(self, earlier: Sequence[LogEntry], *, after: MessageId, reaches: MessageId) -> bool:
        """Entries of the log after `after` and up to `reaches` were read. False: they do not reach to where this
        begins."""
        if reaches < self.after:
            return False
        before_this = [entry for entry in earlier if after < entry.id <= self.after]
        room = REPLAY_LIMIT - len(self._entries)
        if len(before_this) > room:
            after = before_this[-room - 1].id
            before_this = before_this[-room:] if room else []
        self._entries.extendleft(reversed(before_this))
        self.after = min(after, self.after)
        return True

    def drop(self, erasures: Erasures) -> None:
        """Hold nothing that was taken back."""
        before = {entry.id: entry for entry in self._entries}
        self._entries = deque(erasures.without_covered(self._entries))
        unchanged = {entry.id for entry in self._entries if entry is before[entry.id]}
        for number in before.keys() - unchanged:
            self._forget(number)

    def since(self, since: MessageId) -> list[LogEntry] | None:
        """What was shown after this entry, in order; None: it reaches further back than this."""
        if since < self.after:
            return None
        return [entry for entry in self._entries if entry.id > since]

    def frame_of(
        self,
        entry: LogEntry,
        prev_id: MessageId,
        encode: Callable[[LogEntry, MessageId, bool], bytes],
        *,
        without_emotes: bool = False,
    ) -> bytes:
        """The frame that all who come back are shown behind the entry `prev_id`, encoded once."""
        key = (entry.id, without_emotes)
        known = self._frames.get(key)
        if known is None or known[0] != prev_id:
            known = self._frames[key] = (prev_id, encode(entry, prev_id, without_emotes))
        return known[1]

    def addresses_of(self, entry: LogEntry, count: Callable[[LogEntry], int]) -> int:
        """How many characters the addresses of its emotes have, counted once."""
        known = self._addresses.get(entry.id)
        if known is None:
            known = self._addresses[entry.id] = count(entry)
        return known

    def _forget(self, number: MessageId) -> None:
        self._frames.pop((number, False), None)
        self._frames.pop((number, True), None)
        self._addresses.pop(number, None)
