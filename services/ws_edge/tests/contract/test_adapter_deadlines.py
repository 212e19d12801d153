"""What is answered, too late, or waited for no longer."""

import asyncio

import pytest

from ws_edge.adapters.deadlines import answer_within


class Late(Exception):
    pass


async def test_an_answer_in_time_is_given_and_leaves_no_timer() -> None:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(answer_within(0.01, answer, Late))
    await asyncio.sleep(0)
    answer.set_result(1)
    assert await waiting == 1
    await asyncio.sleep(0.02)
    assert answer.result() == 1


async def test_what_is_not_answered_in_time_is_an_error_of_the_callers_choice() -> None:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    with pytest.raises(Late):
        await answer_within(0.0, answer, Late)


async def test_who_stops_waiting_takes_the_question_back() -> None:
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(answer_within(10.0, answer, Late))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert answer.cancelled()
