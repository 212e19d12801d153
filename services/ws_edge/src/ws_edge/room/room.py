"""One life of a room on this worker: entries of its log come in, frames for its members go out."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from ws_edge.ports import Clock, Timers
from ws_edge.protocol import codec
from ws_edge.protocol.identity import Life, MessageId, Speaker
from ws_edge.protocol.references import ResumePoint
from ws_edge.protocol.rooms import Membership, PresenceChanged, RoomSnapshot, StoredMessage, TypingChanged
from ws_edge.protocol.server_frames import You
from ws_edge.room.audience import Audience, Member, Participants
from ws_edge.room.log_order import LogOrder
from ws_edge.room.newcomers import Newcomers
from ws_edge.room.presence import Announcement, Joined, Presence
from ws_edge.room.recent_log import HELD_S, RecentLog
from ws_edge.room.typing_indicator import TypingIndicator

REPEATABLE_LIMIT = 1024
"""Messages with a nonce that are kept for those who send them again; older ones are read from the stream."""


class GapReader(Protocol):
    """Reads again what a room has missed, in tasks of its own."""

    def messages_missed(self, room: "Room") -> None:
        """Read the log after room.last_id, then call messages_restored."""

    def presence_missed(self, room: "Room") -> None:
        """Read a snapshot, then call presence_restored."""


class Room:
    """Implements RoomListener. `resolve` is called with each message that is shown, and gives its author where that is
    a connection of this worker; `deleted` where a snapshot shows that the room was deleted, the event of which was
    missed."""

    __slots__ = (
        "_audience",
        "_clock",
        "_deleted",
        "_epoch",
        "_gaps",
        "_log",
        "_newcomers",
        "_participants",
        "_presence",
        "_reading_presence",
        "_recent",
        "_repeatable",
        "_resolve",
        "_stats_scheduled",
        "_timers",
        "_typing",
        "_version_at_first",
        "is_closed",
        "life",
        "room_id",
        "shown_in_all",
        "slug",
    )

    def __init__(
        self,
        membership: Membership,
        *,
        participants: Participants,
        gaps: GapReader,
        resolve: Callable[[StoredMessage], Member | None],
        deleted: Callable[[Life], None],
        epoch: Callable[[Life], str],
        clock: Clock,
        timers: Timers,
    ) -> None:
        self.room_id = membership.room_id
        self.life = membership.life
        self.slug = membership.slug
        self.is_closed = False
        """Nobody here is in the room any more, or on the way in."""
        self._participants = participants
        self._gaps = gaps
        self._resolve = resolve
        self._deleted = deleted
        self._epoch = epoch
        self._clock = clock
        self._timers = timers
        self._audience = Audience(timers.call_soon)
        self._log = LogOrder()
        self._recent: RecentLog | None = None
        self._version_at_first = membership.version
        self.shown_in_all: int | None = None
        """How many entries of this life were shown, where that are all there were: this worker made the life."""
        self._repeatable: dict[MessageId, StoredMessage] = {}
        self._presence = Presence(membership.version, membership.connection_count, membership.crowded, is_read=False)
        self._newcomers = Newcomers(self._audience, self._presence)
        self._reading_presence = True
        self._stats_scheduled = False
        self._typing = TypingIndicator(self._audience, self._presence, participants, clock, timers)

    # --- members ---------------------------------------------------------------------------------------------------

    def welcome(
        self,
        member: Member,
        speaker: Speaker,
        membership: Membership,
        *,
        you: You,
        resume: ResumePoint | None = None,
        takes_compressed: bool = False,
    ) -> bytes:
        """Let a participant's connection in. Returns what it is to be written first: room_joined, what it has missed
        where it comes back, and who came after it while it was on its way."""
        self._audience.flush()
        missed = None if resume is None else self._missed_since(resume)
        replay = b"" if not missed else self._replayed(missed, speaker, _since(resume))
        self._audience.add(member, takes_compressed=takes_compressed, allowed_bytes=len(replay))
        presence, count = self._presence, membership.connection_count
        self._newcomers.add(member, membership.version)
        if membership.version < presence.version:
            count = presence.connection_count
        at = codec.rfc3339(self._now_ms())
        recovered = None if resume is None else missed is not None
        return b"".join(
            (
                codec.room_joined(self.room_id, count, self.last_id, epoch=self.epoch, you=you, recovered=recovered),
                replay,
                *self._newcomers.joined_after(membership.version, key=speaker.key, at=at),
            )
        )

    def discard(self, member: Member) -> None:
        """Take a member out."""
        self._audience.discard(member)
        self._newcomers.discard(member)

    def broadcast(self, frame: bytes) -> None:
        """Send a frame to every member."""
        self._audience.broadcast(frame)

    def flush(self) -> None:
        """Write what waits for the end of this loop turn, now."""
        self._audience.flush()

    def congestion_changed(self, member: Member, is_congested: bool) -> None:
        """The member's socket takes nothing more, or does again."""
        self._audience.congestion_changed(member, is_congested, now_s=self._clock.now_s())

    def check_progress(self) -> None:
        """Close members that stopped reading, and let go of what nobody came back for. Called about once a second."""
        now_s = self._clock.now_s()
        self._audience.check_progress(now_s)
        self._newcomers.forget_frames()
        if self._recent is not None and now_s - self._recent.used_at_s > HELD_S:
            self._recent = None

    # --- the log ---------------------------------------------------------------------------------------------------

    @property
    def last_id(self) -> MessageId:
        """The last message that members were shown; 0: none."""
        return self._log.last_id

    @property
    def epoch(self) -> str:
        """Differs from that of every other life, and from what it was before stored entries were lost."""
        return self._epoch(self.life)

    def hold_recent(self) -> RecentLog:
        """From now on, and for HELD_S, hold what is shown."""
        now_s = self._clock.now_s()
        if self._recent is None:
            self._recent = RecentLog(self.last_id, now_s=now_s)
        self._recent.used_at_s = now_s
        return self._recent

    def shown_since(self, since: MessageId) -> list[StoredMessage] | None:
        """The entries that were shown after this one, in order; None: they are not at hand, or it was not shown yet."""
        if since == self.last_id:
            return []
        if self._recent is None or since > self.last_id:
            return None
        return self._recent.since(since)

    def _missed_since(self, resume: ResumePoint) -> list[StoredMessage] | None:
        if resume.since is None or resume.epoch != self.epoch:
            return None
        return self.shown_since(resume.since)

    def _replayed(self, missed: Sequence[StoredMessage], speaker: Speaker, since: MessageId) -> bytes:
        """The same bytes for all, but for the first one, which names `since` as the one before it, and a client's own
        messages: their nonces tell it that they were stored."""
        recent, user_id = self.hold_recent(), speaker.identity.user_id
        frames: list[bytes] = []
        for entry in missed:
            is_own = bool(entry.nonce) and user_id is not None and entry.user_id == user_id
            if frames and not is_own:
                frames.append(recent.frame_of(entry, partial(chat_frame, self)))
                continue
            prev_id = entry.prev_id if frames else since
            frames.append(codec.chat_message(entry, self.room_id, prev_id=prev_id, nonce=entry.nonce if is_own else ""))
        return b"".join(frames)

    @property
    def holds_back(self) -> bool:
        """Whether messages wait for those that lie before them."""
        return self._log.holds_back

    def is_closed_by(self, missed: Sequence[StoredMessage]) -> bool:
        """Whether these and what is held back follow last_id without a gap."""
        return self._log.is_closed_by(missed)

    def opened(self, last_id: MessageId) -> None:
        """The subscription stands, and the room's history reaches to last_id: show what comes after."""
        self._log.last_id = last_id
        if last_id == 0 and self._version_at_first == 1:
            self.shown_in_all = 0
        self.messages_restored([])

    def message_stored(self, message: StoredMessage) -> None:
        """Show a message, once; after a gap, first what is missing."""
        was_filling = self._log.is_filling
        for shown in self._log.receive(message):
            self._show(shown)
        if self._log.is_filling and not was_filling:
            self._gaps.messages_missed(self)

    def recover(self) -> None:
        """Something may have been missed: hold back what comes until the stream has been read."""
        if not self._log.is_filling:
            self._log.is_filling = True
            self._gaps.messages_missed(self)

    def messages_restored(self, missed: Sequence[StoredMessage]) -> None:
        """Go on after a gap with what the stream had; without it, if that could not be read: prev_id shows the gap."""
        for message in self._log.restored(missed):
            self._show(message)

    def messages_found(self, found: Sequence[StoredMessage]) -> None:
        """Messages that follow last_id without a gap were found in the stream, outside of any recovery."""
        for message in self._log.found(found):
            self._show(message)

    def is_held_back(self, message_id: MessageId) -> bool:
        """Whether a message waits for those that lie before it."""
        return self._log.is_held_back(message_id)

    def repeatable(self, message_id: MessageId) -> StoredMessage | None:
        """A message that was sent with a nonce, if it is still at hand."""
        return self._repeatable.get(message_id)

    def _show(self, message: StoredMessage) -> None:
        """To every member the same bytes; to its author, where it has a nonce, a copy with that."""
        if self.shown_in_all is not None:
            self.shown_in_all += 1
        if self._recent is not None:
            self._recent.append(message)
        author = self._resolve(message)
        instead: dict[Member, bytes] | None = None
        if message.nonce:
            if len(self._repeatable) >= REPEATABLE_LIMIT:
                del self._repeatable[next(iter(self._repeatable))]
            self._repeatable[message.id] = message
            if author is not None:
                instead = {author: chat_frame(self, message, nonce=message.nonce)}
        self._audience.broadcast(chat_frame(self, message), instead)

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

    # --- typing ----------------------------------------------------------------------------------------------------

    def typing_changed(self, change: TypingChanged) -> None:
        """Show who starts and stops, to all but the one who types."""
        self._typing.changed(change)


def chat_frame(room: Room, message: StoredMessage, *, nonce: str = "") -> bytes:
    """A stored message as a frame; with `nonce` the sender's own copy."""
    return codec.chat_message(message, room.room_id, nonce=nonce)


def _since(resume: ResumePoint | None) -> MessageId:
    return MessageId(0) if resume is None or resume.since is None else resume.since
