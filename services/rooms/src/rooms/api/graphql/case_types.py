"""The types of the contract that are about reports, unban requests and cases, made from the domain's values."""

from datetime import datetime
from typing import Self

import strawberry

from rooms.api.graphql.arguments import encode_cursor
from rooms.api.graphql.types import SafeInt, Sanction, safe_int
from rooms.domain import cases, reports as domain, unban_requests as unban

REPORTS = "report"
UNBAN_REQUESTS = "unban"

# Strawberry marks the domain's own class, so that its members need no translation.
strawberry.enum(domain.ReportCategory)
strawberry.enum(domain.ReportState)
strawberry.enum(domain.ReportResolution)
strawberry.enum(unban.UnbanRequestState)
strawberry.enum(unban.UnbanDecision)
strawberry.enum(cases.WarningState)


@strawberry.type
class Report:
    """What a viewer reported: a message as it was said, or somebody."""

    id: SafeInt
    slug: str
    at: datetime
    category: domain.ReportCategory
    note: str | None
    reporter_user_id: SafeInt
    reporter_username: str | None
    target_user_id: SafeInt | None
    target_username: str | None
    message_id: SafeInt | None
    message_text: str | None
    message_at: datetime | None
    before_ids: list[SafeInt]
    after_ids: list[SafeInt]
    state: domain.ReportState
    closed_at: datetime | None
    closed_by: SafeInt | None
    cursor: str

    @classmethod
    def of(cls, report: domain.Report) -> Self:
        """As the contract shows a report."""
        return cls(
            id=SafeInt(report.id),
            slug=report.slug,
            at=report.at,
            category=report.category,
            note=report.note,
            reporter_user_id=SafeInt(report.reporter_user_id),
            reporter_username=report.reporter_username,
            target_user_id=safe_int(report.target_user_id),
            target_username=report.target_username,
            message_id=safe_int(report.message_id),
            message_text=report.message_text,
            message_at=report.message_at,
            before_ids=[SafeInt(number) for number in report.before_ids],
            after_ids=[SafeInt(number) for number in report.after_ids],
            state=report.state,
            closed_at=report.closed_at,
            closed_by=safe_int(report.closed_by),
            cursor=encode_cursor(REPORTS, report.id),
        )


@strawberry.type
class UnbanRequest:
    """What a banned user asked."""

    id: SafeInt
    sanction_id: SafeInt
    slug: str | None
    user_id: SafeInt
    username: str | None
    text: str | None
    at: datetime
    state: unban.UnbanRequestState
    closed_at: datetime | None
    closed_by: SafeInt | None
    note: str | None
    cursor: str

    @classmethod
    def of(cls, request: unban.UnbanRequest) -> Self:
        """As the contract shows a request."""
        return cls(
            id=SafeInt(request.id),
            sanction_id=SafeInt(request.sanction_id),
            slug=request.slug,
            user_id=SafeInt(request.user_id),
            username=request.username,
            text=request.text,
            at=request.at,
            state=request.state,
            closed_at=request.closed_at,
            closed_by=safe_int(request.closed_by),
            note=request.note,
            cursor=encode_cursor(UNBAN_REQUESTS, request.id),
        )


@strawberry.type
class PastWarning:
    """A warning, in whatever state."""

    id: SafeInt
    reason: str
    moderator_user_id: SafeInt
    at: datetime
    state: cases.WarningState


@strawberry.type
class Note:
    """What a moderator wrote of somebody, for the moderators of a room alone."""

    id: SafeInt
    slug: str
    target_user_id: SafeInt | None
    target_username: str | None
    text: str
    author_user_id: SafeInt
    author_username: str
    at: datetime

    @classmethod
    def of(cls, note: cases.Note) -> Self:
        """As the contract shows a note."""
        return cls(
            id=SafeInt(note.id),
            slug=note.slug,
            target_user_id=safe_int(note.target_user_id),
            target_username=note.target_username,
            text=note.text,
            author_user_id=SafeInt(note.author_user_id),
            author_username=note.author_username,
            at=note.at,
        )


@strawberry.type
class KeptMessage:
    """A message that the log still has."""

    id: SafeInt
    at: datetime
    text: str


@strawberry.type
class UserCase:
    """What moderators of a room know of one person, each list newest first."""

    sanctions: list[Sanction]
    warnings: list[PastWarning]
    notes: list[Note]
    reports: list[Report]
    names: list[str]
    first_seen: datetime | None
    last_seen: datetime | None
    messages: list[KeptMessage] | None

    @classmethod
    def of(cls, case: cases.Case, *, now: datetime) -> Self:
        """As the contract shows a case at this time."""
        messages = None
        if case.messages is not None:
            messages = [KeptMessage(id=SafeInt(each.id), at=each.at, text=each.text) for each in case.messages]
        return cls(
            sanctions=[Sanction.of(sanction, now=now) for sanction in case.sanctions],
            warnings=[
                PastWarning(
                    id=SafeInt(each.id),
                    reason=each.reason,
                    moderator_user_id=SafeInt(each.moderator_user_id),
                    at=each.at,
                    state=each.state,
                )
                for each in case.warnings
            ],
            notes=[Note.of(note) for note in case.notes],
            reports=[Report.of(report) for report in case.reports],
            names=list(case.names),
            first_seen=case.first_seen,
            last_seen=case.last_seen,
            messages=messages,
        )

    @property
    def elements(self) -> int:
        """How many there are in all lists together."""
        lists = (self.sanctions, self.warnings, self.notes, self.reports, self.names, self.messages or ())
        return sum(map(len, lists))
