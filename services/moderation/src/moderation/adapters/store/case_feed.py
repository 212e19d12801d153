"""Reports and unban requests as the moderators' feed shows them. Who reported is not in it: all moderators read it;
whom a report is about is left out where it is passed on."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from moderation.adapters.store.feed import append_feed_event
from moderation.adapters.store.reports import list_reports
from moderation.adapters.store.unban_requests import list_requests
from moderation.domain.reports import Report, ReportQuery, ReportState
from moderation.domain.unban_requests import RequestQuery, RequestState, UnbanRequest

REPORT_RESOLVED = "report_resolved"
REQUEST_DECIDED = "unban_request_decided"
"""Kinds of the events of decisions, which have audit rows."""


async def tell_report(report: Report) -> None:
    """It was filed. Only by who has the lock of commands, as the next one."""
    await append_feed_event(report.slug, "report", shown_report(report), now_ms=report.created_at_ms)


async def tell_request(request: UnbanRequest) -> None:
    """It was made. What holds everywhere is told to no room."""
    if request.slug is not None:
        data = shown_request(request)
        await append_feed_event(request.slug, "unban_request", data, now_ms=request.created_at_ms)


async def open_reports(slug: str, first: int, since_ms: int = 0, *, not_about: int) -> Sequence[Mapping[str, Any]]:
    """The newest that wait, newest first, but for those about that user."""
    query = ReportQuery(slug, ReportState.OPEN, not_about=not_about, since_ms=since_ms)
    return [shown_report(report) for report in await list_reports(query, first=first, before_id=None)]


async def open_requests(slug: str, first: int, since_ms: int = 0) -> Sequence[Mapping[str, Any]]:
    """The same of unban requests."""
    query = RequestQuery(slug, RequestState.OPEN, since_ms=since_ms)
    return [shown_request(request) for request in await list_requests(query, first=first, before_id=None)]


def shown_report(report: Report) -> dict[str, Any]:
    """A report in the words of frames."""
    message = report.message
    return {
        "report_id": report.id,
        "category": report.category.name.lower(),
        "note": report.note,
        "target_user_id": report.target.user_id or None,
        "target_username": report.target_username or None,
        "message_id": None if message is None else message.id,
        "message": None if message is None else message.text,
        "reported_at": _rfc3339(report.created_at_ms),
    }


def shown_request(request: UnbanRequest) -> dict[str, Any]:
    """An unban request in the words of frames."""
    return {
        "unban_request_id": request.id,
        "sanction_id": request.sanction_id,
        "user_id": request.user_id,
        "username": request.username,
        "text": request.text,
        "requested_at": _rfc3339(request.created_at_ms),
    }


def _rfc3339(unix_ms: int) -> str:
    seconds, ms = divmod(unix_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03}Z"
