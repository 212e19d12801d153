"""Messages that wait for a moderator on one worker: told to their authors, who hear what becomes of them."""

from collections.abc import Callable, Iterable

from ws_edge.chat.registry import Connection, ConnectionRegistry
from ws_edge.chat.sanctions import SanctionReader
from ws_edge.ports import Ports
from ws_edge.protocol import codec
from ws_edge.protocol.holds import HeldMessage, HoldState
from ws_edge.protocol.identity import Identity, Life, Rank, Slug, Speaker
from ws_edge.room.member import Member

RELEASES_LIMIT = 20_000


class Holds:
    """Tells authors of their messages that wait, on every connection of theirs in the room.

    Moderation stores a message before it is told. Edges hear of it, and of what is decided, by events, and read both
    with the sanctions of a room: when that opens, and every 30 s.
    """

    __slots__ = ("_connections", "_ports", "_releases", "_sanction_reader")

    def __init__(self, ports: Ports, connections: ConnectionRegistry, sanction_reader: SanctionReader) -> None:
        self._ports = ports
        self._connections = connections
        self._sanction_reader = sanction_reader
        self._releases: dict[int, Callable[[], None]] = {}
        """Of those that were sent here: what gives back what they count for."""

    def apply(self, changed: Iterable[HeldMessage]) -> None:
        """Take over what was changed in rooms that are held here, and tell the authors; the same twice is harmless."""
        now_s = self._ports.clock.now_s()
        for hold in changed:
            if hold.slug in self._sanction_reader.slugs and self._ports.holds.apply(hold, now_s=now_s):
                self._tell(hold)
            elif hold.state is not HoldState.WAITING and hold.id in self._releases:
                self._settle(hold)

    def deliver_missed(self) -> None:
        """Tell what was read and should have been heard: events may have been missed."""
        for hold in self._ports.holds.take_missed():
            self._tell(hold)

    def greet(self, connection: Connection, slug: Slug) -> None:
        """Somebody has come in: tell them what became of what they sent."""
        if self._ports.holds:
            for hold in self._ports.holds.of_author(slug, connection.speaker.key):
                if hold.state.is_rejected:
                    self._settle(hold)
                connection.write(_frame_of(hold))

    def find(self, speaker: Speaker, slug: Slug, life: Life, nonce: str) -> HeldMessage | None:
        """What somebody sent with that nonce, as far as is known here."""
        if not self._ports.holds:
            return None
        return self._ports.holds.find(slug, speaker.key, life, nonce, unix_ms=self._ports.clock.unix_s() * 1000)

    def sent(self, hold: HeldMessage, release: Callable[[], None]) -> None:
        """A connection here has sent it, and moderation has it wait. `release` gives back what it counts for, where it
        is rejected."""
        self._releases[hold.id] = release
        if len(self._releases) > RELEASES_LIMIT:
            del self._releases[next(iter(self._releases))]
        known = self._ports.holds.get(hold.id)
        if known is not None and known.state is not HoldState.WAITING:  # decided before this answer came
            self._settle(known)
        self.apply([hold])

    def tell_again(self, author: Member, hold: HeldMessage) -> None:
        """It was sent again: its author hears how it stands."""
        author.write(_frame_of(hold))

    def _tell(self, hold: HeldMessage) -> None:
        if hold.state is not HoldState.WAITING:
            self._settle(hold)
        if hold.state is HoldState.ALLOWED:
            return  # the message itself says so
        for connection in self._connections.of_participant(hold.key):
            if connection.room is not None and connection.room.slug == hold.slug:
                connection.room.write_waiting(connection)
                connection.write(_frame_of(hold))

    def _settle(self, hold: HeldMessage) -> None:
        """What was rejected counts no longer. Where the edge that it was sent to is gone, whoever has its author does
        that: to what was released before nothing is done."""
        release = self._releases.pop(hold.id, None)
        if not hold.state.is_rejected:
            return
        if release is not None:
            release()
        elif self._connections.of_participant(hold.key):
            identity = Identity(hold.user_id, hold.username, None, (), _rank_of(hold), None)
            author = Speaker(identity, "", hold.connection)
            self._ports.moderation.release(author, hold.slug, hold.life, "", hold.number)


def _rank_of(hold: HeldMessage) -> Rank:
    return Rank.ANONYMOUS if hold.user_id is None else Rank.USER


def _frame_of(hold: HeldMessage) -> bytes:
    return codec.message_rejected(hold) if hold.state.is_rejected else codec.message_held(hold)
