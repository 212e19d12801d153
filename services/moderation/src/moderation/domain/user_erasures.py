"""Erasing what is kept of a user but their number, and taking back what they said in rooms that live."""

from dataclasses import dataclass
from enum import IntEnum

from moderation.domain.erasures import NO_ORIGIN, Erasure, ErasureCommand, ErasureKind, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.warnings import RoomWarning

MOST_ROOMS = 100
"""Of one command, which holds up all others meanwhile."""


class UserErasureAction(IntEnum):
    """What a command does. The number goes on behind those of RevocationAction: audit rows hold either."""

    ERASE = 40


@dataclass(frozen=True, slots=True)
class EraseUserCommand:
    """Whom somebody asks to erase."""

    moderator: Moderator
    user_id: int
    reason: str
    rooms: tuple[tuple[str, LogRef], ...] = ()
    """Those that live in whose logs the user may have messages, with their slugs."""
    target_rank: Rank | None = None
    """The highest that the user is connected with; None: not connected."""

    @property
    def target(self) -> Target:
        """The user."""
        return Target(self.user_id, "")

    def purges(self) -> list[tuple[ErasureCommand, Erasure]]:
        """What is to be taken back in each room. It is told by the number: the name is to be gone."""
        name = f"user_{self.user_id}"
        return [
            (
                ErasureCommand(ErasureKind.PURGE, self.moderator, slug, None, self.reason, target=self.target),
                Erasure(ErasureKind.PURGE, log, self.moderator.user_id, NO_ORIGIN, author=self.target, username=name),
            )
            for slug, log in self.rooms
        ]


@dataclass(frozen=True, slots=True)
class EraseUserOrder:
    """A command that erases a user, as it was sent."""

    command: EraseUserCommand
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class ErasedUser:
    """What replicas and edges have to know of it, beside the event of the sanctions that it changed."""

    warnings: tuple[RoomWarning, ...] = ()
    """Those that were open."""
