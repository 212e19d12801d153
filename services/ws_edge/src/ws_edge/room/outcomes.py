"""Outcomes of a message

A client that sends a chat_message hears of it exactly once: it sees the message, with everybody else, or it gets an
error frame. Nothing is dropped in silence, and the edge itself never sends a message a second time. This file holds the
part of that promise between publishing and hearing again; chat/post.py holds the part before, room/room.py shows.

What a message waits for
------------------------

    frame ─► verdict ─► published ─► seen            everybody gets it; its author with the nonce
                │           ├─────► repeated         the stream had it: its author alone gets the stored copy
                │           ├─────► looked up        no copy within 2 s: the stream is read, and may still have it
                │           └─────► expired          not found, or not readable: `unavailable`
                └─► refused                          rate_limited, muted_or_banned, unavailable

A verdict comes from moderation within 2 s, or the edge judges by itself. From then on the message has a *token*: a
number that is unique in this process, and travels with the message through the stream. `register` gives it out.

The copy is the proof
---------------------

The stream republishes what it has stored, and only that. So a copy which comes back with this edge's name and one of
its tokens proves that the message is stored; there is no acknowledgement to wait for, and no future for each message.
`resolve_copy` takes the token out and names the author, whose own copy carries the nonce. A message with a nonce asks
for an acknowledgement all the same: a message that the stream already has is not republished, and nothing but the
acknowledgement says so.

No copy
-------

A copy may be lost: NATS reconnects, a subscriber is too slow, the leader of the stream dies after it stored. After
OUTCOME_S `overdue` names each such token once. The room's part of the stream is then read (room/recovery.py): what is
found is shown like any copy, which resolves it. What is not found, or cannot be read in time, is given to `expire`: its
author hears `unavailable`, which says "perhaps delivered, send again". Sent again with the same nonce it is found by
the stream and resolves as repeated; without a nonce only the author can know whether to send it.

Who is told
-----------

An author may leave before the outcome is known. The message goes on, since others are to see it; `refuse` and `write`
of a connection that is over do nothing. `waiting` of the author counts the messages between frame and outcome: it goes
up when a verdict is asked for, and down by one in each of the outcomes above. Whatever ends a message has to pass
through one of them, or its author would be refused in the end for messages that wait for nothing.

Commands
--------

A deletion, a purge or a clear is answered by the entry that it puts into the room's log, and waits like a message. The
token is given out by `expect` before moderation is asked, since the entry may come back before moderation's answer;
`entry_due` starts the time of `overdue` once the command was carried out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import Protocol

import structlog

from chassis.logs import LogSummary
from ws_edge.errors import ErrorCode
from ws_edge.ports import Clock, Incident, Meter
from ws_edge.protocol.holds import Decided
from ws_edge.protocol.log import LogEntry
from ws_edge.room.member import Member
from ws_edge.room.room import Room

_log = structlog.get_logger(__name__)

OUTCOME_S = 2.0
"""For so long a published message is waited for before the stream is read for it."""


class Author(Member, Protocol):
    """A connection that posts."""

    waiting: int
    """Its messages that have no outcome yet."""

    def refuse(
        self,
        code: ErrorCode,
        *,
        retry_after_ms: int = 0,
        nonce: str = "",
        told: str = "",
        decided: Decided | None = None,
    ) -> None:
        """Tell why a frame was not accepted, in words of a rule where it has any, and who has decided where somebody
        has; does nothing once the connection is over."""


@dataclass(slots=True)
class Pending:
    """A message that was published and has no outcome yet."""

    author: Author
    room: Room
    nonce: str
    published_at_s: float
    is_looked_up: bool = False
    is_answered: bool = False
    """Its author knows that it was carried out: they are told nothing else, however late its entry comes."""
    not_stored: Callable[[], None] | None = None


class Outcomes:
    """The published messages of one worker that have no outcome yet. `edge` is the worker's incarnation."""

    __slots__ = ("_clock", "_expected", "_expired", "_meter", "_pending", "_tokens", "edge")

    def __init__(self, edge: str, clock: Clock, meter: Meter) -> None:
        self.edge = edge
        self._clock = clock
        self._meter = meter
        self._tokens = count(1)
        self._pending: dict[int, Pending] = {}
        self._expected: dict[int, Pending] = {}
        """Commands that moderation has not answered yet."""
        self._expired = LogSummary(_log, "messages_without_outcome")

    def __len__(self) -> int:
        return len(self._pending)

    def register(self, author: Author, room: Room, nonce: str, *, not_stored: Callable[[], None] | None = None) -> int:
        """Before a message is published; the token that it is published with. `not_stored` is called where the message
        turns out not to be stored, before its author is told."""
        token = next(self._tokens)
        self._pending[token] = Pending(author, room, nonce, self._clock.now_s(), not_stored=not_stored)
        return token

    def expect(self, author: Author, room: Room, nonce: str) -> int:
        """Before a command is given that may bring an entry; the token that the entry will carry. It counts as waiting
        like a message, until `resolve`, or `overdue` some time after `entry_due`."""
        token = next(self._tokens)
        author.waiting += 1
        self._expected[token] = Pending(author, room, nonce, 0.0)
        return token

    def entry_due(self, token: int, *, is_answered: bool = False) -> None:
        """The command was carried out: from now on its entry is waited for as a message is. `is_answered`: its author
        is told so besides."""
        pending = self._expected.pop(token, None)
        if pending is not None:
            pending.is_answered = is_answered
            pending.published_at_s = self._clock.now_s()
            self._pending[token] = pending

    def find(self, token: int) -> Pending | None:
        """A message that still waits."""
        return self._pending.get(token)

    def resolve(self, token: int) -> Pending | None:
        """The message has its outcome. None: it had one before."""
        pending = self._pending.pop(token, None) or self._expected.pop(token, None)
        if pending is not None:
            pending.author.waiting -= 1
        return pending

    def resolve_copy(self, entry: LogEntry, *, is_shown: bool) -> Author | None:
        """Whose message or command an entry is that is stored and shown just now; None: another worker's, or it has an
        outcome. One that is not shown was taken back before this worker has heard of it: its author is told that."""
        pending = self.resolve(entry.token) if entry.edge == self.edge else None
        if pending is None:
            return None
        if not is_shown and not pending.is_answered:
            pending.author.refuse(ErrorCode.MESSAGE_DELETED, nonce=pending.nonce)
        return pending.author

    def overdue(self) -> dict[Room, list[int]]:
        """Tokens that have had no outcome for OUTCOME_S, by room, each once: look them up, then let them expire."""
        late_s = self._clock.now_s() - OUTCOME_S
        found: dict[Room, list[int]] = {}
        for token, pending in self._pending.items():
            if pending.published_at_s > late_s:
                break  # they are in the order of their publishing
            if not pending.is_looked_up:
                pending.is_looked_up = True
                found.setdefault(pending.room, []).append(token)
        return found

    def expire(self, tokens: Iterable[int], *, are_missing: bool = False) -> None:
        """These were not found in the stream, or it could not be read, or written: `unavailable` for their authors.
        `are_missing`: the stream does not have them, as far as anybody can tell."""
        for token in tokens:
            if pending := self.resolve(token):
                self._meter.incident(Incident.MESSAGE_WITHOUT_OUTCOME)
                self._expired.note()
                if are_missing and pending.not_stored is not None:
                    pending.not_stored()
                if not pending.is_answered:
                    pending.author.refuse(ErrorCode.UNAVAILABLE, nonce=pending.nonce)
