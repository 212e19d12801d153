"""Which messages viewers are shown where a room shows them so many a second: a pure function of its log.

A *second* is one of the stream's time. Where it has more messages than the limit, all of those that are exempt are
shown: by moderators and above, by VIPs, and those without a limit of their own; then at most one an author, as far as
there is room, chosen by a hash of their ids. So nobody is shown more often for being faster or for writing more, and
which messages are shown is known when the second is over.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import takewhile
from typing import NamedTuple

from ws_edge.protocol.identity import MessageId, Rank
from ws_edge.protocol.log import LogEntry, StoredMessage
from ws_edge.room.erasures import author_of
from ws_edge.room.member import Member

WAITING_LIMIT = 20_000
"""Entries that wait for the end of their second: as many as a log has. With one more they are judged by what came."""
MENTIONS_LIMIT = 10
"""People named in a message who are shown it whatever becomes of it."""
_MENTION = re.compile(r"@([^\s@]+)")
_BEHIND_A_NAME = ".,:;!?)]}'\"…"
_SECOND_CHARACTERS = len("2025-11-27T16:30:00")
_SAMPLED_ROLES = (None, Rank.USER.role)


def second_of(entry: LogEntry) -> str:
    """The second of the stream's time in which an entry was stored; later ones compare as greater."""
    return entry.at[:_SECOND_CHARACTERS]


def left_of_second_s(entry: LogEntry) -> float:
    """How long the second lasted when the entry was stored."""
    return 1.0 - int(entry.at[_SECOND_CHARACTERS + 1 : -1]) / 1000


def is_sampled(message: StoredMessage) -> bool:
    """Whether it may be left out."""
    return message.max_shown > 0 and message.role in _SAMPLED_ROLES


def shown_in_second(messages: Sequence[StoredMessage]) -> set[MessageId]:
    """Of all messages of a second those that viewers are shown. Where several limits held, the lowest does."""
    limit = min((message.max_shown for message in messages if message.max_shown), default=0)
    if not limit or len(messages) <= limit:
        return {message.id for message in messages}
    shown = {message.id for message in messages if not is_sampled(message)}
    of_authors: dict[object, tuple[bytes, MessageId]] = {}
    for message in filter(is_sampled, messages):
        drawn, author = (_lot(message.id), message.id), author_of(message)
        of_authors[author] = min(drawn, of_authors.get(author, drawn))
    places = max(0, limit - len(shown))
    return shown | {message_id for _, message_id in sorted(of_authors.values())[:places]}


def _lot(message_id: MessageId) -> bytes:
    return blake2b(message_id.to_bytes(8), digest_size=8).digest()


def mentioned_in(text: str) -> tuple[str, ...]:
    """The first names that are mentioned, in lower case.

    >>> mentioned_in("@Ana, look at what @bob says: mail a@b.example, @ana!")
    ('ana', 'bob', 'b.example')
    """
    names = (found.rstrip(_BEHIND_A_NAME).casefold() for found in _MENTION.findall(text))
    return tuple(dict.fromkeys(filter(None, names)))[:MENTIONS_LIMIT]


class Passed(NamedTuple):
    """An entry whose turn has come."""

    entry: LogEntry
    author: Member | None
    """Whose message or command it is, where that is a connection here."""
    is_shown: bool
    prev_id: MessageId
    """The entry that was shown before it."""
    skipped: int
    """How many messages between the two were left out."""
    mentioned: tuple[Member, ...] = ()
    """Who is shown it besides, where it is left out."""


class _Waiting(NamedTuple):
    entry: LogEntry
    author: Member | None
    second: str
    """No earlier than that of the entry before, whatever the stream's clock did."""
    is_behind_gap: bool


class SampledLane:
    """What viewers of a room are shown, from the first entry on that has a limit, in the order of the log: nothing
    overtakes what waits for the end of its second, which is over where an entry of a later one comes, or `second_over`
    says so. `shown`: an entry as it may be shown by then, None: to nobody."""

    __slots__ = (
        "_added_id",
        "_dropped_id",
        "_judged",
        "_judged_second",
        "_over",
        "_second",
        "_shown",
        "_shown_id",
        "_skipped",
        "_unknown_second",
        "_unread_second",
        "_waiting",
        "last_id",
        "unread",
        "used_at_s",
    )

    def __init__(self, last_id: MessageId, shown: Callable[[LogEntry], LogEntry | None]) -> None:
        """Viewers have been shown everything up to there."""
        self.last_id = last_id
        """The last entry whose turn has come."""
        self.unread: MessageId | None = None
        """What the second of this entry has before it is to be read: see `earlier_read`."""
        self.used_at_s = 0.0
        self._shown = shown
        self._added_id = self._dropped_id = last_id
        self._shown_id = last_id
        self._skipped = 0
        self._waiting: deque[_Waiting] = deque()
        self._second = ""
        self._over = ""
        self._unread_second = ""
        self._unknown_second = ""
        """What it has before the first of its entries here, or behind a gap, nobody has needed yet."""
        self._judged_second = ""
        self._judged: dict[MessageId, StoredMessage] = {}
        """The messages of that second whose turn has come, or that were read."""

    @property
    def waits_for(self) -> str | None:
        """The second whose end is waited for; None: nothing waits."""
        return self._waiting[-1].second if self._waiting else None

    @property
    def is_straight(self) -> bool:
        """Whether viewers have been shown the last entry: what follows it needs no lane of its own."""
        return not self._waiting and self._shown_id == self._added_id

    def add(self, entry: LogEntry, author: Member | None) -> list[Passed]:
        """The next entry of the log. What has its turn by now."""
        is_first, is_behind_gap = not self._second, entry.prev_id > self._added_id
        self._second = max(self._second, second_of(entry))
        if (is_first and entry.prev_id) or (is_behind_gap and entry.prev_id != self._dropped_id):
            self._unknown_second = self._second
        if self._unknown_second == self._second and (self._waiting or _is_sampled_entry(entry)):
            self.unread, self._unread_second, self._unknown_second = entry.id, self._second, ""
        self._added_id = entry.id
        self._waiting.append(_Waiting(entry, author, self._second, is_behind_gap))
        if len(self._waiting) > WAITING_LIMIT:
            self.unread, self._over = None, self._second
        return self._release()

    def left_no_place(self, entry: LogEntry) -> None:
        """The next entry of the log, for which there is no room: prev_id of the one after it shows a gap, for which
        nothing is to be read."""
        self._dropped_id = entry.id

    def earlier_read(self, messages: Iterable[StoredMessage]) -> list[Passed]:
        """Messages before `unread` were read, all that its second has among them. What has its turn by that."""
        self.unread = None
        self._judge(self._unread_second, (one for one in messages if second_of(one) == self._unread_second))
        return self._release()

    def second_over(self, second: str) -> list[Passed]:
        """Everything that was stored up to the end of this second was added. What has its turn by that."""
        self._over = max(self._over, second)
        return self._release()

    def _release(self) -> list[Passed]:
        passed: list[Passed] = []
        while self._waiting:
            first = self._waiting[0]
            if not _is_sampled_entry(first.entry):
                self._take(1, None, passed)
                continue
            is_over = first.second < self._second or first.second <= self._over
            if not is_over or (self.unread is not None and first.second == self._unread_second):
                break
            of_second = self._waiting_of(first.second)
            self._judge(first.second, (entry for entry in of_second if isinstance(entry, StoredMessage)))
            self._take(len(of_second), shown_in_second(list(self._judged.values())), passed)
        return passed

    def _waiting_of(self, second: str) -> list[LogEntry]:
        return [one.entry for one in takewhile(lambda one: one.second == second, self._waiting)]

    def _judge(self, second: str, messages: Iterable[StoredMessage]) -> None:
        if second != self._judged_second:
            self._judged_second, self._judged = second, {}
        self._judged |= {message.id: message for message in messages}

    def _take(self, count: int, chosen: set[MessageId] | None, passed: list[Passed]) -> None:
        """The first of those that wait have their turn; `chosen` None: all of them are shown."""
        for _ in range(count):
            entry, author, second, is_behind_gap = self._waiting.popleft()
            self.last_id = entry.id
            if is_behind_gap:
                self._shown_id, self._skipped = entry.prev_id, 0
            if isinstance(entry, StoredMessage):
                self._judge(second, (entry,))
            may_be_shown = self._shown(entry)
            if may_be_shown is None:
                continue
            is_shown = chosen is None or not isinstance(entry, StoredMessage) or entry.id in chosen
            passed.append(Passed(may_be_shown, author, is_shown, self._shown_id, self._skipped))
            if is_shown:
                self._shown_id, self._skipped = entry.id, 0
            else:
                self._skipped += 1


def _is_sampled_entry(entry: LogEntry) -> bool:
    return isinstance(entry, StoredMessage) and is_sampled(entry)
