"""Futures that are answered in time, or with an error."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

A = TypeVar("A")


async def answer_within(deadline_s: float, answer: asyncio.Future[A], late: Callable[[], Exception]) -> A:
    """The answer, or `late()` raised. As asyncio.timeout, which takes five times as long; each join waits for two
    or three, a room that opens for one. Nobody else may settle the answer without a look at done()."""
    timer = asyncio.get_running_loop().call_later(deadline_s, _fail, answer, late)
    try:
        return await answer
    finally:
        timer.cancel()


def _fail(answer: asyncio.Future[A], late: Callable[[], Exception]) -> None:
    if not answer.done():
        answer.set_exception(late())
