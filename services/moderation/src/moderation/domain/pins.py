"""The pin of a room: the one message of a life that everybody is shown besides the others, and how it is changed."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from moderation.domain.erasures import NO_ORIGIN, Erasure, LoggedMessage, LogRef, Origin
from moderation.domain.people import Moderator
from moderation.errors import MessageNotFound


class PinAction(IntEnum):
    """What a command does to the pin. Audit rows hold these numbers beside those of other actions."""

    PIN = 21
    UNPIN = 22


@dataclass(frozen=True, slots=True)
class PinCommand:
    """What somebody asks to pin, or to pin no longer."""

    action: PinAction
    moderator: Moderator
    slug: str
    message_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class PinOrder:
    """A command that changes the pin of a room, as it was sent."""

    command: PinCommand
    log: LogRef | None = None
    """The log of the room in which it was given; None: there is no life of it at present, and no message."""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class PinChange:
    """The pin after a command, to be told in a log: by the id of its message, without the text."""

    action: PinAction
    log: LogRef
    moderator_user_id: int
    origin: Origin
    message_id: int
    version: int

    @property
    def last_id(self) -> int:
        """As of an Erasure: its entry stands behind the message."""
        return self.message_id


@dataclass(frozen=True, slots=True)
class RoomPin:
    """What is pinned in a life, of a slug the newest one in which anything was."""

    slug: str
    life: int
    version: int
    """Rises with each change of any slug's pin; the highest of a life holds, wherever it is heard first."""
    message: LoggedMessage | None
    """As it was when it was pinned: the log may have let go of it since. None: nothing is pinned any more."""
    moderator_user_id: int
    """Who changed it last, and when, in Unix milliseconds."""
    at_ms: int

    def message_in(self, log: LogRef) -> LoggedMessage | None:
        """What is pinned in that life."""
        return self.message if self.life == log.life else None

    def is_ended_by(self, erasure: Erasure) -> bool:
        """Whether its message is taken back."""
        message = self.message_in(erasure.log)
        return message is not None and erasure.takes(message)


def demand_change(
    known: RoomPin | None, erasures: Iterable[Erasure], order: PinOrder, message: LoggedMessage | None
) -> None:
    """Whether a command that rank and role allow may be done. `known`: the pin of its slug; `erasures`: what is to be
    erased in its log, or was since the message was read there. Raises MessageNotFound where there is no such message,
    where it is taken back, or where it is not the one to be unpinned; and where a later life has a pin."""
    command, log = order.command, order.log
    if log is None or (known is not None and known.life > log.life):
        raise MessageNotFound
    if command.action is PinAction.UNPIN:
        pinned = known.message_in(log) if known is not None else None
        if pinned is None or pinned.id != command.message_id:
            raise MessageNotFound
    elif message is None or any(erasure.takes(message) for erasure in erasures):
        raise MessageNotFound
