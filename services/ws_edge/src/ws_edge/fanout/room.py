"""One life of a room on one edge: what the bus says goes, in its order, to the members."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ws_edge.fanout.audience import Audience, Member
from ws_edge.fanout.presence import Announcement, Came, Presence
from ws_edge.ports import Membership, PresenceChanged, RoomSnapshot, StoredMessage, TypingChanged
from ws_edge.protocol import codec
from ws_edge.protocol.identity import Life, MessageId
from ws_edge.protocol.pacing import TypingPacer
from ws_edge.protocol.typing import Transition, TypingBoard

HELD_LIMIT = 1000
REPEATABLE_LIMIT = 1024
"""Messages with a nonce that are kept for those who send them again; older ones are read from the stream."""


class Timer(Protocol):
    """Something that will run."""

    def cancel(self) -> None:
        """It will not run after all."""


class Host(Protocol):
    """The worker that a room lives in."""

    edge: str

    def now_s(self) -> float:
        """Monotonic seconds."""

    def now_ms(self) -> int:
        """Unix milliseconds."""

    def call_soon(self, callback: Callable[[], None]) -> object:
        """Run at the end of this loop turn."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run after that time."""

    def members_of(self, key: str) -> Iterable[Member]:
        """This worker's connections of one participant, in whatever room."""

    def settle(self, token: int) -> Member | None:
        """A message of this worker is stored and shown: its sender, if still connected."""

    def messages_missed(self, room: "Room") -> None:
        """Fetch what lies after room.last_id and call messages_restored."""

    def presence_missed(self, room: "Room") -> None:
        """Fetch a snapshot and call presence_restored."""

    def room_deleted(self, life: Life) -> None:
        """A snapshot shows that the room was deleted, the news of which was missed."""


class Room:
    """Implements RoomListener."""

    __slots__ = (
        "_audience",
        "_filling",
        "_held",
        "_host",
        "_newcomers",
        "_pacer",
        "_presence",
        "_reading_presence",
        "_repeatable",
        "_stats_scheduled",
        "_typing",
        "_typing_due_s",
        "_typing_timer",
        "last_id",
        "life",
        "room_id",
        "slug",
    )

    def __init__(self, membership: Membership, host: Host) -> None:
        self.room_id = membership.room_id
        self.life = membership.life
        self.slug = membership.slug
        self.last_id = MessageId(0)
        self._host = host
        self._audience = Audience(host.call_soon)
        self._presence = Presence(membership.version, membership.connection_count, membership.crowded, is_read=False)
        self._newcomers: dict[Member, int] = {}
        self._typing = TypingBoard()
        self._pacer = TypingPacer()
        self._filling = True
        self._held: list[StoredMessage] = []
        self._repeatable: dict[MessageId, StoredMessage] = {}
        self._reading_presence = True
        self._stats_scheduled = False
        self._typing_due_s = float("inf")
        self._typing_timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._audience)

    @property
    def members(self) -> list[Member]:
        """Those who are in, in the order they came."""
        return list(self._audience)

    @property
    def deliveries(self) -> int:
        """Frames written to members so far."""
        return self._audience.deliveries

    # --- members ---------------------------------------------------------------------------------------------------

    def welcome(self, member: Member, key: str, membership: Membership) -> bytes:
        """Let a participant's connection in. Returns what it is to be written first: room_joined, and who came after
        it while it was on its way."""
        self._audience.add(member)
        presence, count = self._presence, membership.connection_count
        if membership.version > presence.version:
            self._newcomers[member] = membership.version
        elif membership.version < presence.version:
            count = presence.connection_count
        at = codec.rfc3339(self._host.now_ms())
        later = [p for p in presence.later_than(membership.version) if p.key != key]
        return b"".join(
            (
                codec.room_joined(self.room_id, count, self.last_id),
                *(codec.user_joined(p.username, p.user_id, at) for p in later),
            )
        )

    def discard(self, member: Member) -> None:
        """Take a member out."""
        self._audience.discard(member)
        self._newcomers.pop(member, None)

    def tell(self, frame: bytes) -> None:
        """Send a frame to every member."""
        self._audience.tell(frame)

    def flush(self) -> None:
        """Write what waits for the end of this loop turn, now."""
        self._audience.flush()

    def congestion_changed(self, member: Member, is_congested: bool) -> None:
        """The member's socket takes nothing more, or does again."""
        self._audience.congestion_changed(member, is_congested, now_s=self._host.now_s())

    def check_progress(self) -> None:
        """Close members that stopped reading. Called about once a second."""
        self._audience.check_progress(self._host.now_s())

    # --- messages --------------------------------------------------------------------------------------------------

    def opened(self, last_id: MessageId) -> None:
        """The subscription stands, and the room's history reaches to last_id: show what comes after."""
        self.last_id = last_id
        self.messages_restored([])

    def message_stored(self, message: StoredMessage) -> None:
        """Show a message, once; after a gap, first what is missing."""
        if self._filling:
            if len(self._held) < HELD_LIMIT:  # what is dropped here leaves a gap that is noticed and filled
                self._held.append(message)
        elif message.prev_id > self.last_id:
            self._held.append(message)
            self.recover()
        else:
            self._show(message)

    def recover(self) -> None:
        """Something may have been missed: hold back what comes until the stream has been read."""
        if not self._filling:
            self._filling = True
            self._host.messages_missed(self)

    def messages_restored(self, missed: Sequence[StoredMessage]) -> None:
        """Go on after a gap with what the stream had; without it, if that could not be read: prev_id tells."""
        held, self._held = self._held, []
        self._filling = False
        for message in sorted([*missed, *held], key=lambda m: m.id):
            self._show(message)

    @property
    def holds_back(self) -> bool:
        """Whether messages wait for those that lie before them."""
        return any(message.id > self.last_id for message in self._held)

    def is_closed_by(self, missed: Sequence[StoredMessage]) -> bool:
        """Whether these and what is held back follow last_id without a gap."""
        last_id = self.last_id
        for message in sorted([*missed, *self._held], key=lambda m: m.id):
            if message.prev_id > last_id:
                return False
            last_id = max(last_id, message.id)
        return True

    def messages_found(self, found: Sequence[StoredMessage]) -> None:
        """Messages that follow last_id without a gap were found in the stream, outside of any recovery."""
        if self._filling:
            self._held += found
        else:
            for message in found:
                self._show(message)

    def repeatable(self, message_id: MessageId) -> StoredMessage | None:
        """A message that was sent with a nonce, if it is still at hand."""
        return self._repeatable.get(message_id)

    def _show(self, message: StoredMessage) -> None:
        if message.id <= self.last_id:
            return
        self.last_id = message.id
        sender = self._host.settle(message.token) if message.edge == self._host.edge else None
        instead = None
        if message.nonce:
            if len(self._repeatable) >= REPEATABLE_LIMIT:
                del self._repeatable[next(iter(self._repeatable))]
            self._repeatable[message.id] = message
            if sender is not None:
                instead = {sender: chat_frame(self, message, nonce=message.nonce)}
        self._audience.tell(chat_frame(self, message), instead)

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
            self._host.presence_missed(self)

    def presence_restored(self, snapshot: RoomSnapshot | None) -> None:
        """Tell the difference; None: it could not be read, or is no longer needed."""
        self._reading_presence = False
        if snapshot is not None and snapshot.deleted:
            self._host.room_deleted(self.life)
        elif snapshot is not None:
            self._announce(self._presence.restore(snapshot, self._host.now_ms()))
            if snapshot.version and self._presence.has_gap:
                self.reread_presence()

    def _announce(self, told: list[Announcement]) -> None:
        for announcement in told:
            person = announcement.participant
            if isinstance(announcement, Came):
                frame = codec.user_joined(person.username, person.user_id, codec.rfc3339(announcement.at_ms))
            else:
                self._show_typing(self._typing.left(person.key, self._host.now_s()))
                frame = codec.user_left(person.username, person.user_id)
            unconcerned = dict.fromkeys(self._host.members_of(person.key), b"")
            for member, version in self._newcomers.items():
                if version >= announcement.version:
                    unconcerned[member] = b""
            self._audience.tell(frame, unconcerned)
        version = self._presence.version
        if self._newcomers:
            self._newcomers = {m: v for m, v in self._newcomers.items() if v > version}
        self._schedule_stats()

    def _schedule_stats(self) -> None:
        due_s = self._presence.stats_due_s(self._host.now_s())
        if due_s is not None and not self._stats_scheduled:
            self._stats_scheduled = True
            self._host.call_later(due_s, self._tell_stats)

    def _tell_stats(self) -> None:
        self._stats_scheduled = False
        stats = self._presence.take_stats(self._host.now_s())
        self._audience.tell(codec.room_stats(stats.connection_count, stats.joined, stats.left))

    # --- typing ----------------------------------------------------------------------------------------------------

    def typing_changed(self, change: TypingChanged) -> None:
        """Show who starts and stops, to all but the one who types."""
        self._show_typing(self._typing.changed(change, self._host.now_s()))

    def _show_typing(self, transition: Transition | None) -> None:
        if transition is not None:
            shown = self._pacer.changed(transition, crowded=self._presence.crowded, now=self._host.now_s())
            self._tell_typing(shown)
        self._schedule_typing()

    def _tell_typing(self, shown: list[Transition]) -> None:
        for transition in shown:
            at = codec.rfc3339(transition.at_ms)
            frame = codec.typing(transition.active, transition.username, transition.user_id, at)
            self._audience.tell(frame, dict.fromkeys(self._host.members_of(transition.key), b""))

    def _schedule_typing(self) -> None:
        """A timer for whatever comes first: a stop that never came, or one that waits for its turn."""
        now_s = self._host.now_s()
        deadlines = [self._typing.next_deadline(), self._pacer.next_deadline(now_s)]
        due_s = min((d for d in deadlines if d is not None), default=None)
        if due_s is not None and due_s < self._typing_due_s:
            self._typing_due_s = due_s
            if self._typing_timer is not None:
                self._typing_timer.cancel()
            self._typing_timer = self._host.call_later(max(0.0, due_s - now_s), self._type_on)

    def _type_on(self) -> None:
        self._typing_due_s, self._typing_timer = float("inf"), None
        now_s = self._host.now_s()
        crowded = self._presence.crowded
        shown = [*self._pacer.due(now_s, crowded=crowded)]
        for transition in self._typing.expired(now_s):
            shown += self._pacer.changed(transition, crowded=crowded, now=now_s)
        self._tell_typing(shown)
        self._schedule_typing()


def chat_frame(room: Room, message: StoredMessage, *, nonce: str | None = None) -> bytes:
    """A stored message as a frame; with `nonce` the sender's own copy."""
    return codec.chat_message(
        message.id,
        message.prev_id,
        message.text,
        message.username,
        message.user_id,
        message.at,
        room.room_id,
        nonce,
    )
