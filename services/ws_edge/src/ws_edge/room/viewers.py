"""What viewers of a room are shown while its policy shows them so many messages a second: see room/sampling.py."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Protocol

from ws_edge.ports import Clock, Timers
from ws_edge.protocol import codec
from ws_edge.protocol.emotes import EmoteTable
from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import LogEntry, LogRef, StoredMessage
from ws_edge.room.audience import Audience, Member, Participants
from ws_edge.room.erasures import Erasures
from ws_edge.room.recent_log import HELD_S
from ws_edge.room.sampling import Passed, SampledLane, left_of_second_s, mentioned_in


class OwnCopies(Protocol):
    """What some get in place of what all get."""

    def __call__(self, shown: LogEntry, author: Member | None, *, skipped: int = 0) -> Mapping[Member, bytes] | None:
        """Whose message or command an entry is, and who allowed it."""


class Viewers:
    """Members are viewers, but for watchers: those who came as moderators and above, who are shown everything at once.
    `begun` and `ends` have the log read, as GapReader says."""

    __slots__ = (
        "_audience",
        "_begun",
        "_clock",
        "_emotes",
        "_ending",
        "_ends",
        "_erasures",
        "_log",
        "_own_copies",
        "_participants",
        "_timers",
        "_watchers",
        "lane",
    )

    def __init__(
        self,
        log: LogRef,
        audience: Audience,
        participants: Participants,
        *,
        erasures: Erasures,
        emotes: Callable[[], EmoteTable],
        own_copies: OwnCopies,
        begun: Callable[[LogEntry], None],
        ends: Callable[[str], None],
        clock: Clock,
        timers: Timers,
    ) -> None:
        self._log = log
        self._audience = audience
        self._participants = participants
        self._erasures = erasures
        self._emotes = emotes
        self._own_copies = own_copies
        self._begun = begun
        self._ends = ends
        self._clock = clock
        self._timers = timers
        self._watchers: dict[Member, None] = {}
        self.lane: SampledLane | None = None
        """Where there is one, everything has to go through `show`; None: viewers are shown what everybody is."""
        self._ending = ""
        """The second whose end a timer waits for."""

    def add_watcher(self, member: Member) -> None:
        """From now on, and for as long as they are a member."""
        self._watchers[member] = None

    def discard(self, member: Member) -> None:
        """They are no member any more."""
        self._watchers.pop(member, None)

    @property
    def last_id(self) -> MessageId | None:
        """The last entry that they were shown or that was left out; None: what the room has shown."""
        return None if self.lane is None else self.lane.last_id

    def history_end(self, member: Member) -> MessageId | None:
        """See Room."""
        return None if self.lane is None or member in self._watchers else MessageId(self.lane.last_id + 1)

    def is_to_come(self, member: Member, message: StoredMessage) -> bool:
        """See Room."""
        return self.lane is not None and member not in self._watchers and message.id > self.lane.last_id

    def show(self, entry: LogEntry, author: Member | None) -> None:
        """To watchers at once, to viewers when its turn comes."""
        if self.lane is None:
            self.lane = SampledLane(entry.prev_id, self._erasures.shown)
        lane = self.lane
        if isinstance(entry, StoredMessage) and entry.max_shown:
            lane.used_at_s = self._clock.now_s()
        if self._watchers:
            copies = dict.fromkeys(self._watchers, codec.entry(entry, self._log.room_id, emotes=self._emotes()))
            own = self._own_copies(entry, author) or {}
            copies |= {member: copy for member, copy in own.items() if member in copies}
            self._audience.broadcast(b"", copies)
        self._pass_on(lane.add(entry, author))
        if lane.unread == entry.id:
            self._begun(entry)
        second = lane.waits_for
        if second is not None and second != self._ending:
            self._ending = second
            self._timers.call_later(left_of_second_s(entry), partial(self._end, second))

    def second_read(self, first: LogEntry, messages: Iterable[StoredMessage]) -> None:
        """See GapReader."""
        if self.lane is not None and self.lane.unread == first.id:
            self._pass_on(self.lane.earlier_read(messages))

    def second_over(self, second: str) -> None:
        """See GapReader."""
        if self.lane is not None:
            self._pass_on(self.lane.second_over(second))

    def let_go(self, *, now_s: float) -> None:
        """No limit held for HELD_S: viewers are shown what everybody is."""
        if self.lane is not None and self.lane.is_straight and now_s - self.lane.used_at_s > HELD_S:
            self.lane = None

    def _end(self, second: str) -> None:
        if self.lane is not None and self.lane.waits_for == second:
            self._ends(second)

    def _pass_on(self, passed: Sequence[Passed]) -> None:
        """What is left out is shown to its author and to who is mentioned, besides the chain."""
        left_out = [one.entry for one in passed if not one.is_shown and isinstance(one.entry, StoredMessage)]
        mentioned = self._mentioned_in(left_out)
        for one in passed:
            if one.is_shown:
                entry = replace(one.entry, prev_id=one.prev_id)
                frame = codec.entry(entry, self._log.room_id, emotes=self._emotes(), skipped=one.skipped)
                own = self._own_copies(entry, one.author, skipped=one.skipped) or {}
                self._audience.broadcast(frame, {**own, **dict.fromkeys(self._watchers, b"")})
            elif isinstance(one.entry, StoredMessage):
                self._show_besides(one.entry, one.author, mentioned)

    def _mentioned_in(self, messages: Sequence[StoredMessage]) -> Mapping[str, Sequence[Member]]:
        names = set(chain.from_iterable(mentioned_in(message.text) for message in messages if "@" in message.text))
        return self._participants.named(self._log.life, names) if names else {}

    def _show_besides(
        self, message: StoredMessage, author: Member | None, mentioned: Mapping[str, Sequence[Member]]
    ) -> None:
        copies: dict[Member, bytes] = {}
        named = chain.from_iterable(mentioned.get(name, ()) for name in mentioned_in(message.text))
        own = () if message.user_id is None else self._participants.of_participant(f"u:{message.user_id}")
        besides = list(chain(named, own))
        if besides:
            copies = dict.fromkeys(besides, codec.besides(message, self._log.room_id, emotes=self._emotes()))
        if author is not None:
            copies[author] = codec.besides(message, self._log.room_id, nonce=message.nonce, emotes=self._emotes())
        copies = {member: copy for member, copy in copies.items() if member not in self._watchers}
        if copies:
            self._audience.broadcast(b"", copies)
