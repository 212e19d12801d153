"""What one case and many reports may take of the log and of the database."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chassis.errors import DatabaseUnavailable
from moderation.domain.admission import Now
from moderation.domain.cases import Case, Seen
from moderation.domain.commands import Receipt
from moderation.domain.erasures import LoggedMessage, LogRef
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.reports import ReportCategory, ReportOrder
from moderation.ports import Ports
from moderation.usecases.cases import get_case
from moderation.usecases.reports import file_report

LOG = LogRef(3, 7, 21)
ANA = Target(5, "")
NOW_MS = 100_000_000


class Log:
    """So many messages, the last one said now, as long before it each as told; every tenth is of Ana."""

    def __init__(self, count: int, apart_ms: int) -> None:
        self.said = [
            LoggedMessage(1_000 * n, NOW_MS - (count - n) * apart_ms, 6 if n % 10 else 5, "x", f"m{n}", "")
            for n in range(1, count + 1)
        ]
        self.batches = 0

    async def last_id(self, log: LogRef) -> int:
        assert log == LOG
        return self.said[-1].id

    async def messages(self, log: LogRef, up_to_id: int, *, since_ms: int) -> AsyncIterator[list[LoggedMessage]]:
        assert log == LOG
        found = [message for message in self.said if message.id <= up_to_id and message.at_ms >= since_ms]
        for start in range(0, len(found), 100):
            self.batches += 1
            yield found[start : start + 100]


class Store:
    async def case_of(
        self, slug: str, target: Target, *, with_reports: bool, with_everywhere: bool, since_ms: int
    ) -> Case:
        assert (slug, target, with_reports, with_everywhere, since_ms) == ("live", ANA, True, False, 0)
        return Case([], [], [], [], Seen(), [])


async def texts(log: Log) -> list[str]:
    ports = cast(Ports, SimpleNamespace(store=Store(), log=log, clock=lambda: Now(0, NOW_MS)))
    messages = (await get_case(ports, Moderator(9, Rank.MODERATOR), "live", ANA, LOG, token_rank=0)).messages
    assert messages is not None
    return [message.text for message in messages]


async def test_a_case_has_the_newest_messages_of_a_day_each_once() -> None:
    log = Log(500, 180_000)
    assert await texts(log) == [f"m{n}" for n in range(500, 19, -10)]
    assert log.batches < 15


async def test_of_a_busy_room_a_case_reads_only_so_much_and_leaves_no_gap() -> None:
    log = Log(20_000, 4_000)
    assert await texts(log) == [f"m{n}" for n in range(20_000, 19_000, -10)]
    shouted = Log(20_000, 500)
    assert len(await texts(shouted)) == 100
    lost = Log(20_000, 4_000)
    lost.said = [message._replace(user_id=6) if message.id > 10_000_000 else message for message in lost.said]
    assert await texts(lost) == []
    assert max(log.batches, shouted.batches, lost.batches) <= 51


def order(number: int) -> ReportOrder:
    return ReportOrder(Moderator(number, Rank.USER), "bob", "live", LOG, 0, ANA, ReportCategory.SPAM, "")


class Reports:
    """Keeps whoever reports until told."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.full, self.may_go = asyncio.Event(), asyncio.Event()

    async def reported_before(self, _order: ReportOrder, *, now_ms: int) -> None:
        assert now_ms == NOW_MS
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == 3:
            self.full.set()
        await self.may_go.wait()

    async def file_report(self, *_what: Any, now_ms: int) -> Receipt:
        self.now -= 1
        return Receipt(0)


def reports_of(store: Reports) -> Ports:
    return cast(Ports, SimpleNamespace(store=store, reporting=asyncio.Semaphore(3), clock=lambda: Now(0, NOW_MS)))


async def test_of_many_reports_three_are_worked_on_at_once() -> None:
    store = Reports()
    ports = reports_of(store)
    running = asyncio.gather(*(file_report(ports, order(number)) for number in range(11, 31)))
    await store.full.wait()
    store.may_go.set()
    assert len(await running) == 20
    assert store.most == 3


async def test_who_waits_too_long_for_others_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moderation.usecases.reports._WAIT_S", 0.01)
    store = Reports()
    ports = reports_of(store)
    running = asyncio.gather(*(file_report(ports, order(number)) for number in range(11, 14)))
    await store.full.wait()
    with pytest.raises(DatabaseUnavailable):
        await file_report(ports, order(14))
    store.may_go.set()
    assert len(await running) == 3
