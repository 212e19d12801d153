"""One life of a room on this worker: entries of its log come in, frames for its members go out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from msgspec import UNSET

from ws_edge.ports import Clock, Timers
from ws_edge.protocol import codec
from ws_edge.protocol.emotes import ADDRESSES_SENT_CHARACTERS, NO_EMOTES, EmoteTable
from ws_edge.protocol.holds import Allowed
from ws_edge.protocol.identity import Life, MessageId, RoomId, Slug, Speaker
from ws_edge.protocol.log import (
    Erasure,
    LogEntry,
    LogRef,
    MessagePinned,
    MessageUnpinned,
    PolicyChanged,
    StoredMessage,
)
from ws_edge.protocol.pins import Pin
from ws_edge.protocol.policies import EXEMPT_RANK, Policy
from ws_edge.protocol.reactions import Reacted, ReactionSums
from ws_edge.protocol.references import ResumePoint
from ws_edge.protocol.rooms import Membership, PresenceChanged, RoomSnapshot, TypingChanged
from ws_edge.protocol.server_frames import You
from ws_edge.room import crowding
from ws_edge.room.audience import Audience, Participants
from ws_edge.room.erasures import Erasures
from ws_edge.room.log_order import LogOrder
from ws_edge.room.member import Member
from ws_edge.room.newcomers import Newcomers
from ws_edge.room.pins import RoomPin
from ws_edge.room.presence import Announcement, Joined, Presence
from ws_edge.room.reactions import HELD_S, ReactableMessages, RoomReactions
from ws_edge.room.recent_log import RecentLog
from ws_edge.room.shown_log import ShownLog
from ws_edge.room.typing_indicator import TypingIndicator
from ws_edge.room.viewers import Viewers


class GapReader(Protocol):
    """Reads again what a room has missed, in tasks of its own."""

    def entries_missed(self, room: "Room") -> None:
        """Read the log after room.last_id, then call entries_restored."""

    def logs_to_compare(self, rooms: Sequence["Room"]) -> None:
        """Ask the streams where these logs end, and have the rooms that lack something recover."""

    def log_reaches(self, room: "Room", last_id: MessageId) -> None:
        """Have the room recover where it lacks what is on its way no longer."""

    def presence_missed(self, room: "Room") -> None:
        """Read a snapshot, then call presence_restored."""

    def second_begun(self, room: "Room", first: LogEntry) -> None:
        """Read what messages the second in which this entry was stored has before it, then call second_read."""

    def second_ends(self, room: "Room", second: str) -> None:
        """Have the room take in all that was stored up to the end of this second, which has come, then call
        second_over."""


class Resolve(Protocol):
    """Gives an entry that came in its turn its outcome."""

    def __call__(self, entry: LogEntry, *, is_shown: bool) -> Member | None:
        """Whose message or command it is, where that is a connection of this worker that waits for it. Not shown: it
        was taken back before."""


class Room:
    """Implements RoomListener. `resolve` is called with each entry, `policy_heard` with each policy that the log tells,
    `deleted` where a snapshot shows that the room was deleted, the event of which was missed, `returned` with each
    anonymous participant who came back, and the presence version of their new connection, `reacted` with what members
    here reacted with."""

    room_id: RoomId
    """Its public id."""
    life: Life
    """Which of the room's lives."""

    __slots__ = (
        "_audience",
        "_clock",
        "_crowded_flush_s",
        "_deleted",
        "_emotes",
        "_epoch",
        "_gaps",
        "_newcomers",
        "_order",
        "_participants",
        "_pin",
        "_policy_heard",
        "_presence",
        "_reactable",
        "_reacted",
        "_reactions",
        "_reading_presence",
        "_resolve",
        "_returned",
        "_shown",
        "_stats_scheduled",
        "_timers",
        "_typing",
        "_version_at_first",
        "_viewers",
        "is_closed",
        "life",
        "log",
        "room_id",
        "slug",
    )

    def __init__(
        self,
        membership: Membership,
        *,
        participants: Participants,
        gaps: GapReader,
        resolve: Resolve,
        policy_heard: Callable[[Slug, Policy], None],
        deleted: Callable[[Life], None],
        returned: Callable[[LogRef, str, int], None],
        reacted: Callable[[LogRef, ReactionSums], None],
        epoch: Callable[[LogRef], str],
        emotes: Callable[[Slug], EmoteTable],
        clock: Clock,
        timers: Timers,
        crowded_flush_s: float,
    ) -> None:
        self.log = membership.log
        self.room_id, self.life = membership.room_id, membership.life
        self.slug = membership.slug
        self.is_closed = False
        """Nobody here is in the room any more, or on the way in."""
        self._participants = participants
        self._gaps = gaps
        self._resolve = resolve
        self._policy_heard = policy_heard
        self._deleted = deleted
        self._returned = returned
        self._reacted = reacted
        self._reactions: RoomReactions | None = None
        self._reactable: ReactableMessages | None = None
        self._epoch = epoch
        self._emotes = emotes
        self._clock, self._timers = clock, timers
        self._crowded_flush_s = crowded_flush_s
        self._audience = Audience(clock, timers, self._gather_s)
        self._order = LogOrder()
        self._shown = ShownLog()
        self._pin = RoomPin()
        self._version_at_first = membership.version
        self._presence = Presence(membership.version, membership.connection_count, membership.crowded, is_read=False)
        self._newcomers = Newcomers(self._audience, self._presence)
        self._reading_presence, self._stats_scheduled = True, False
        self._viewers = Viewers(
            self.log,
            self._audience,
            participants,
            erasures=self.erasures,
            emotes=lambda: self.emotes,
            own_copies=self._own_copies,
            begun=lambda first: gaps.second_begun(self, first),
            ends=lambda second: gaps.second_ends(self, second),
            clock=clock,
            timers=timers,
        )
        self._typing = TypingIndicator(self._audience, self._presence, participants, clock, timers)

    # --- members ---------------------------------------------------------------------------------------------------

    def welcome(
        self,
        member: Member,
        speaker: Speaker,
        membership: Membership,
        *,
        you: You,
        policy: Policy,
        shows_pin: bool = True,
        resume: ResumePoint | None = None,
        write: Callable[[bytes], None] | None = None,
        takes_compressed: bool = False,
    ) -> bytes:
        """Let a participant's connection in. Returns what it is to be written first: room_joined, what it has missed
        where it comes back, and who came after it while it was on its way. `shows_pin` false: what is pinned may
        have been taken back."""
        sees_all = speaker.identity.rank >= EXEMPT_RANK
        last_id = self.watched_id if sees_all else self.viewed_id
        missed = None if resume is None else self._missed_since(resume, last_id)
        replay = b"" if not missed else self._replayed(missed, speaker, _since(resume))
        replay += b"".join(self._viewers.early_copies(speaker, sees_all=sees_all))
        self._audience.add(member, write, takes_compressed=takes_compressed, allowed_bytes=len(replay))
        if sees_all:
            self._viewers.add_watcher(member)
        presence, count = self._presence, membership.connection_count
        self._newcomers.add(member, membership.version)
        if membership.version < presence.version:
            count = presence.connection_count
        at = codec.rfc3339(self._now_ms())
        recovered = None if resume is None else missed is not None
        pin = self._pin.current if shows_pin and self._pin.is_known and self._is_pin_seen(last_id) else UNSET
        return b"".join(
            (
                codec.room_joined(
                    self.room_id,
                    count,
                    last_id,
                    epoch=self.epoch,
                    you=you,
                    policy=policy,
                    pin=pin,
                    recovered=recovered,
                    emotes=self.emotes,
                ),
                replay,
                *self._newcomers.joined_after(membership.version, key=speaker.key, at=at),
            )
        )

    def discard(self, member: Member) -> None:
        """Take a member out."""
        self._audience.discard(member)
        self._viewers.discard(member)
        self._newcomers.discard(member)

    def rank_changed(self, member: Member, speaker: Speaker) -> None:
        """A member ranks higher or lower from now on."""
        self._viewers.rank_changed(member, speaker, sees_all=speaker.identity.rank >= EXEMPT_RANK)

    def broadcast(self, frame: bytes, instead: Mapping[Member, bytes] | None = None) -> None:
        """Send a frame to every member; those in `instead` get that in its place."""
        self._audience.broadcast(frame, instead)

    def write_waiting(self, member: Member) -> None:
        """Write what waits for this member, now: what it is written next comes behind all that was sent before."""
        self._audience.write_waiting(member)

    def _gather_s(self) -> float:
        return crowding.flush_s(len(self._audience), self._crowded_flush_s) if self._presence.crowded else 0.0

    def congestion_changed(self, member: Member, is_congested: bool) -> None:
        """The member's socket takes nothing more, or does again."""
        self._audience.congestion_changed(member, is_congested, now_s=self._clock.now_s())

    def check_progress(self) -> None:
        """Close members that stopped reading, and let go of what nobody came back for. Called about once a second."""
        now_s = self._clock.now_s()
        self._audience.check_progress(now_s)
        self._newcomers.forget_frames()
        self._shown.let_go(now_s=now_s)
        self._viewers.let_go(now_s=now_s)
        if self._reactions is not None and self._reactions.is_idle(now_s):
            self._reactions = None
        if self._reactable is not None and now_s - self._reactable.used_at_s > HELD_S:
            self._reactable = None

    # --- the log ---------------------------------------------------------------------------------------------------

    @property
    def last_id(self) -> MessageId:
        """The last entry that came, in its turn; 0: none."""
        return self._order.last_id

    @property
    def viewed_id(self) -> MessageId:
        """The last entry that viewers were shown, or that was left out for them."""
        passed_id = self._viewers.last_id
        return self.last_id if passed_id is None else passed_id

    @property
    def watched_id(self) -> MessageId:
        """The same of moderators and above: what has to wait has not come in its turn."""
        passed_id = self._viewers.watched_id
        return self.last_id if passed_id is None else passed_id

    @property
    def epoch(self) -> str:
        """Differs from that of every other life, and from what it was before stored entries were lost."""
        return self._epoch(self.log)

    @property
    def emotes(self) -> EmoteTable:
        """What `:name:` shows here at present."""
        return self._emotes(self.slug)

    @property
    def erasures(self) -> Erasures:
        """What of this log was taken back; noted by `take_back`."""
        return self._shown.erasures

    def take_back(self, erasures: Sequence[Erasure]) -> None:
        """These were read from beside the log: nothing of what they take back is at hand any more. Their entries in the
        log, which members are shown, came before or follow."""
        self._shown.take_back(erasures)
        self._pin.take_back(self.erasures)

    @property
    def pinned(self) -> StoredMessage | None:
        """What is pinned, as far as is known here."""
        return self._pin.message

    def shows_as_read(self, message: StoredMessage | None) -> bool:
        """Whether what is pinned now is that message, or was told by the log, in its order: another one that moderation
        has told since may be taken back already, which is not looked up yet."""
        return self._pin.message is None or self._pin.message is message or self._pin.is_of_log

    def pin_told(self, pin: Pin) -> None:
        """Moderation says what is pinned in this life, or was."""
        self._pin.told(pin)
        self._pin.take_back(self.erasures)

    @property
    def unread_pins(self) -> list[LogEntry]:
        """Those that wait for their messages to be read."""
        return self._order.unread_pins

    def hold_recent(self) -> RecentLog:
        """From now on, and for HELD_S, hold what is shown."""
        return self._shown.hold_recent(self.last_id, now_s=self._clock.now_s())

    def shown_since(self, since: MessageId) -> list[LogEntry] | None:
        """The entries that were shown after this one, in order, without messages that were taken back; None: they are
        not at hand, or it was not shown yet."""
        if since == self.last_id:
            return []
        return None if since > self.last_id else self._shown.since(since)

    def is_whole_after(self, since: MessageId, entries: Sequence[LogEntry]) -> bool:
        """See ShownLog."""
        return self._shown.is_whole_after(since, entries)

    def _missed_since(self, resume: ResumePoint, last_id: MessageId) -> list[LogEntry] | None:
        """Up to where the client is let in."""
        if resume.since is None or resume.epoch != self.epoch or resume.since > last_id:
            return None
        missed = self.shown_since(resume.since)
        return None if missed is None else [entry for entry in missed if entry.id <= last_id]

    def _replayed(self, missed: Sequence[LogEntry], speaker: Speaker, since: MessageId) -> bytes:
        """Each names the one before it here, the first one `since`. The same bytes for all, but for a client's own
        messages: their nonces tell it that they were stored. The newest have their emotes."""
        recent, user_id = self.hold_recent(), speaker.identity.user_id
        frames, left = list[bytes](), ADDRESSES_SENT_CHARACTERS
        before = [since, *(entry.id for entry in missed)]
        for entry, prev_id in zip(reversed(missed), reversed(before[:-1]), strict=True):
            is_own = isinstance(entry, StoredMessage) and user_id is not None and entry.user_id == user_id
            is_plain = left <= 0
            left -= recent.addresses_of(entry, self._addresses_in)
            if is_own and entry.nonce:
                emotes = NO_EMOTES if is_plain else self.emotes
                frames.append(codec.entry(entry, self.room_id, prev_id=prev_id, nonce=entry.nonce, emotes=emotes))
            else:
                frames.append(recent.frame_of(entry, prev_id, self._frame_behind, without_emotes=is_plain))
        return b"".join(reversed(frames))

    def _frame_behind(self, entry: LogEntry, prev_id: MessageId, without_emotes: bool) -> bytes:
        emotes = NO_EMOTES if without_emotes else self.emotes
        return codec.entry(entry, self.room_id, prev_id=prev_id, emotes=emotes)

    def _addresses_in(self, entry: LogEntry) -> int:
        if not isinstance(entry, StoredMessage):
            return 0
        return sum(len(shown.url) for shown in self.emotes.shown_in(entry.text))

    @property
    def holds_back(self) -> bool:
        """Whether entries wait for those that lie before them."""
        return self._order.holds_back

    def is_closed_by(self, missed: Sequence[LogEntry]) -> bool:
        """Whether these and what is held back follow last_id without a gap."""
        return self._order.is_closed_by(missed)

    def opened(self, last_id: MessageId, tail: Sequence[LogEntry] = ()) -> None:
        """The subscription stands, and the room's log reaches to last_id: show what comes after, and of what is there
        the `tail`, the last entries, of which the first has to wait."""
        self._order.last_id = tail[0].prev_id if tail else last_id
        self._shown.begin(self._order.last_id, is_whole=last_id == 0 and self._version_at_first == 1)
        if any(pin.id > last_id for pin in self.unread_pins):
            self._gaps.entries_missed(self)
        else:
            self.entries_restored(tail)

    def entry_stored(self, entry: LogEntry) -> None:
        """Show an entry, once; after a gap, first what is missing. A policy holds from now on, also where its entry
        waits, or stood in the log already when the room was opened: what was read then may be older."""
        if isinstance(entry, PolicyChanged):
            self._policy_heard(self.slug, entry.policy)
        was_filling = self._order.is_filling
        for shown in self._order.receive(entry):
            self._show(shown)
        if self._order.is_filling and not was_filling:
            self._gaps.entries_missed(self)

    def recover(self) -> None:
        """Something may have been missed: hold back what comes until the stream has been read."""
        if not self._order.is_filling:
            self._order.is_filling = True
            self._gaps.entries_missed(self)

    def log_reached(self, last_id: MessageId) -> None:
        """See RoomListener."""
        if last_id > self.last_id:
            self._gaps.log_reaches(self, last_id)

    def entries_restored(self, missed: Sequence[LogEntry]) -> None:
        """Go on after a gap with what the stream had; without it, if that could not be read: prev_id shows the gap."""
        entries = self._order.restored(missed)
        if self._order.has_jumped:
            self._shown.missed_something()
            self._reactable = None  # those of the gap are in the log, as far as is known
        for entry in entries:
            self._show(entry)

    def entries_found(self, found: Sequence[LogEntry]) -> None:
        """Entries that follow last_id without a gap were found in the stream, outside of any recovery."""
        for entry in self._order.found(found):
            self._show(entry)

    def is_held_back(self, entry_id: MessageId) -> bool:
        """Whether an entry waits for those that lie before it."""
        return self._order.is_held_back(entry_id)

    def repeatable(self, message_id: MessageId) -> StoredMessage | None:
        """A message that was sent with a nonce, if it is still at hand."""
        return self._shown.repeatable(message_id)

    def _show(self, entry: LogEntry) -> None:
        """To every member the same bytes; to whose it is a copy with the nonce, and of a command with the action's
        id."""
        is_message = isinstance(entry, StoredMessage)
        if isinstance(entry, PolicyChanged):
            self._policy_heard(self.slug, entry.policy)
        shown = self._shown.show(entry)
        if not is_message and isinstance(entry, Erasure):
            self._pin.take_back(self.erasures)
        elif not is_message and isinstance(entry, MessagePinned | MessageUnpinned):
            self._pin.heard(shown if isinstance(shown, MessagePinned | MessageUnpinned) else entry)
            if shown is None:
                return  # it could not be read: whose command it is learns that nobody knows what became of it
        author = self._resolve(entry, is_shown=shown is not None)
        if shown is None:
            return
        is_own, has_to_wait = author is not None, self._viewers.lane is not None
        if isinstance(shown, StoredMessage):
            if self._reactable is not None:
                self._reactable.note(shown)
            is_own |= shown.allowed is not None
            has_to_wait |= shown.max_shown > 0 or shown.delay_ms > 0
        if has_to_wait:
            self._viewers.show(shown, author)
        else:
            own = self._own_copies(shown, author) if is_own else None
            self._audience.broadcast(codec.entry(shown, self.room_id, emotes=self.emotes), own)
        if author is not None and self._audience.is_gathering:
            self._audience.write_waiting(author)

    def _own_copies(
        self, shown: LogEntry, author: Member | None, *, skipped: int = 0, visible_ms: int = 0
    ) -> dict[Member, bytes] | None:
        if isinstance(shown, StoredMessage) and shown.allowed is not None:
            return self._copies_of_allowed(shown, shown.allowed, author, skipped=skipped, visible_ms=visible_ms)
        if author is not None and (shown.nonce or not isinstance(shown, StoredMessage)):
            own = codec.own_entry(shown, self.room_id, self.emotes, skipped=skipped, visible_ms=visible_ms)
            return {author: own}
        return None

    def _copies_of_allowed(
        self, message: StoredMessage, allowed: Allowed, moderator: Member | None, *, skipped: int, visible_ms: int
    ) -> dict[Member, bytes]:
        """Of a message that waited: those of its author, and of who allowed it, where that is a connection here."""
        own = codec.own_entry(message, self.room_id, self.emotes, skipped=skipped, visible_ms=visible_ms)
        copies = dict.fromkeys(self._participants.of_participant(allowed.key), own)
        if moderator is not None:
            copies[moderator] = codec.allowed_entry(
                message, allowed, self.room_id, emotes=self.emotes, skipped=skipped, visible_ms=visible_ms
            )
        return copies

    # --- what viewers are shown ------------------------------------------------------------------------------------

    def second_read(self, first: LogEntry, messages: Iterable[StoredMessage]) -> None:
        """See GapReader; nothing, where it could not be read."""
        self._viewers.second_read(first, messages)

    def second_over(self, second: str) -> None:
        """See GapReader."""
        self._viewers.second_over(second)

    def history_end(self, member: Member) -> MessageId | None:
        """Before which entry the history of a member ends: what is not shown here yet may have to wait. None: it goes
        on to the end of the log."""
        if self._viewers.sees_all(member):
            return None
        return MessageId(self._came_id(member) + 1)

    def besides(self, message: StoredMessage, nonce: str) -> bytes:
        """A copy of it, for its author, that is not part of the chain."""
        visible_ms = self.visible_ms(message.id)
        return codec.besides(message, self.room_id, nonce=nonce, emotes=self.emotes, visible_ms=visible_ms)

    def visible_ms(self, entry_id: MessageId) -> int:
        """When an entry that has to wait comes to all, Unix milliseconds; 0: it has come."""
        return self._viewers.visible_ms(entry_id)

    def waiting_ms(self) -> dict[MessageId, int]:
        """The same of all that have to wait."""
        return self._viewers.waiting_ms()

    def _is_pin_seen(self, last_id: MessageId) -> bool:
        """Whether who has seen the log up to there has seen what is pinned, as far as anything has to wait."""
        waits = self._viewers.watched_id is not None
        return not waits or self._pin.message is None or self._pin.message.id <= last_id

    def is_to_come(self, member: Member, entry: LogEntry) -> bool:
        """Whether a stored entry is yet to come to the member in its turn: it waits, or was not heard here."""
        return entry.id > self._came_id(member)

    def _came_id(self, member: Member) -> MessageId:
        return self.watched_id if self._viewers.is_watcher(member) else self.viewed_id

    # --- presence --------------------------------------------------------------------------------------------------

    def presence_changed(self, change: PresenceChanged) -> None:
        """Tell who came and went."""
        self._announce(self._presence.receive(change))
        if self._presence.has_gap and not self._reading_presence:
            self.reread_presence()

    def reread_presence(self) -> None:
        """Something may have been missed: compare with what the rooms service knows."""
        if not self._reading_presence:
            self._reading_presence = True
            self._gaps.presence_missed(self)

    def presence_restored(self, snapshot: RoomSnapshot | None) -> None:
        """Tell the difference; None: it could not be read, or is no longer needed."""
        self._reading_presence = False
        if snapshot is not None and snapshot.deleted:
            self._deleted(self.life)
        elif snapshot is not None:
            self._announce(self._presence.restore(snapshot, self._now_ms()))
            if snapshot.version and self._presence.has_gap:
                self.reread_presence()

    def _announce(self, announcements: list[Announcement]) -> None:
        announced: list[tuple[int, int]] = []
        for announcement in announcements:
            person = announcement.participant
            if isinstance(announcement, Joined):
                frame = codec.user_joined(person.username, person.user_id, codec.rfc3339(announcement.at_ms))
            else:
                self._typing.left(person.key)
                frame = codec.user_left(person.username, person.user_id)
            announced.append((self._audience.waiting, announcement.version))
            self._audience.broadcast(frame, dict.fromkeys(self._participants.of_participant(person.key), b""))
        self._newcomers.withhold(announced)
        self._schedule_stats()

    def _schedule_stats(self) -> None:
        due_s = self._presence.stats_due_s(self._clock.now_s())
        if due_s is not None and not self._stats_scheduled:
            self._stats_scheduled = True
            self._timers.call_later(due_s, self._broadcast_stats)

    def _broadcast_stats(self) -> None:
        self._stats_scheduled = False
        stats = self._presence.take_stats(self._clock.now_s())
        self._audience.broadcast(codec.room_stats(stats.connection_count, stats.joined, stats.left))

    def _now_ms(self) -> int:
        return int(self._clock.unix_s() * 1000)

    def participant_returned(self, key: str, version: int) -> None:
        """See RoomListener."""
        self._returned(self.log, key, version)

    # --- typing ----------------------------------------------------------------------------------------------------

    @property
    def shows_typing(self) -> bool:
        """Whether anybody is shown typing who starts now."""
        return self._typing.is_shown

    def typing_changed(self, change: TypingChanged) -> None:
        """Show who starts and stops, to all but the one who types."""
        self._typing.changed(change)

    # --- reactions -------------------------------------------------------------------------------------------------

    def is_reactable(self, message_id: MessageId) -> bool | None:
        """Whether this is one of the last messages; None: that is to be read, see hold_reactable."""
        reactable = self._reactable
        if reactable is None or not reactable.is_read:
            return None
        reactable.used_at_s = self._clock.now_s()
        return not self.visible_ms(message_id) and reactable.has(message_id, self.erasures)

    def hold_reactable(self) -> ReactableMessages:
        """From now on, and for HELD_S, know which messages are shown."""
        if self._reactable is None:
            self._reactable = ReactableMessages(self._clock.now_s())
        self._reactable.used_at_s = self._clock.now_s()
        return self._reactable

    def react(self, emoji: str, message_id: MessageId | None) -> None:
        """A member reacted, with an emoji or an emote that there is, to a message that there is."""
        self._room_reactions().add(emoji, message_id)

    def reactions_heard(self, reacted: Sequence[Reacted]) -> None:
        """See RoomListener."""
        self._room_reactions().heard(reacted)

    def _room_reactions(self) -> RoomReactions:
        if self._reactions is None:
            publish = partial(self._reacted, self.log)
            self._reactions = RoomReactions(self._audience, publish, self._clock, self._timers)
        return self._reactions


def _since(resume: ResumePoint | None) -> MessageId:
    return MessageId(0) if resume is None or resume.since is None else resume.since
