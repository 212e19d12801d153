"""Calls in flight are bounded in number, and finish what they began."""

import asyncio

import pytest
import structlog

from rooms.api.in_flight import InFlight, finish
from rooms.errors import TooManyInFlight


async def _wait_for(event: asyncio.Event) -> str:
    await event.wait()
    return "done"


async def test_what_the_work_gives_or_raises_reaches_the_caller() -> None:
    async def fail() -> None:
        raise ValueError("no")

    calls, event = InFlight(2), asyncio.Event()
    event.set()

    assert await calls.run("call", _wait_for(event), deadline_s=1) == "done"
    with pytest.raises(ValueError, match="no"):
        await calls.run("call", fail(), deadline_s=1)


async def test_one_more_than_allowed_is_refused_and_the_place_is_given_back() -> None:
    calls, event = InFlight(1), asyncio.Event()
    first = asyncio.create_task(calls.run("call", _wait_for(event), deadline_s=5))
    await asyncio.sleep(0)

    with pytest.raises(TooManyInFlight):
        await calls.run("call", _wait_for(event), deadline_s=5)
    event.set()
    assert await first == "done"
    assert await calls.run("call", _wait_for(event), deadline_s=5) == "done"


async def test_work_whose_caller_is_cancelled_goes_on_to_its_end() -> None:
    calls, event, ends = InFlight(1), asyncio.Event(), list[str]()

    async def work() -> None:
        ends.append(await _wait_for(event))

    caller = asyncio.create_task(calls.run("call", work(), deadline_s=5))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    event.set()
    await finish(calls, deadline_s=5)

    assert ends == ["done"]


async def test_work_that_fails_after_its_caller_left_disturbs_nobody() -> None:
    calls, event = InFlight(1), asyncio.Event()

    async def fail() -> None:
        await event.wait()
        raise ValueError("late")

    with pytest.raises(TimeoutError):
        await calls.run("call", fail(), deadline_s=0)
    event.set()
    await finish(calls, deadline_s=5)
    await finish(calls, deadline_s=5)


async def test_work_that_is_cancelled_from_within_leaves_nothing_behind() -> None:
    calls = InFlight(1)

    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await calls.run("call", give_up(), deadline_s=1)
    await finish(calls, deadline_s=5)


async def test_what_does_not_end_within_the_deadline_is_named_in_one_line_of_the_log_and_cancelled() -> None:
    calls, ends = InFlight(3), list[str]()

    async def hang(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(name)

    tasks = [calls.begin(name, hang(name)) for name in ("b", "a")]
    with structlog.testing.capture_logs() as lines:
        await finish(calls, deadline_s=0.01)

    assert lines == [{"event": "calls_not_ended", "log_level": "error", "calls": ["a", "b"]}]
    assert sorted(ends) == ["a", "b"]
    assert all(task.cancelled() for task in tasks)
