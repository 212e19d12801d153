"""Rooms that open at once share what they read."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chassis.tasks import Tasks
from ws_edge.chat.shared_reading import SharedReading
from ws_edge.errors import RoomsUnavailable
from ws_edge.ports import gather_s
from ws_edge.protocol.identity import Slug


class Service:
    """Answers one question after the other."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.failures: list[Exception] = []
        self.under_way = 0

    def hold(self, number: int) -> asyncio.Event:
        """Answer that question, counted from 1, when this is set."""
        return self.gates.setdefault(number, asyncio.Event())

    async def read(self, slugs: list[Slug]) -> None:
        self.asked.append(list(slugs))
        self.under_way += 1
        assert self.under_way == 1
        try:
            if gate := self.gates.get(len(self.asked)):
                await gate.wait()
            if self.failures:
                raise self.failures.pop(0)
        finally:
            self.under_way -= 1


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def reading(service: Service) -> AsyncIterator[SharedReading]:
    tasks = Tasks()
    yield SharedReading(service.read, RoomsUnavailable, tasks, "read")
    await tasks.stop()


def ask(reading: SharedReading, *slugs: str) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(reading.ask(Slug(slug))) for slug in slugs]


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_those_of_one_turn_are_read_together_and_those_who_come_meanwhile_share_the_next_question(
    service: Service, reading: SharedReading
) -> None:
    gate = service.hold(1)
    first = ask(reading, "a", "b", "a")
    await turns()
    later = ask(reading, "c")
    await turns()
    later += ask(reading, "d", "c")
    await turns()
    assert service.asked == [["a", "b"]]
    gate.set()
    await asyncio.gather(*first, *later)
    assert service.asked == [["a", "b"], ["c", "d"]]


async def test_what_is_being_read_is_read_again_for_who_asks_meanwhile(
    service: Service, reading: SharedReading
) -> None:
    gate = service.hold(1)
    first = ask(reading, "a")
    await turns()
    again = ask(reading, "a")
    await turns()
    gate.set()
    await asyncio.gather(*first, *again)
    assert service.asked == [["a"], ["a"]]


async def test_behind_a_question_of_one_nobody_waits_and_behind_one_of_several_the_next_is_gathered(
    service: Service, reading: SharedReading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ws_edge.ports._GATHER_A_QUESTION_S", 3_600.0)
    monkeypatch.setattr("ws_edge.ports._LONGEST_GATHER_S", 7_200.0)
    first, second = service.hold(1), service.hold(2)
    alone = ask(reading, "a")
    await turns()
    together = ask(reading, "b", "c")
    await turns()
    first.set()
    await asyncio.gather(*alone)
    (late,) = ask(reading, "d")
    await turns()
    second.set()
    await asyncio.gather(*together)
    await turns()
    assert (service.asked, late.done()) == ([["a"], ["b", "c"]], False)
    late.cancel()


async def test_who_cannot_be_answered_is_told_and_the_next_question_goes_on(
    service: Service, reading: SharedReading
) -> None:
    gate = service.hold(1)
    service.failures = [RoomsUnavailable("away")]
    first = ask(reading, "a", "b")
    await turns()
    later = ask(reading, "c")
    await turns()
    gate.set()
    outcomes = await asyncio.gather(*first, *later, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RoomsUnavailable, RoomsUnavailable, type(None)]


async def test_a_defect_keeps_nobody_waiting_and_who_asks_later_is_answered(
    service: Service, reading: SharedReading
) -> None:
    gate = service.hold(1)
    service.failures = [ZeroDivisionError()]
    first = ask(reading, "a")
    await turns()
    first += ask(reading, "b")
    await turns()
    gate.set()
    outcomes = await asyncio.gather(*first, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RoomsUnavailable] * 2
    await reading.ask(Slug("c"))
    assert service.asked == [["a"], ["c"]]


async def test_who_stops_waiting_takes_nobody_elses_answer_along(service: Service, reading: SharedReading) -> None:
    gate = service.hold(1)
    gone, there = ask(reading, "a", "a")
    await turns()
    gone.cancel()
    await turns()
    gate.set()
    await there
    assert gone.cancelled()


@pytest.mark.parametrize(
    ("before", "pause_s"),
    [
        pytest.param(0, 0.0, id="nothing was asked"),
        pytest.param(1, 0.0, id="alone"),
        pytest.param(2, 0.001, id="two"),
        pytest.param(12, 0.006, id="some"),
        pytest.param(20, 0.01, id="many"),
        pytest.param(500, 0.01, id="more"),
    ],
)
def test_the_more_came_before_the_longer_the_next_question_is_gathered(before: int, pause_s: float) -> None:
    assert gather_s(before) == pytest.approx(pause_s)


async def test_whoever_asks_is_answered_also_where_the_reading_is_ended_before_it_has_begun(service: Service) -> None:
    tasks = Tasks()
    reading = SharedReading(service.read, RoomsUnavailable, tasks, "read")
    (asking,) = ask(reading, "a")
    await turns(2)  # the reading waits for the rest of its turn
    await tasks.stop()
    with pytest.raises(RoomsUnavailable):
        await asyncio.wait_for(asking, 1.0)
    assert service.asked == []
