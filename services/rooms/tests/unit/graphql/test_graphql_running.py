"""Executions are bounded, and finish what they began."""

import asyncio

import pytest

from rooms.api.graphql.running import Executions, TooManyExecutions


async def _wait_for(event: asyncio.Event) -> str:
    await event.wait()
    return "done"


async def test_what_the_work_gives_or_raises_reaches_the_caller() -> None:
    async def fail() -> None:
        raise ValueError("no")

    executions, event = Executions(2), asyncio.Event()
    event.set()

    assert await executions.run(_wait_for(event), deadline_s=1) == "done"
    with pytest.raises(ValueError, match="no"):
        await executions.run(fail(), deadline_s=1)


async def test_one_more_than_allowed_is_refused_and_the_place_is_given_back() -> None:
    executions, event = Executions(1), asyncio.Event()
    first = asyncio.create_task(executions.run(_wait_for(event), deadline_s=5))
    await asyncio.sleep(0)

    with pytest.raises(TooManyExecutions):
        await executions.run(_wait_for(event), deadline_s=5)
    event.set()
    assert await first == "done"
    assert await executions.run(_wait_for(event), deadline_s=5) == "done"


async def test_work_whose_caller_is_cancelled_goes_on_to_its_end() -> None:
    executions, event, ends = Executions(1), asyncio.Event(), list[str]()

    async def work() -> None:
        ends.append(await _wait_for(event))

    caller = asyncio.create_task(executions.run(work(), deadline_s=5))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    event.set()
    await executions.finish()

    assert ends == ["done"]


async def test_work_that_fails_after_its_caller_left_disturbs_nobody() -> None:
    executions, event = Executions(1), asyncio.Event()

    async def fail() -> None:
        await event.wait()
        raise ValueError("late")

    with pytest.raises(TimeoutError):
        await executions.run(fail(), deadline_s=0)
    event.set()
    await executions.finish()
    await executions.finish()


async def test_work_that_is_cancelled_from_within_leaves_nothing_behind() -> None:
    executions = Executions(1)

    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await executions.run(give_up(), deadline_s=1)
    await executions.finish()
