"""What viewers report, and what moderators decide about it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from chassis.errors import DatabaseUnavailable
from moderation.domain.commands import Receipt
from moderation.domain.erasures import LoggedMessage
from moderation.domain.people import Moderator
from moderation.domain.reports import (
    NEIGHBOURS,
    Neighbours,
    Report,
    ReportOrder,
    ReportQuery,
    ReportState,
    ResolveOrder,
    decide_report,
    demand_other,
    may_read_reports,
    may_report,
)
from moderation.errors import MessageNotFound, NotPermitted, ReportNotFound
from moderation.ports import Ports
from moderation.usecases.queries import LARGEST_PAGE

_WAIT_S = 1.5
"""So long a report waits for others: with what it takes itself less than edges wait for the answer."""


async def file_report(ports: Ports, order: ReportOrder) -> Receipt:
    """Keep a report, with the message as the log has it now. Whoever reports the same again is answered alike. Raises
    NotPermitted, MessageNotFound, TooManyReports, LogUnavailable, DatabaseUnavailable; OutcomeUnknown where it may be
    kept."""
    if not may_report(order):
        raise NotPermitted
    async with _place(ports):
        return await _file_report(ports, order)


@asynccontextmanager
async def _place(ports: Ports) -> AsyncIterator[None]:
    """Where many report at once the others wait here, not for the connections and the log that moderators need."""
    try:
        async with asyncio.timeout(_WAIT_S):
            await ports.reporting.acquire()
    except TimeoutError:
        raise DatabaseUnavailable("too many report at once") from None
    try:
        yield
    finally:
        ports.reporting.release()


async def _file_report(ports: Ports, order: ReportOrder) -> Receipt:
    known = await ports.store.reported_before(order, now_ms=ports.clock().wall_ms)
    if known is not None:
        return Receipt(0, repeated=True, report=known)
    message, neighbours = await _message_of(ports, order) if order.message_id else (None, Neighbours())
    return await ports.store.file_report(order, message, neighbours, now_ms=ports.clock().wall_ms)


async def _message_of(ports: Ports, order: ReportOrder) -> tuple[LoggedMessage, Neighbours]:
    """What is pinned is known also where the log has let go of it."""
    if order.log is None:
        raise MessageNotFound
    message = await ports.log.find(order.log, order.message_id)
    if message is not None:
        demand_other(order, message)
        return message, await ports.log.neighbours(order.log, message, count=NEIGHBOURS)
    for pin in await ports.store.pins_of([order.slug]):
        message = pin.message_in(order.log)
        if message is not None and message.id == order.message_id:
            demand_other(order, message)
            return message, Neighbours()
    raise MessageNotFound


async def resolve_report(ports: Ports, order: ResolveOrder) -> Receipt:
    """Decide about a report. Raises NotPermitted, ReportNotFound, AlreadyDecided, DatabaseUnavailable; OutcomeUnknown
    where it may be decided."""
    now_ms = ports.clock().wall_ms
    return await ports.store.resolve_report(order, partial(decide_report, order.command, now_ms=now_ms), now_ms=now_ms)


async def list_reports(
    ports: Ports, reader: Moderator, slug: str | None, state: ReportState | None, *, first: int, before_id: int | None
) -> list[Report]:
    """A page, newest first, of 0 to LARGEST_PAGE whatever `first` says; slug None: of every slug, state None: in any.
    What is about the reader is left out: who reported them is not theirs to know. Raises NotPermitted,
    DatabaseUnavailable."""
    if reader.user_id == 0 or not may_read_reports(reader.rank, slug):
        raise NotPermitted
    query = ReportQuery(slug, state, not_about=reader.user_id, since_ms=reader.owned_since_ms)
    return await ports.store.list_reports(query, first=min(max(first, 0), LARGEST_PAGE), before_id=before_id)


async def slug_of_report(ports: Ports, report_id: int) -> str:
    """Where it was filed. Raises ReportNotFound, DatabaseUnavailable."""
    report = await ports.store.find_report(report_id)
    if report is None:
        raise ReportNotFound
    return report.slug
