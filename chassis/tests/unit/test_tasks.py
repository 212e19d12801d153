"""tasks.py: what is stopped ends."""

import asyncio
from contextlib import suppress

import pytest
import structlog

from chassis import tasks
from chassis.tasks import SLICE, Tasks, in_slices, repeat, to_its_end


async def test_what_is_stopped_has_ended() -> None:
    owner = Tasks()
    owner.spawn(asyncio.sleep(3600), "sleeper")
    await owner.stop()
    assert len(owner) == 0


async def test_a_task_that_loses_its_cancellation_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_CANCEL_AGAIN_S", 0.01)

    async def loses_one() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    owner = Tasks()
    owner.spawn(loses_one(), "connecting")
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await owner.stop()
    assert len(owner) == 0


async def test_what_never_ends_is_named_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_CANCEL_AGAIN_S", 0.01)
    free = asyncio.Event()

    async def clings() -> None:
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()

    owner = Tasks()
    owner.spawn(clings(), "clinging")
    await asyncio.sleep(0)
    with structlog.testing.capture_logs() as logs:
        async with asyncio.timeout(5):
            await owner.stop()
    assert [(line["event"], line["tasks"]) for line in logs] == [("tasks_not_ended", ["clinging"])]
    free.set()
    await asyncio.sleep(0)


async def test_a_failure_is_logged_and_does_not_keep_the_others_from_ending() -> None:
    async def fails() -> None:
        raise ZeroDivisionError

    owner = Tasks()
    owner.spawn(fails(), "failing")
    owner.spawn(asyncio.sleep(3600), "sleeper")
    with structlog.testing.capture_logs() as logs:
        await asyncio.sleep(0)
        await owner.stop()
    assert len(owner) == 0
    assert [(line["event"], line["task"]) for line in logs] == [("task_failed", "failing")]


async def test_what_must_not_be_broken_off_comes_to_its_end_however_often_its_caller_is_cancelled() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def transaction() -> None:
        begun.set()
        await go_on.wait()
        ended.append("committed")

    caller = asyncio.create_task(to_its_end(transaction()))
    await begun.wait()
    for _ in range(3):
        caller.cancel()
        await asyncio.sleep(0)
    assert not caller.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended == ["committed"]


async def test_what_comes_to_its_end_gives_its_result_or_what_it_raises() -> None:
    async def answer(value: int) -> int:
        return 6 // value

    assert await to_its_end(answer(2)) == 3
    with pytest.raises(ZeroDivisionError):
        await to_its_end(answer(0))


async def test_a_job_that_fails_is_done_again_until_it_is_cancelled() -> None:
    turns = asyncio.Queue[int]()

    async def job() -> None:
        turns.put_nowait(turns.qsize())
        raise ZeroDivisionError

    with structlog.testing.capture_logs() as logs:
        work = asyncio.create_task(repeat(0, job))
        async with asyncio.timeout(5):
            for _ in range(3):
                await turns.get()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    assert [(line["event"], line["exc_info"]) for line in logs] == [("background_job_failed", True)]


async def test_after_each_slice_the_loop_has_its_turn() -> None:
    done: list[int] = []
    seen: list[int] = []

    async def look() -> None:
        while len(done) < 10:
            seen.append(len(done))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    await in_slices(range(10), done.append, size=4)
    await looking
    assert done == list(range(10))
    assert set(seen) >= {4, 8}


async def test_the_first_slice_is_done_at_once_and_the_rest_by_a_task() -> None:
    owner = Tasks()
    done: list[int] = []
    owner.go_through(range(SLICE), done.append, "few")
    assert (len(done), len(owner)) == (SLICE, 0)
    owner.go_through(range(SLICE, 3 * SLICE), done.append, "many")
    assert (len(done), len(owner)) == (2 * SLICE, 1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(owner) == 0
    assert done == list(range(3 * SLICE))
