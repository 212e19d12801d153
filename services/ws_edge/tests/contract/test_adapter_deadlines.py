"""What is answered, too late, or waited for no longer."""

import asyncio

import pytest

from ws_edge.adapters.deadlines import Deadline


class Late(Exception):
    pass


def asked() -> "asyncio.Future[int]":
    return asyncio.get_running_loop().create_future()


async def test_an_answer_in_time_is_given() -> None:
    deadline, answer = Deadline[int](0.01, Late), asked()
    watched = deadline.watch(answer)
    answer.set_result(1)
    assert await watched == 1
    with pytest.raises(Late):
        await deadline.watch(asked())
    assert answer.result() == 1
    assert len(deadline) == 0


async def test_each_that_is_not_answered_in_time_is_an_error_of_the_callers_choice_in_its_own_time() -> None:
    deadline = Deadline[int](0.05, Late)
    loop = asyncio.get_running_loop()
    asked_s, watched = [loop.time()], [deadline.watch(asked())]
    await asyncio.sleep(0.02)
    asked_s.append(loop.time())
    watched.append(deadline.watch(asked()))
    for began_s, answer in zip(asked_s, watched, strict=True):
        with pytest.raises(Late):
            await answer
        assert loop.time() - began_s >= 0.049
    assert len(deadline) == 0


async def test_who_stops_waiting_takes_the_question_back() -> None:
    deadline, answer = Deadline[int](10.0, Late), asked()

    async def wait() -> int:
        return await deadline.watch(answer)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert answer.cancelled()


async def test_what_was_answered_is_not_remembered_when_the_next_one_comes() -> None:
    deadline = Deadline[int](10.0, Late)
    for number in range(100):
        watched = deadline.watch(asked())
        watched.set_result(number)
    assert len(deadline) == 1
