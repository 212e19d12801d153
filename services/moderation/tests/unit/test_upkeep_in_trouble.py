"""usecases/upkeep.py while its database fails: what is asked again, how soon, and what is left alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from structlog.testing import capture_logs

from moderation.domain.admission import Admission, Limits, Now
from moderation.domain.book import SanctionBook
from moderation.domain.order import Moderator, Order
from moderation.domain.people import Rank, Speaker, Target
from moderation.domain.sanction import Action, Sanction, SanctionEvent, Scope
from moderation.domain.sightings import Sighting, SightingBuffer
from moderation.ports import DatabaseUnavailable, Events, OutcomeUnknown, Store
from moderation.usecases import upkeep as module
from moderation.usecases.desk import Desk
from moderation.usecases.upkeep import Retention, Upkeep

Eventually: TypeAlias = Callable[..., Awaitable[None]]
ANA = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
MUTE = Order(Moderator(9, Rank.ADMIN), Action.MUTE, Target(5, ""), None, Scope.ROOM, "live", 0, "")


class FakeClock:
    def now(self) -> Now:
        return Now(0, 1_000)


class FakeEvents:
    is_connected = True

    async def publish(self, event: SanctionEvent) -> None: ...


class FailingStore:
    """Counts, and raises what it is told to."""

    def __init__(self) -> None:
        self.reads = 0
        self.writes = 0
        self.problem: Exception | None = None
        self.read_problem: Exception | None = None
        self.reading = asyncio.Event()
        self.reading.set()

    async def standing(self, **_: int) -> list[Sanction]:
        self.reads += 1
        await self.reading.wait()
        if self.read_problem:
            raise self.read_problem
        return []

    async def write_sightings(self, sightings: Mapping[Sighting, int]) -> None:
        self.writes += 1
        if self.problem:
            raise self.problem

    async def change(self, *_: object, **__: object) -> SanctionEvent:
        assert self.problem is not None
        raise self.problem

    async def seen_addresses(self, *_: object, **__: object) -> list[str]:
        return []

    async def forget_sightings(self, before_ms: int) -> None: ...

    async def end_expired(self, before_ms: int) -> None: ...

    async def erase_evidence(self, before_ms: int, *, now_ms: int) -> None: ...

    async def delete_history(self, before_ms: int) -> None: ...


class Subject:
    def __init__(self) -> None:
        self.fake = FailingStore()
        book, sightings = SanctionBook(), SightingBuffer()
        self.admission = Admission(Limits(10, 10, 100), book, sightings)
        store: Any = self.fake
        events: Events = FakeEvents()
        typed: Store = store
        self.upkeep = Upkeep(typed, events, FakeClock(), book, sightings, self.admission, Retention(90, 30))
        self.desk = Desk(
            typed, events, FakeClock(), book, sightings, self.admission, outcome_unknown=self.upkeep.read_soon
        )

    async def wrote(self, count: int) -> bool:
        return self.fake.writes >= count

    async def read(self, count: int) -> bool:
        return self.fake.reads >= count

    async def answers(self) -> bool:
        return self.upkeep.is_store_answering


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_EVERY_S", 0.001)
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.002)
    monkeypatch.setattr(module, "RETRY_LONGEST_S", 0.004)


@asynccontextmanager
async def running(subject: Subject) -> AsyncIterator[None]:
    task = asyncio.create_task(subject.upkeep.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_writes_that_fail_are_tried_again_and_do_not_have_everything_read(eventually: Eventually) -> None:
    subject = Subject()
    subject.admission.sight(ANA, "live", 1_000)
    subject.fake.problem = DatabaseUnavailable("too busy")
    async with running(subject):
        await eventually(lambda: subject.wrote(5))
        assert not subject.upkeep.is_store_answering
        assert subject.fake.reads == 0
        subject.fake.problem = None
        await eventually(subject.answers)


async def test_a_change_whose_outcome_is_not_known_has_the_sanctions_read_and_one_that_failed_has_not(
    eventually: Eventually,
) -> None:
    subject = Subject()
    async with running(subject):
        subject.fake.problem = DatabaseUnavailable("away")
        with pytest.raises(DatabaseUnavailable):
            await subject.desk.act(MUTE)
        await asyncio.sleep(0)
        assert subject.fake.reads == 0
        subject.fake.problem = OutcomeUnknown("late")
        with pytest.raises(OutcomeUnknown):
            await subject.desk.act(MUTE)
        await eventually(lambda: subject.read(1))


async def test_whoever_asks_while_the_sanctions_are_read_shares_the_next_reading(eventually: Eventually) -> None:
    subject = Subject()
    subject.fake.reading.clear()
    async with running(subject):
        subject.upkeep.read_soon()
        await eventually(lambda: subject.read(1))
        for _ in range(100):
            subject.upkeep.read_soon()
        subject.fake.reading.set()
        await eventually(lambda: subject.read(2))
        subject.admission.sight(ANA, "live", 1_000)
        await eventually(lambda: subject.wrote(1))
        assert subject.fake.reads == 2


async def test_a_reading_that_fails_is_repeated_until_it_is_answered(eventually: Eventually) -> None:
    subject = Subject()
    subject.fake.read_problem = DatabaseUnavailable("away")
    async with running(subject):
        subject.upkeep.read_soon()
        await eventually(lambda: subject.read(4))
        assert not subject.upkeep.is_store_answering
        subject.fake.read_problem = None
        await eventually(subject.answers)


async def test_a_mistake_of_ours_is_logged_with_its_trace_and_ends_nothing(eventually: Eventually) -> None:
    subject = Subject()
    subject.admission.sight(ANA, "live", 1_000)
    subject.fake.problem = ZeroDivisionError("ours")
    with capture_logs() as lines:
        async with running(subject):
            await eventually(lambda: subject.wrote(2))
            subject.fake.problem = None
            await eventually(subject.answers)
    (first, *_) = lines
    assert (first["event"], first["log_level"], first["exc_info"]) == ("sightings_not_written", "error", True)
