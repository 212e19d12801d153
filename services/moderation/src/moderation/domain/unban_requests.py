"""Unban requests: what a banned user asks, once a ban at a time, and what becomes of it."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from moderation.domain.erasures import NO_ORIGIN, LogRef, Origin
from moderation.domain.people import Moderator, Rank
from moderation.domain.sanctions import Action, Sanction
from moderation.errors import AlreadyRequested, RequestedTooSoon, SanctionNotFound

ASKED_AGAIN_AFTER_MS = 86_400_000
"""How long somebody waits after one was denied."""
LONGEST_TEXT = 500
"""Of a request, and of the note of who decides."""


class RequestState(IntEnum):
    """How far a request has come."""

    OPEN = 1
    APPROVED = 2
    """The ban was lifted for it."""
    DENIED = 3
    LAPSED = 4
    """The ban ended otherwise."""
    EXPIRED = 5
    """Nobody decided before its text was erased."""


class RequestStep(IntEnum):
    """What may happen to a request."""

    APPROVE = 1
    DENY = 2
    LAPSE = 3
    EXPIRE = 4


# A step that is missing cannot be taken: the first one holds.
STEPS: dict[RequestState, dict[RequestStep, RequestState]] = {
    RequestState.OPEN: {
        RequestStep.APPROVE: RequestState.APPROVED,
        RequestStep.DENY: RequestState.DENIED,
        RequestStep.LAPSE: RequestState.LAPSED,
        RequestStep.EXPIRE: RequestState.EXPIRED,
    },
    RequestState.APPROVED: {},
    RequestState.DENIED: {},
    RequestState.LAPSED: {},
    RequestState.EXPIRED: {},
}
DECISIONS = {RequestState.APPROVED: RequestStep.APPROVE, RequestState.DENIED: RequestStep.DENY}
"""What somebody may decide, and the step that this is."""


class UnbanAction(IntEnum):
    """What is a row of the audit log of its own: an approval is that of the unban, and names the request. The number
    goes on behind those of other actions."""

    DENY = 29


@dataclass(frozen=True, slots=True)
class UnbanRequest:
    """A request as it is stored. Times are Unix milliseconds."""

    id: int
    sanction_id: int
    slug: str | None
    """Of the ban; None: everywhere."""
    user_id: int
    username: str
    text: str
    created_at_ms: int
    state: RequestState = RequestState.OPEN
    closed_at_ms: int | None = None
    closed_by: int = 0
    """The user who decided; 0: nobody."""
    note: str = ""
    """Of who decided, for the one who asked."""

    def is_same(self, order: "UnbanOrder") -> bool:
        """Whether it is what that order asks, and waits."""
        return self.state is RequestState.OPEN and (self.user_id, self.text) == (order.user_id, order.text)

    def after(self, step: RequestStep, *, now_ms: int, by: int = 0, note: str = "") -> "UnbanRequest":
        """The request once that has happened to it; itself where the step can't be taken."""
        state = STEPS[self.state].get(step)
        if state is None:
            return self
        return replace(self, state=state, closed_at_ms=now_ms, closed_by=by, note=note)


@dataclass(frozen=True, slots=True)
class UnbanOrder:
    """A request as somebody makes it."""

    user_id: int
    """0: who is not signed in, and has no ban of their own."""
    username: str
    sanction_id: int
    text: str
    """Not empty."""


@dataclass(frozen=True, slots=True)
class DecideCommand:
    """What somebody decides about a request."""

    moderator: Moderator
    slug: str | None
    """Its own."""
    request_id: int
    decision: RequestState
    """One of DECISIONS."""
    note: str


@dataclass(frozen=True, slots=True)
class DecideOrder:
    """A decision about a request, as it was sent."""

    command: DecideCommand
    log: LogRef | None = None
    """What the room is told of a ban that is lifted is no entry of its log."""
    origin: Origin = NO_ORIGIN


class RequestQuery(NamedTuple):
    """Which requests somebody wants to read; None: whatever it is."""

    slug: str | None = None
    state: RequestState | None = None
    user_id: int | None = None
    since_ms: int = 0


def demand_may_request(user_id: int, sanction: Sanction | None, latest: UnbanRequest | None, *, now_ms: int) -> None:
    """`latest`: the last request about that sanction. Raises SanctionNotFound where there is no ban in force with that
    id that is aimed at the user: whose others are is not theirs to know; AlreadyRequested, RequestedTooSoon."""
    if sanction is None or not is_ban_of(sanction, user_id, now_ms=now_ms):
        raise SanctionNotFound
    if latest is None:
        return
    if latest.state is RequestState.OPEN:
        raise AlreadyRequested
    if latest.state is RequestState.DENIED and latest.closed_at_ms is not None:
        left_ms = latest.closed_at_ms + ASKED_AGAIN_AFTER_MS - now_ms
        if left_ms > 0:
            raise RequestedTooSoon(left_ms)


def is_ban_of(sanction: Sanction, user_id: int, *, now_ms: int) -> bool:
    """Whether it is a ban in force that is aimed at that user."""
    is_theirs = user_id != 0 and sanction.target.user_id == user_id
    return is_theirs and sanction.kind is Action.BAN and sanction.is_in_force(now_ms)


def may_read_requests(rank: Rank, slug: str | None) -> bool:
    """Whether somebody of that rank may read the requests of a slug; None: of every slug and everywhere."""
    return rank >= (Rank.ADMIN if slug is None else Rank.MODERATOR)
