"""What viewers of a room are shown while its policy shows them so many messages a second (room/sampling.py), or shows
them messages later than others (room/delay.py)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from typing import Protocol

from msgspec.structs import replace

from ws_edge.ports import Clock, Timers
from ws_edge.protocol import codec
from ws_edge.protocol.emotes import EmoteTable
from ws_edge.protocol.identity import MessageId, Speaker
from ws_edge.protocol.log import LogEntry, LogRef, MessageDeleted, MessagesPurged, StoredMessage
from ws_edge.protocol.policies import LONGEST_DELAY_S
from ws_edge.room.audience import Audience, Participants
from ws_edge.room.delay import WAITING_LIMIT, DelayLine, ShownChain, visible_ms
from ws_edge.room.erasures import Erasures
from ws_edge.room.member import Member
from ws_edge.room.recent_log import HELD_S
from ws_edge.room.sampling import Passed, SampledLane, left_of_second_s, mentioned_in

MENTIONED_MEMBERS_LIMIT = 50
"""Connections that one message is shown besides: many may share a name, as those without a token of one address do."""


class OwnCopies(Protocol):
    """What some get in place of what all get."""

    def __call__(
        self, shown: LogEntry, author: Member | None, *, skipped: int = 0, visible_ms: int = 0
    ) -> dict[Member, bytes] | None:
        """Whose message or command an entry is, and who allowed it."""


class Viewers:
    """Members are viewers, but for watchers: those who came as moderators and above, who are shown everything. What has
    to wait comes to them, and to whose it is, in early copies besides; then, when its time has come, to all. `begun`
    and `ends` have the log read, as GapReader says."""

    __slots__ = (
        "_audience",
        "_begun",
        "_clock",
        "_early",
        "_early_frames",
        "_emotes",
        "_ending",
        "_ends",
        "_erasures",
        "_log",
        "_own_copies",
        "_participants",
        "_release_at_ms",
        "_timers",
        "_viewed",
        "_viewed_chain",
        "_watched",
        "_watched_chain",
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
        self._early: dict[Member, None] = {}
        """Who sees what waits before its time: moderators and above, as they rank now."""
        self._early_frames: dict[MessageId, tuple[int, bytes]] = {}
        """Of what waits the copies for those who come, by entry, each with when it comes to all."""
        self.lane: SampledLane | None = None
        """Where there is one, everything has to go through `show`; None: viewers are shown what everybody is."""
        self._ending = ""
        """The second whose end a timer waits for."""
        self._watched: DelayLine[LogEntry] = DelayLine()
        """What waits, as the log has it."""
        self._viewed: DelayLine[Passed] = DelayLine()
        """The same as viewers are shown it."""
        self._watched_chain = self._viewed_chain = ShownChain(MessageId(0))
        self._release_at_ms: int | None = None
        """When a timer releases what waits."""

    def add_watcher(self, member: Member) -> None:
        """From now on, and for as long as they are a member."""
        self._watchers[member] = None
        self._early[member] = None

    def rank_changed(self, member: Member, speaker: Speaker, *, sees_all: bool) -> None:
        """Somebody inside became a moderator or above, or is none any more: they see early what waits, or do not. They
        stay a watcher, or a viewer."""
        if sees_all == (member in self._early):
            return
        if not sees_all:
            del self._early[member]
            return
        self._early[member] = None
        if early := b"".join(self.early_copies(speaker, sees_all=True)):
            self._audience.broadcast(b"", {member: early})

    def discard(self, member: Member) -> None:
        """They are no member any more."""
        self._watchers.pop(member, None)
        self._early.pop(member, None)

    @property
    def last_id(self) -> MessageId | None:
        """The last entry that they were shown or that was left out; None: what the room has shown."""
        if self._viewed:
            return self._viewed_chain.last_id
        return None if self.lane is None else self.lane.last_id

    @property
    def watched_id(self) -> MessageId | None:
        """The last entry whose time has come; None: nothing waits."""
        return self._watched_chain.last_id if self._watched else None

    def is_watcher(self, member: Member) -> bool:
        """Whether they came as moderators or above."""
        return member in self._watchers

    def sees_all(self, member: Member) -> bool:
        """Whether they did, and still are."""
        return member in self._watchers and member in self._early

    def visible_ms(self, entry_id: MessageId) -> int:
        """When an entry comes to all that waits, Unix milliseconds; 0: it does not."""
        if not self._watched or entry_id <= self._watched_chain.last_id:
            return 0  # as it is of nearly all that is asked about
        return next((due_ms for due_ms, entry in self._watched if entry.id == entry_id), 0)

    def waiting_ms(self) -> dict[MessageId, int]:
        """The same of all that wait."""
        return {entry.id: due_ms for due_ms, entry in self._watched}

    def early_copies(self, speaker: Speaker, *, sees_all: bool) -> list[bytes]:
        """Of the messages that wait those that somebody who comes may see."""
        user_id = speaker.identity.user_id
        if not self._watched or not (sees_all or user_id is not None):
            return []
        return [
            self._early_frame(entry, due_ms)
            for due_ms, entry in self._watched
            if isinstance(entry, StoredMessage)
            and (sees_all or (user_id is not None and entry.user_id == user_id))
            and self._erasures.shown(entry) is not None
        ]

    def _early_frame(self, message: StoredMessage, due_ms: int) -> bytes:
        known = self._early_frames.get(message.id)
        if known is None or known[0] != due_ms:
            frame = codec.besides(message, self._log.room_id, emotes=self._emotes(), visible_ms=due_ms)
            known = self._early_frames[message.id] = (due_ms, frame)
        return known[1]

    def show(self, entry: LogEntry, author: Member | None) -> None:
        """To watchers at once, to viewers when its turn comes; to all when its time has come."""
        if self.lane is None:
            self.lane = SampledLane(entry.prev_id, self._erasures.shown)
            self._watched_chain, self._viewed_chain = ShownChain(entry.prev_id), ShownChain(entry.prev_id)
        lane = self.lane
        if isinstance(entry, StoredMessage) and (entry.max_shown or entry.delay_ms):
            lane.used_at_s = self._clock.now_s()
        now_ms = self._now_ms()
        due_ms = self._watched.due_ms(visible_ms(entry, now_ms), now_ms)
        if due_ms is not None and len(self._watched) >= WAITING_LIMIT and isinstance(entry, StoredMessage):
            self._show_early(entry, author, due_ms)  # nothing is dropped in silence
            lane.left_no_place(entry)
            self._watched.put_off(due_ms)  # nor is what lies behind it seen before its time
            self._viewed.put_off(due_ms)
            return
        if due_ms is None:
            prev_id = self._watched_chain.prev_id(entry.prev_id)
            watched = entry if prev_id == entry.prev_id else replace(entry, prev_id=prev_id)
            self._watched_chain.show(entry.id)
            self._show_watchers(watched, self._own_copies(watched, author) if self._watchers else None)
        else:
            self._show_early(entry, author, due_ms)
            self._watched.put(entry, due_ms)
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
        waits = self._watched or self._viewed
        if self.lane is not None and not waits and self.lane.is_straight and now_s - self.lane.used_at_s > HELD_S:
            self.lane = None

    def _end(self, second: str) -> None:
        if self.lane is not None and self.lane.waits_for == second:
            self._ends(second)

    def _show_watchers(self, entry: LogEntry, own: Mapping[Member, bytes] | None = None) -> None:
        if self._watchers:
            copies = dict.fromkeys(self._watchers, codec.entry(entry, self._log.room_id, emotes=self._emotes()))
            copies |= {member: copy for member, copy in (own or {}).items() if member in copies}
            self._audience.broadcast(b"", copies)

    def _show_early(self, entry: LogEntry, author: Member | None, due_ms: int) -> None:
        """To moderators, and to whose message or command it is, or whose messages it takes back."""
        members = list(self._early)
        if isinstance(entry, StoredMessage | MessageDeleted | MessagesPurged) and entry.user_id is not None:
            members += self._participants.of_participant(f"u:{entry.user_id}")
        if author is not None:
            members.append(author)
        if members:
            early = codec.entry(entry, self._log.room_id, emotes=self._emotes(), visible_ms=due_ms)
            own = self._own_copies(entry, author, visible_ms=due_ms) or {}
            self._audience.broadcast(b"", {**dict.fromkeys(members, early), **own})

    def _pass_on(self, passed: Iterable[Passed]) -> None:
        """Their turn has come: they are shown, but for what has to wait."""
        now_ms, given = self._now_ms(), list[Passed]()
        for one in self._with_mentioned(list(passed)):
            due_ms = self._viewed.due_ms(visible_ms(one.entry, now_ms), now_ms)
            if due_ms is None:
                given.append(one)
            else:
                self._viewed.put(one, due_ms)
        self._give(given)
        self._schedule()

    def _schedule(self) -> None:
        waits = [line.next_ms for line in (self._watched, self._viewed) if line.next_ms is not None]
        if waits and self._release_at_ms != min(waits):
            self._release_at_ms = min(waits)
            left_s = max(0.0, (self._release_at_ms - self._now_ms()) / 1000)
            if left_s > LONGEST_DELAY_S:  # the clock was set back
                sooner_ms, left_s = round((left_s - LONGEST_DELAY_S) * 1000), LONGEST_DELAY_S
                self._watched.come_sooner(sooner_ms)
                self._viewed.come_sooner(sooner_ms)
                self._release_at_ms -= sooner_ms
            self._timers.call_later(left_s, partial(self._release, self._release_at_ms))

    def _release(self, at_ms: int) -> None:
        """The time of what waits has come, but for what was taken back meanwhile."""
        if at_ms != self._release_at_ms:
            return
        self._release_at_ms = None
        now_ms, chain_of_all = max(at_ms, self._now_ms()), self._watched_chain
        for entry in self._watched.take(now_ms):
            self._early_frames.pop(entry.id, None)
            shown = self._erasures.shown(entry)
            if shown is None:
                chain_of_all.leave_out(entry.id, entry.prev_id)
            else:
                self._show_watchers(replace(shown, prev_id=chain_of_all.prev_id(entry.prev_id)))
                chain_of_all.show(entry.id)
        self._give(self._viewed.take(now_ms), waited=True)
        self._schedule()

    def _give(self, passed: Sequence[Passed], *, waited: bool = False) -> None:
        """What is left out is shown to its author and to who is mentioned, besides the chain. Of what has `waited` its
        author has a copy already."""
        besides: dict[Member, bytes] = {}
        for one in passed:
            shown = self._erasures.shown(one.entry)
            if shown is None:
                self._leave_out(one)
            elif one.is_shown:
                self._write_besides(besides)
                entry = replace(shown, prev_id=self._viewed_chain.prev_id(one.prev_id))
                skipped = one.skipped + self._viewed_chain.skipped_before(one.prev_id)
                self._viewed_chain.show(entry.id)
                frame = codec.entry(entry, self._log.room_id, emotes=self._emotes(), skipped=skipped)
                own = None if waited else self._own_copies(entry, one.author, skipped=skipped)
                self._audience.broadcast(frame, {**(own or {}), **dict.fromkeys(self._watchers, b"")})
            else:
                self._viewed_chain.pass_by(one.entry.id)
                if isinstance(one.entry, StoredMessage):
                    for member, copy in self._copies_besides(one.entry, one.author, one.mentioned).items():
                        besides[member] = besides.get(member, b"") + copy
        self._write_besides(besides)

    def _write_besides(self, besides: dict[Member, bytes]) -> None:
        """In one frame for all: each frame that waits costs each member who has one of their own."""
        if besides:
            self._audience.broadcast(b"", dict(besides))
            besides.clear()

    def _leave_out(self, one: Passed) -> None:
        if one.is_shown:
            self._viewed_chain.leave_out(one.entry.id, one.prev_id, one.skipped)
        else:
            self._viewed_chain.pass_by(one.entry.id)

    def _now_ms(self) -> int:
        return int(self._clock.unix_s() * 1000)

    def _with_mentioned(self, passed: Sequence[Passed]) -> Iterable[Passed]:
        """Looked up once for all of a second, also where they come one by one."""
        left_out = [one.entry for one in passed if not one.is_shown and isinstance(one.entry, StoredMessage)]
        named = self._mentioned_in(left_out)
        if not named:
            return passed
        return [one._replace(mentioned=self._members_in(one, named)) if not one.is_shown else one for one in passed]

    @staticmethod
    def _members_in(one: Passed, named: Mapping[str, Sequence[Member]]) -> tuple[Member, ...]:
        names = mentioned_in(one.entry.text) if isinstance(one.entry, StoredMessage) else ()
        return tuple(islice(chain.from_iterable(named.get(name, ()) for name in names), MENTIONED_MEMBERS_LIMIT))

    def _mentioned_in(self, messages: Sequence[StoredMessage]) -> Mapping[str, Sequence[Member]]:
        names = set(chain.from_iterable(mentioned_in(message.text) for message in messages if "@" in message.text))
        return self._participants.named(self._log.life, names) if names else {}

    def _copies_besides(
        self, message: StoredMessage, author: Member | None, mentioned: Sequence[Member]
    ) -> dict[Member, bytes]:
        own = () if message.user_id is None else self._participants.of_participant(f"u:{message.user_id}")
        copies: dict[Member, bytes] = {}
        others = [member for member in chain(mentioned, own) if member is not author and member not in self._watchers]
        if others:
            copies = dict.fromkeys(others, codec.besides(message, self._log.room_id, emotes=self._emotes()))
        if author is not None and author not in self._watchers:
            copies[author] = codec.besides(message, self._log.room_id, nonce=message.nonce, emotes=self._emotes())
        return copies
