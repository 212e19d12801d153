"""Requests that belong to a trace: their own, or a new one."""

from collections.abc import Callable, Coroutine
from typing import Any

from sanic import HTTPResponse, Request

from chassis.traces import TRACE_HEADER, begin_trace, hold_trace, read_trace

Handler = Callable[[Request], Coroutine[Any, Any, HTTPResponse]]


def traced(handler: Handler) -> Handler:
    """Hold the trace while the request is answered, and no longer: the next one on its connection has another."""

    async def answer(request: Request) -> HTTPResponse:
        # QuietErrors is asked when the block has been left.
        request.ctx.trace = read_trace(request.headers.get(TRACE_HEADER)) or begin_trace()
        with hold_trace(request.ctx.trace):
            return await handler(request)

    return answer
