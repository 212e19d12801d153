"""What people of a run did and saw. Times are seconds of one monotonic clock."""

from dataclasses import dataclass, field

EVERYTHING = 2**53
"""Above every id."""


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """A sender's message by its number, which rises with each of them. Its text says both."""

    sender: str
    number: int

    @property
    def text(self) -> str:
        """What is sent."""
        return f"{self.sender}/{self.number}"


def read_text(text: str) -> Message | None:
    """The message with this text; None: no sender of a run sends that."""
    sender, _, number = text.rpartition("/")
    return Message(sender, int(number)) if sender and number.isdecimal() else None


@dataclass(frozen=True, slots=True)
class Append:
    """A message that was sent, and sent again with the same nonce until it had an outcome.

    `id`: of the own copy, None where none came: it may be in the log or not. `refused`: the only outcome was an error
    that means that it never will be.
    """

    message: Message
    began_s: float
    ended_s: float
    id: int | None
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log, as somebody was given it. `message` None: an entry of another kind; `deletes`: the id of the
    message that it deletes. `read_s`: when the read that gave it began, None where it was live."""

    id: int
    message: Message | None
    deletes: int | None = None
    read_s: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody was told that entries between these two ids were not replayed. `others_only`: history had all the
    messages between them, and shows nothing else."""

    after: int
    before: int
    others_only: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What one listener was given, in the order in which it was given, over all its connections; `since`: the last id
    of the log when it first came."""

    listener: str
    since: int
    entries: tuple[Entry, ...]
    told: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One page of history: all messages from the oldest of it up to `before`."""

    began_s: float
    before: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Deletion:
    """A message that was deleted, and when the moderator's own copy of that had arrived; infinity: it never did, and
    the message may be there or not."""

    id: int
    confirmed_s: float


@dataclass(frozen=True, slots=True)
class History:
    """Everything about one room. `log` is what a newcomer reads when all is over, None where that is not known; it is
    `whole` where it may not begin later than the room's first message. `may_forget`: the run lost files on purpose."""

    appends: tuple[Append, ...]
    views: tuple[View, ...]
    readings: tuple[Reading, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    log: tuple[Entry, ...] | None = None
    whole: bool = False
    may_forget: bool = False


@dataclass(slots=True)
class Findings:
    """What is not as promised, each as a sentence."""

    lost: list[str] = field(default_factory=list)
    """Stored, and not shown to somebody who was never told of a gap, or not in the log."""
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    """Ids that fall, or that disagree with the order in which acknowledged messages were sent."""
    deleted_shown: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    """Shown, and never sent, or refused for good; or acknowledged with the id of another message."""
    stale: list[str] = field(default_factory=list)
    """A page of history without what had been acknowledged before it was asked for."""
    forgotten: list[str] = field(default_factory=list)
    """Acknowledged, and gone with the files; who missed it was told so."""

    @property
    def faults(self) -> list[str]:
        """All but what was forgotten with notice."""
        return [*self.lost, *self.doubled, *self.disordered, *self.deleted_shown, *self.invented, *self.stale]
