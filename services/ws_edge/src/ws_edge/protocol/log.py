"""The log of one life of a room, as values: its messages, what takes them back, and the room's policy and pin, in one
order."""

from dataclasses import dataclass
from hashlib import blake2b

from msgspec import Struct

from ws_edge.protocol.holds import Allowed
from ws_edge.protocol.identity import Life, MessageId, RoomId, Speaker, UserId
from ws_edge.protocol.policies import Policy

PARTITIONS = 256
"""An id is the sequence of the partition's stream times this, plus the partition."""


@dataclass(frozen=True, slots=True)
class LogRef:
    """Which log: a life, its room, and the partition that it was given when it was made."""

    room_id: RoomId
    life: Life
    partition: int = 0


def entry_id(sequence: int, partition: int) -> MessageId:
    """The id of an entry; 0 for sequence 0, which is none.

    >>> entry_id(2, 3)
    515
    """
    return MessageId(sequence * PARTITIONS + partition if sequence else 0)


def sequence_of(entry: MessageId) -> int:
    """The sequence of an entry in its partition's stream.

    >>> sequence_of(MessageId(515))
    2
    """
    return entry // PARTITIONS


class StoredMessage(Struct, frozen=True, gc=False):
    """A message as the stream holds it."""

    id: MessageId
    prev_id: MessageId
    at: str
    """RFC 3339 in UTC with milliseconds."""
    text: str
    user_id: UserId | None
    username: str
    edge: str
    """The incarnation that published it, with a token of its own choice."""
    token: int
    nonce: str
    """Empty where the client gave none."""
    reply_to: MessageId | None = None
    role: str | None = None
    """The author's highest role; None: anonymous."""
    allowed: Allowed | None = None
    """Of one that waited for a moderator; edge and token are then those of whoever allowed it."""
    max_shown: int = 0
    """Of the policy that held when it was published, see room/sampling.py; 0: no limit."""
    delay_ms: int = 0
    """The same: so long after it was stored viewers see it, see room/delay.py."""


class MessageDeleted(Struct, frozen=True, gc=False):
    """One message is taken back. `edge`, `token`, `nonce`: whose command it was, empty where nobody's; `action_id`: its
    row of the audit log, 0 of a version before."""

    id: MessageId
    prev_id: MessageId
    at: str
    message_id: MessageId
    user_id: UserId | None
    """Of the message's author, as `username`."""
    username: str
    moderator_user_id: UserId | None
    """None: its author did it."""
    message_keys: tuple[str, ...] = ()
    """Of what is taken back, as message_key makes them: what is not stored again."""
    edge: str = ""
    token: int = 0
    nonce: str = ""
    action_id: int = 0


class MessagesPurged(Struct, frozen=True, gc=False):
    """All messages of one author up to an id are taken back."""

    id: MessageId
    prev_id: MessageId
    at: str
    user_id: UserId | None
    """None: an anonymous author, of that name."""
    username: str
    up_to_id: MessageId
    moderator_user_id: UserId | None
    message_keys: tuple[str, ...] = ()
    edge: str = ""
    token: int = 0
    nonce: str = ""
    action_id: int = 0


class RoomCleared(Struct, frozen=True, gc=False):
    """All messages up to an id are taken back."""

    id: MessageId
    prev_id: MessageId
    at: str
    up_to_id: MessageId
    moderator_user_id: UserId | None
    message_keys: tuple[str, ...] = ()
    edge: str = ""
    token: int = 0
    nonce: str = ""
    action_id: int = 0


class PolicyChanged(Struct, frozen=True, gc=False):
    """The policy of the room as it was after a change; one with a higher version may stand before it."""

    id: MessageId
    prev_id: MessageId
    at: str
    policy: Policy
    moderator_user_id: UserId | None
    edge: str = ""
    token: int = 0
    nonce: str = ""
    action_id: int = 0


class MessageUnpinned(Struct, frozen=True, gc=False):
    """Nothing is pinned any more."""

    id: MessageId
    prev_id: MessageId
    at: str
    message_id: MessageId
    """What was pinned."""
    version: int
    moderator_user_id: UserId | None
    edge: str = ""
    token: int = 0
    nonce: str = ""
    action_id: int = 0
    is_certain: bool = True
    """False: it pins a message that could not be found, which may be taken back, or too old for the log."""


class MessagePinned(Struct, frozen=True, gc=False):
    """A message of the same log is pinned, in place of what was."""

    id: MessageId
    prev_id: MessageId
    at: str
    message_id: MessageId
    version: int
    """The highest of a life holds, whichever way it came first."""
    moderator_user_id: UserId | None
    edge: str = ""
    token: int = 0
    nonce: str = ""
    action_id: int = 0
    message: StoredMessage | None = None
    """None: it was not read. The entry itself holds no text."""

    def ended(self, *, is_certain: bool = True) -> MessageUnpinned:
        """How it is shown where its message is gone: what was pinned before it is so no longer."""
        about = (self.id, self.prev_id, self.at, self.message_id, self.version, self.moderator_user_id)
        return MessageUnpinned(*about, self.edge, self.token, self.nonce, self.action_id, is_certain)


class UnknownEntry(Struct, frozen=True, gc=False):
    """An entry of a later version: shown to nobody, and in the order all the same."""

    id: MessageId
    prev_id: MessageId
    at: str
    edge: str = ""
    token: int = 0
    nonce: str = ""
    action_id: int = 0


Erasure = MessageDeleted | MessagesPurged | RoomCleared
CommandEntry = Erasure | PolicyChanged | MessagePinned | MessageUnpinned
"""What a command brings."""
LogEntry = StoredMessage | CommandEntry | UnknownEntry


def message_key(speaker: Speaker, life: Life, nonce: str) -> str:
    """What makes two messages the same one, also for the stream: 32 hexadecimal digits."""
    return blake2b(f"{speaker.key}\n{life}\n{nonce}".encode(), digest_size=16).hexdigest()
