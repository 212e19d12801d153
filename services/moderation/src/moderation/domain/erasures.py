"""Taking messages back: what a command asks for, what is to be erased because of it, and the entry that tells of it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from moderation.domain.people import Moderator, Rank, Target

KEYS_REMEMBERED_MS = 120_000
"""How long the nonce of a message that is erased stays known."""
MOST_KEYS = 1_000
"""In one entry: with 32 characters each they fit twice into the largest message that NATS takes."""


class ErasureKind(IntEnum):
    """What a command takes back. The numbers go on behind those of Action: audit rows hold either."""

    DELETE = 5
    PURGE = 6
    CLEAR = 7


class LogRef(NamedTuple):
    """The log of one life of a room."""

    partition: int
    room_id: int
    life: int


class Origin(NamedTuple):
    """From which connection a command came."""

    edge: str
    """The worker incarnation; empty: none."""
    token: int
    nonce: str
    """The client's, or empty."""


NO_ORIGIN = Origin("", 0, "")


class LoggedMessage(NamedTuple):
    """A message as it is in the log."""

    id: int
    at_ms: int
    """When the stream stored it, Unix milliseconds."""
    user_id: int
    """0 for an anonymous author."""
    username: str
    text: str
    key: str
    """Its Nats-Msg-Id, or empty."""
    role: str = ""
    """The author's highest role; empty: anonymous, or from before roles were told."""
    reply_to: int = 0
    """The id that its author said it answers to, or 0."""

    @property
    def author(self) -> Target:
        """Its author, as a target."""
        return Target(self.user_id, "" if self.user_id else self.username)


@dataclass(frozen=True, slots=True)
class ErasureCommand:
    """What somebody asks to take back."""

    kind: ErasureKind
    moderator: Moderator
    slug: str
    target_rank: Rank | None
    """The highest rank that the target, of a deletion the author, is connected with; None: not connected."""
    reason: str
    message_id: int = 0
    """Of DELETE."""
    target: Target | None = None
    """Of PURGE."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is to be erased from a log, and told in it."""

    kind: ErasureKind
    log: LogRef
    moderator_user_id: int
    """0 where the author did it."""
    origin: Origin
    message_id: int = 0
    """Of DELETE."""
    author: Target | None = None
    """Of a purge, and of a deletion whose message has been read."""
    username: str = ""
    """Of the author, where it is known."""
    up_to_id: int | None = None
    """Of PURGE and CLEAR: everything that is meant has at most this id; None: that has not been looked up."""
    message_keys: tuple[str, ...] = ()
    ended_keys: tuple[str, ...] = ()
    """Of PURGE and CLEAR: the keys of outbox items whose messages were allowed before, and are not to be stored any
    more."""

    @property
    def is_resolved(self) -> bool:
        """Whether the log has been read for it, so that its entry is what it will always be."""
        return self.author is not None if self.kind is ErasureKind.DELETE else self.up_to_id is not None

    @property
    def last_id(self) -> int:
        """Nothing with a higher id is meant; the entry comes behind it. Of a resolved one."""
        return self.message_id if self.kind is ErasureKind.DELETE else self.up_to_id or 0

    @property
    def parts(self) -> list["Erasure"]:
        """It in as many as its keys need, MOST_KEYS in each; the last one, with the newest, is what the entry says."""
        keys, ends = self.message_keys, range(len(self.message_keys), 0, -MOST_KEYS)
        newest_first = [replace(self, message_keys=keys[max(0, end - MOST_KEYS) : end]) for end in ends]
        return newest_first[::-1] or [self]

    def takes(self, message: LoggedMessage) -> bool:
        """Whether it takes that message back; one that is not resolved yet takes all that there are now."""
        if self.kind is ErasureKind.DELETE:
            return message.id == self.message_id
        if self.up_to_id is not None and message.id > self.up_to_id:
            return False
        return self.takes_all_of(message.author)

    def takes_all_of(self, author: Target) -> bool:
        """Of PURGE and CLEAR: whether all that somebody has said before is meant."""
        return self.kind is ErasureKind.CLEAR or author == self.author

    def of(self, message: LoggedMessage) -> "Erasure":
        """A deletion with what its message says."""
        is_own = message.user_id != 0 and message.user_id == self.moderator_user_id
        return replace(
            self,
            moderator_user_id=0 if is_own else self.moderator_user_id,
            author=message.author,
            username=message.username,
            message_keys=(message.key,) if message.key else (),
        )

    def up_to(self, last_id: int, recent: Iterable[LoggedMessage], *, username: str = "") -> "Erasure":
        """A purge or a clear of everything up to an id; `recent`: messages of the last two minutes, in order."""
        known = replace(self, up_to_id=last_id)
        taken = [message for message in recent if known.takes(message)]
        keys = [message.key for message in taken if message.key]
        if self.kind is ErasureKind.PURGE:
            username = self.username or username or next((m.username for m in reversed(taken)), "")
        return replace(known, username=username, message_keys=tuple(keys))
