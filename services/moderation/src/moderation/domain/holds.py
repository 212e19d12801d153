"""Held messages: those that wait for a moderator, who has them published or rejected; nobody in time rejects them."""

from dataclasses import dataclass, replace
from enum import IntEnum

from moderation.domain.erasures import NO_ORIGIN, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Speaker, Target
from moderation.errors import HoldDecided, HoldFull, HoldNotFound, NotPermitted, RoomGone

WAITS_MS = 300_000
"""So long somebody may decide."""
MOST_OF_AUTHOR = 3
"""Messages of one author that wait, in all rooms together."""
MOST_OF_ROOM = 500
NONCES_KNOWN_MS = 120_000
"""So long a message with the same nonce is the same message."""
TOLD_FOR_MS = 600_000
"""So long after the decision an author who comes back is told of it."""
KEPT_MS = 3_600_000
"""So long after the decision anything is known of it here. The audit log knows it for longer."""
DENIED_AT_ONCE = 20
"""By one ban, while other commands wait."""


class HoldAction(IntEnum):
    """What is done about a message. Audit rows hold these numbers beside those of other actions."""

    HOLD = 34
    """By a rule, or the policy."""
    ALLOW = 35
    DENY = 36


class HoldState(IntEnum):
    """How far it has come. The values are stored."""

    WAITING = 1
    ALLOWED = 2
    """It is published, or about to be."""
    DENIED = 3
    """By a moderator, or by the ban of its author."""
    EXPIRED = 4
    """Nobody decided in time."""

    @property
    def is_rejected(self) -> bool:
        """Whether nobody will ever see it."""
        return self in (HoldState.DENIED, HoldState.EXPIRED)


class HoldStep(IntEnum):
    """What may happen to it."""

    ALLOW = 1
    DENY = 2
    EXPIRE = 3


# A step that is missing changes nothing: the first decision counts.
STEPS: dict[HoldState, dict[HoldStep, HoldState]] = {
    HoldState.WAITING: {
        HoldStep.ALLOW: HoldState.ALLOWED,
        HoldStep.DENY: HoldState.DENIED,
        HoldStep.EXPIRE: HoldState.EXPIRED,
    },
    HoldState.ALLOWED: {},
    HoldState.DENIED: {},
    HoldState.EXPIRED: {},
}


@dataclass(frozen=True, slots=True)
class HeldMessage:
    """What an author wanted to say."""

    author: Speaker
    text: str
    nonce: str
    """The client's, or empty."""
    number: int
    """As in MessageCheck: by this it is released."""
    role: str = ""
    """The author's highest one; empty: anonymous."""
    reply_to: int = 0
    """The id that the author said it answers to, or 0."""

    @property
    def target(self) -> Target:
        """Its author, as a target."""
        return Target(self.author.user_id, "" if self.author.user_id else self.author.username)


@dataclass(frozen=True, slots=True)
class Hold:
    """One message that waits, or has waited. Times are Unix milliseconds."""

    id: int
    slug: str
    log: LogRef
    """Of the life that it was sent in."""
    message: HeldMessage
    """Its text, and the address of its author, are there as long as it waits."""
    held_at_ms: int
    rule_id: int = 0
    """0: no rule holds it, but the policy."""
    rule_name: str = ""
    state: HoldState = HoldState.WAITING
    decided_by: int = 0
    """Who decided, or banned the author; 0: nobody."""
    decided_at_ms: int | None = None

    @property
    def expires_at_ms(self) -> int:
        """From then on nobody may allow it any more."""
        return self.held_at_ms + WAITS_MS

    def after(self, step: HoldStep, by: int, at_ms: int) -> "Hold":
        """It, once that has happened; itself where that changes nothing."""
        state = STEPS[self.state].get(step)
        return self if state is None else replace(self, state=state, decided_by=by, decided_at_ms=at_ms)

    def at(self, now_ms: int) -> "Hold":
        """As it is at that time, also where nobody has looked since it expired."""
        return self if now_ms < self.expires_at_ms else self.after(HoldStep.EXPIRE, 0, self.expires_at_ms)


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """A message that is to wait, as its edge sent it."""

    slug: str
    log: LogRef
    message: HeldMessage
    rule_id: int = 0
    """As of a Hold."""
    rule_name: str = ""


@dataclass(frozen=True, slots=True)
class DecideHeldCommand:
    """What somebody decides about a message that waits."""

    action: HoldAction
    """ALLOW or DENY."""
    moderator: Moderator
    slug: str
    hold_id: int
    reason: str

    @property
    def step(self) -> HoldStep:
        """What happens to the message."""
        return HoldStep.ALLOW if self.action is HoldAction.ALLOW else HoldStep.DENY


@dataclass(frozen=True, slots=True)
class DecideHeldOrder:
    """A decision, as it was sent."""

    command: DecideHeldCommand
    log: LogRef | None = None
    """The log of the room in which it was given; None: there is no life of it at present."""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class Publication:
    """A message that was allowed, to be stored in its log, once."""

    log: LogRef
    origin: Origin
    """Of the decision."""
    hold_id: int
    message: HeldMessage

    @property
    def without_text(self) -> "Publication":
        """Once it is stored."""
        return replace(self, message=replace(self.message, text=""))

    @property
    def last_id(self) -> int:
        """As of an Erasure: its entry may stand anywhere in the log."""
        return 0


def demand_place(of_author: int, of_room: int) -> None:
    """Whether one more may wait, where so many do. Raises HoldFull."""
    if of_author >= MOST_OF_AUTHOR or of_room >= MOST_OF_ROOM:
        raise HoldFull


def decide_hold(order: DecideHeldOrder, known: Hold | None, *, now_ms: int) -> Hold:
    """A message once it is decided about by somebody whom rank and role allow that. Raises HoldNotFound where there is
    none of that slug, HoldDecided, RoomGone; NotPermitted for its own author."""
    command = order.command
    if known is None or known.slug != command.slug or not command.moderator.may_know(known.held_at_ms):
        raise HoldNotFound
    if command.moderator.is_aimed_at(known.message.target):
        raise NotPermitted
    known = known.at(now_ms)
    if known.state is not HoldState.WAITING:
        raise HoldDecided(known)
    if command.action is HoldAction.ALLOW and order.log != known.log:
        raise RoomGone
    return known.after(command.step, command.moderator.user_id, now_ms)


def may_read_held(reader: Moderator) -> bool:
    """Whether somebody may read what waits."""
    return reader.user_id != 0 and reader.rank >= Rank.MODERATOR
