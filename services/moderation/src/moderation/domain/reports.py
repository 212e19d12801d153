"""Reports: what viewers tell moderators of a message or of somebody, kept with the message as it was said."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from moderation.domain.erasures import NO_ORIGIN, LoggedMessage, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.errors import AlreadyDecided, NotPermitted, ReportNotFound, TooManyReports

MOST_REPORTS = 5
REPORTS_WINDOW_MS = 600_000
"""So many of one reporter in so long, over all rooms; one that is repeated counts once."""
MOST_OPEN_REPORTS = 1_000
"""Of one slug. With one more the oldest expires: nobody who reports is refused because others have reported much."""
MOST_EXPIRED_REPORTS = 2_000
"""Of one slug: of those that gave way to newer ones, the oldest are deleted."""
NEIGHBOURS = 5
"""Messages before the reported one, and as many behind it, whose ids are kept with it."""
LONGEST_NOTE = 500


class ReportCategory(IntEnum):
    """What a message or somebody is reported for."""

    SPAM = 1
    HARASSMENT = 2
    HATE = 3
    SEXUAL = 4
    VIOLENCE = 5
    OTHER = 6


class ReportState(IntEnum):
    """How far a report has come."""

    OPEN = 1
    ACTIONED = 2
    """A moderator did something about it."""
    DISMISSED = 3
    """A moderator saw nothing to be done."""
    EXPIRED = 4
    """Nobody decided before its evidence was erased, or before newer ones took its place."""


class ReportStep(IntEnum):
    """What may happen to a report."""

    ACT = 1
    DISMISS = 2
    EXPIRE = 3


# A step that is missing cannot be taken: the first decision holds.
STEPS: dict[ReportState, dict[ReportStep, ReportState]] = {
    ReportState.OPEN: {
        ReportStep.ACT: ReportState.ACTIONED,
        ReportStep.DISMISS: ReportState.DISMISSED,
        ReportStep.EXPIRE: ReportState.EXPIRED,
    },
    ReportState.ACTIONED: {},
    ReportState.DISMISSED: {},
    ReportState.EXPIRED: {},
}
RESOLUTIONS = {ReportState.ACTIONED: ReportStep.ACT, ReportState.DISMISSED: ReportStep.DISMISS}
"""What a moderator may decide, and the step that this is."""


class ReportAction(IntEnum):
    """What a command does to a report that there is. Audit rows hold the number, beside those of other actions."""

    RESOLVE = 28


class Neighbours(NamedTuple):
    """Ids of the messages around one, in order."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


class ReportedMessage(NamedTuple):
    """A message as it was when it was reported: its log, and itself, may be gone since."""

    id: int
    at_ms: int
    """When it was said, Unix milliseconds."""
    text: str
    """Empty: it was erased."""
    neighbours: Neighbours = Neighbours()


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """A report as somebody files it: of a message, or of a person."""

    reporter: Moderator
    reporter_username: str
    slug: str
    log: LogRef | None
    """The log of the room in which it was filed; None: there is no life of it at present, and no message."""
    message_id: int
    """0: of a person."""
    target: Target | None
    """None: the author of the message."""
    category: ReportCategory
    note: str


@dataclass(frozen=True, slots=True)
class Report:
    """A report as it is stored. Times are Unix milliseconds."""

    id: int
    slug: str
    reporter_user_id: int
    reporter_username: str
    category: ReportCategory
    note: str
    target: Target
    target_username: str
    """As the chat shows it, of users as well; empty: not known."""
    message: ReportedMessage | None
    created_at_ms: int
    state: ReportState = ReportState.OPEN
    closed_at_ms: int | None = None
    closed_by: int = 0
    """The user who decided; 0: nobody."""

    def after(self, step: ReportStep, *, by: int, now_ms: int) -> "Report":
        """The report once that has happened to it; itself where the step can't be taken."""
        state = STEPS[self.state].get(step)
        return self if state is None else replace(self, state=state, closed_at_ms=now_ms, closed_by=by)


@dataclass(frozen=True, slots=True)
class ResolveCommand:
    """What somebody decides about a report."""

    moderator: Moderator
    slug: str
    """Its own."""
    report_id: int
    resolution: ReportState
    """One of RESOLUTIONS."""
    reason: str


@dataclass(frozen=True, slots=True)
class ResolveOrder:
    """A decision about a report, as it was sent."""

    command: ResolveCommand
    log: LogRef | None = None
    """Nothing is told to a room."""
    origin: Origin = NO_ORIGIN


class ReportQuery(NamedTuple):
    """Which reports somebody wants to read; None: whatever it is."""

    slug: str | None = None
    state: ReportState | None = None
    target: Target | None = None
    not_about: int = 0
    """Without those about this user."""
    since_ms: int = 0


def may_report(order: ReportOrder) -> bool:
    """Whether somebody may report at all: who is signed in, and not themselves. Of a message see `demand_other`."""
    return order.reporter.user_id != 0 and not (order.target is not None and order.reporter.is_aimed_at(order.target))


def demand_other(order: ReportOrder, message: LoggedMessage) -> None:
    """Nobody reports what they said themselves. Raises NotPermitted."""
    if order.reporter.is_aimed_at(message.author):
        raise NotPermitted


def demand_within_limit(reported_at_ms: Sequence[int], *, now_ms: int) -> None:
    """`reported_at_ms`: when the reporter filed the last MOST_REPORTS, in any order. Raises TooManyReports."""
    counted = [at_ms for at_ms in reported_at_ms if at_ms > now_ms - REPORTS_WINDOW_MS]
    if len(counted) >= MOST_REPORTS:
        raise TooManyReports(min(counted) + REPORTS_WINDOW_MS - now_ms)


def may_read_reports(rank: Rank, slug: str | None) -> bool:
    """Whether somebody of that rank may read the reports of a slug; None: of every slug."""
    return rank >= (Rank.ADMIN if slug is None else Rank.MODERATOR)


def decide_report(command: ResolveCommand, report: Report | None, *, now_ms: int) -> Report:
    """The report once it is resolved. Raises NotPermitted, also of a report about whoever would resolve it;
    ReportNotFound, AlreadyDecided."""
    moderator = command.moderator
    if moderator.user_id == 0 or not may_read_reports(moderator.rank, command.slug):
        raise NotPermitted
    if report is None or report.slug != command.slug or not moderator.may_know(report.created_at_ms):
        raise ReportNotFound
    if moderator.is_aimed_at(report.target):
        raise NotPermitted
    decided = report.after(RESOLUTIONS[command.resolution], by=moderator.user_id, now_ms=now_ms)
    if decided is report:
        raise AlreadyDecided(report.closed_by)
    return decided
