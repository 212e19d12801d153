"""One unary call to another service: with a deadline and a trace, and one error where there is no answer."""

import asyncio
from typing import TypeVar

import grpc.aio

from chassis.tasks import is_being_cancelled
from chassis.traces import TRACE_HEADER, next_trace
from ws_edge.errors import Unavailable

Q = TypeVar("Q")
A = TypeVar("A")


async def call(
    method: "grpc.aio.UnaryUnaryMultiCallable[Q, A]", request: Q, deadline_s: float, away: type[Unavailable]
) -> A:
    """The answer. Raises `away` where there is none within the deadline; its text is the name of the gRPC status, if
    there was one."""
    try:
        return await method(request, timeout=deadline_s, metadata=((TRACE_HEADER, next_trace()),))
    except grpc.aio.AioRpcError as reason:
        raise away(reason.code().name) from reason
    except grpc.aio.UsageError as reason:
        raise away("stopped") from reason
    except asyncio.CancelledError as reason:
        if is_being_cancelled():
            raise
        raise away("the channel was closed") from reason
