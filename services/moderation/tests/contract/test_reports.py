"""Reports in the database, on SQLite and on PostgreSQL."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from chassis.database import Database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import AuditRow, ReportRow
from moderation.domain import reports as domain
from moderation.domain.audit import AuditQuery
from moderation.domain.erasures import NO_ORIGIN, LoggedMessage, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.reports import (
    Neighbours,
    Report,
    ReportCategory,
    ReportedMessage,
    ReportOrder,
    ReportQuery,
    ReportState,
    ResolveCommand,
    ResolveOrder,
    decide_report,
)
from moderation.errors import AlreadyDecided, NotPermitted, TooManyReports
from moderation.ports import Store

pytestmark = pytest.mark.integration
ANA, GUEST = Target(5, ""), Target(0, "Anonymous_10.0.0.6")
LOG = LogRef(3, 7, 21)
AROUND = Neighbours((515, 516), (1029,))
MINUTE_MS = 60_000


def said(message_id: int = 773, *, user_id: int = 5, text: str = "buy\0now") -> LoggedMessage:
    return LoggedMessage(message_id, 900, user_id, "ana" if user_id else GUEST.username, text, "key")


def order(by: int = 6, *, message_id: int = 773, target: Target | None = None, slug: str = "live") -> ReportOrder:
    reporter = Moderator(by, Rank.USER)
    return ReportOrder(reporter, f"user_{by}", slug, LOG, message_id, target, ReportCategory.HATE, "again")


async def file(
    store: Store, by: int = 6, *, message: LoggedMessage | None = None, slug: str = "live", now_ms: int = 1_000
) -> Report:
    message = said() if message is None else message
    filed = order(by, message_id=message.id, slug=slug)
    found = (await store.file_report(filed, message, AROUND, now_ms=now_ms)).report
    assert found is not None
    return found


def resolution(
    report: Report, state: ReportState = ReportState.ACTIONED, *, by: int = 9, origin: Origin = NO_ORIGIN
) -> ResolveOrder:
    return ResolveOrder(
        ResolveCommand(Moderator(by, Rank.MODERATOR), report.slug, report.id, state, "muted"), origin=origin
    )


async def resolve(store: Store, wanted: ResolveOrder, *, now_ms: int = 2_000) -> Report:
    decide = partial(decide_report, wanted.command, now_ms=now_ms)
    found = (await store.resolve_report(wanted, decide, now_ms=now_ms)).report
    assert found is not None
    return found


async def test_a_report_keeps_the_message_its_author_and_the_ids_around_it(store: Store) -> None:
    filed = await file(store)
    expected = Report(
        filed.id,
        "live",
        6,
        "user_6",
        ReportCategory.HATE,
        "again",
        ANA,
        "ana",
        ReportedMessage(773, 900, "buy\N{REPLACEMENT CHARACTER}now", AROUND),
        1_000,
    )
    assert filed == expected == await store.find_report(filed.id)
    assert await store.list_reports(ReportQuery("live", ReportState.OPEN), first=9, before_id=None) == [expected]
    assert await store.find_report(filed.id + 1) is None
    assert await AuditRow.all().count() == 0


async def test_one_a_reporter_and_message_whatever_became_of_it_and_of_a_person_one_that_is_open(store: Store) -> None:
    first = await file(store)
    again = await store.file_report(order(), said(), AROUND, now_ms=2_000)
    assert (again.repeated, again.report) == (True, first)
    assert await store.reported_before(order(), now_ms=2_000) == first
    await resolve(store, resolution(first))
    assert (await store.file_report(order(), said(), AROUND, now_ms=3_000)).repeated
    assert (await file(store, 7)).id != first.id
    for target in (ANA, GUEST):
        of_person = order(message_id=0, target=target)
        one = (await store.file_report(of_person, None, Neighbours(), now_ms=3_000)).report
        assert one is not None
        assert (one.target, one.message) == (target, None)
        assert (await store.file_report(of_person, None, Neighbours(), now_ms=3_000)).report == one
        await resolve(store, resolution(one))
        other = (await store.file_report(of_person, None, Neighbours(), now_ms=3_000)).report
        assert other is not None
        assert other.id != one.id


async def test_five_in_ten_minutes_over_all_rooms_and_replicas_however_many_come_at_once(
    store: Store, database: Database
) -> None:
    replicas = [store, TortoiseStore(database)]
    answers = await asyncio.gather(
        *(file(replicas[n % 2], message=said(1_000 + n), slug=f"s{n % 3}", now_ms=1_000 + n) for n in range(12)),
        return_exceptions=True,
    )
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert [type(answer) for answer in refused] == [TooManyReports] * 7
    assert await ReportRow.all().count() == 5
    await file(store, 7, message=said(2_000), now_ms=1_020)
    with pytest.raises(TooManyReports) as told:
        await store.reported_before(order(message_id=3_000), now_ms=5 * MINUTE_MS)
    first_ms = min([row.created_at_ms for row in await ReportRow.filter(reporter_user_id=6)])
    assert told.value.retry_after_ms == first_ms + 5 * MINUTE_MS
    await file(store, message=said(3_000), now_ms=first_ms + 10 * MINUTE_MS)


async def test_a_resolution_is_kept_once_with_its_audit_row_and_who_decided(store: Store) -> None:
    filed = await file(store, message=said(user_id=0))
    wanted = resolution(filed, origin=Origin("", 0, "n1"))
    decided = await resolve(store, wanted)
    assert decided == replace(filed, state=ReportState.ACTIONED, closed_at_ms=2_000, closed_by=9)
    assert await resolve(store, wanted, now_ms=3_000) == decided
    earlier = await store.earlier(wanted, now_ms=3_000)
    assert earlier is not None
    assert (earlier.repeated, earlier.report) == (True, decided)
    with pytest.raises(AlreadyDecided):
        await resolve(store, resolution(filed, ReportState.DISMISSED, by=8))
    ((row, _),) = await store.audit_log(AuditQuery("live"), first=9, before_id=None)
    assert (row.action, row.actor_user_id, row.reason, row.message_id, row.message_text) == (28, 9, "muted", 773, None)
    assert (row.target_user_id, row.target_username) == GUEST
    assert row.details == {"report_id": filed.id, "resolution": 2}
    assert (await store.verify_part("live", 0, first=9)).problem is None


async def test_of_two_decisions_at_once_one_holds(store: Store) -> None:
    filed = await file(store)
    wanted = [resolution(filed, state, by=by) for state, by in ((ReportState.ACTIONED, 8), (ReportState.DISMISSED, 9))]
    answers = await asyncio.gather(*(resolve(store, each) for each in wanted), return_exceptions=True)
    (decided,) = [answer for answer in answers if isinstance(answer, Report)]
    assert await store.find_report(filed.id) == decided
    assert await AuditRow.all().count() == 1


async def test_what_is_refused_leaves_no_trace(store: Store) -> None:
    filed = await file(store)
    with pytest.raises(NotPermitted):
        await resolve(store, resolution(filed, by=5))
    assert (await store.find_report(filed.id), await AuditRow.all().count()) == (filed, 0)


async def test_reports_are_listed_newest_first_by_room_state_and_whom_they_are_about(store: Store) -> None:
    first, guests, elsewhere = [
        await file(store, 6 + n, message=said(800 + n, user_id=0 if n == 1 else 5), slug="other" if n == 2 else "live")
        for n in range(3)
    ]
    gone = await resolve(store, resolution(first))

    async def listed(query: ReportQuery, *, before_id: int | None = None) -> list[Report]:
        return await store.list_reports(query, first=9, before_id=before_id)

    assert await listed(ReportQuery()) == [elsewhere, guests, gone]
    assert await listed(ReportQuery(), before_id=elsewhere.id) == [guests, gone]
    assert await listed(ReportQuery("live")) == [guests, gone]
    assert await listed(ReportQuery("live", ReportState.OPEN)) == [guests]
    assert await listed(ReportQuery(target=ANA)) == [elsewhere, gone]
    assert await listed(ReportQuery(target=GUEST)) == [guests]
    assert await listed(ReportQuery(not_about=5)) == [guests]


async def test_of_too_many_open_ones_of_a_room_the_oldest_expires(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderation.adapters.store.reports.MOST_OPEN_REPORTS", 2)
    assert domain.MOST_OPEN_REPORTS == 1_000
    elsewhere = await file(store, 20, message=said(700), slug="other")
    filed = [await file(store, 6 + n, message=said(800 + n), now_ms=1_000 + n) for n in range(3)]
    found = await store.list_reports(ReportQuery(), first=9, before_id=None)
    assert [each.id for each in found if each.state is ReportState.OPEN] == [filed[2].id, filed[1].id, elsewhere.id]
    expired = await store.find_report(filed[0].id)
    assert expired == replace(filed[0], state=ReportState.EXPIRED, closed_at_ms=1_002)


async def test_and_of_those_that_expired_so_the_oldest_go_but_none_that_was_decided(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderation.adapters.store.reports.MOST_OPEN_REPORTS", 2)
    monkeypatch.setattr("moderation.adapters.store.reports.MOST_EXPIRED_REPORTS", 1)
    assert domain.MOST_EXPIRED_REPORTS == 2_000
    decided = await file(store, 20, message=said(700))
    await resolve(store, resolution(decided))
    filed = [await file(store, 30 + n, message=said(800 + n), now_ms=1_000 + n) for n in range(5)]
    found = await store.list_reports(ReportQuery(), first=9, before_id=None)
    assert [each.id for each in found] == [filed[4].id, filed[3].id, filed[2].id, decided.id]
    assert await store.find_report(filed[1].id) is None


async def test_what_was_said_goes_with_the_evidence_and_the_report_with_the_history(store: Store) -> None:
    old, guests = await file(store), await file(store, 7, message=said(774, user_id=0))
    new = await file(store, 8, message=said(775), now_ms=9_000)
    await resolve(store, resolution(guests))
    await store.erase_evidence(5_000, now_ms=10_000)
    bare = replace(old, note="", reporter_username="", message=ReportedMessage(773, 900, "", AROUND))
    assert await store.find_report(old.id) == replace(bare, state=ReportState.EXPIRED, closed_at_ms=10_000)
    erased = await store.find_report(guests.id)
    assert erased is not None
    assert (erased.target_username, erased.state, erased.closed_by) == ("Anonymous", ReportState.ACTIONED, 9)
    assert await store.find_report(new.id) == new
    await store.delete_history(5_000)
    assert [row.id for row in await ReportRow.all()] == [new.id]


async def test_a_category_and_a_state_of_a_later_version_are_read_as_what_is_nearest(store: Store) -> None:
    filed = await file(store)
    await ReportRow.filter(id=filed.id).update(category=99, state=99)
    known = await store.find_report(filed.id)
    assert known is not None
    assert (known.category, known.state) == (ReportCategory.OTHER, ReportState.EXPIRED)
    assert (await store.file_report(order(), said(), AROUND, now_ms=2_000)).repeated
