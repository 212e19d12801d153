"""What a caller reads of an exception: a status and a text of ours, never the exception's own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import structlog

from rooms import telemetry
from rooms.api.grpc.convert import MalformedRequest
from rooms.api.grpc.servicer import TooManyChanges
from rooms.ports import DatabaseUnavailable
from rooms.trace import TRACE_HEADER, hold_trace

_log = structlog.get_logger()
if TYPE_CHECKING:  # at run time these classes take no parameters
    _Context = grpc.aio.ServicerContext[Any, Any]
    _Handler = grpc.RpcMethodHandler[Any, Any]
    _Behaviour = Callable[[Any, _Context], Awaitable[Any]]


class MaskingInterceptor(grpc.aio.ServerInterceptor):
    """Maps exceptions to statuses, counts and times every unary call, and hands the caller's trace on to the log."""

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        """Wrap unary handlers; the streams of health and reflection pass as they are."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            _masked(handler.unary_unary, handler_call_details.method.rpartition("/")[2]),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _masked(behaviour: Any, method: str) -> "_Behaviour":
    async def traced(request: Any, context: "_Context") -> Any:
        with _trace(context):
            return await masked(request, context)

    async def masked(request: Any, context: "_Context") -> Any:
        started = time.perf_counter()
        status = "OK"
        try:
            return await behaviour(request, context)
        except (grpc.aio.AbortError, asyncio.CancelledError):
            status = "ABORTED"
            raise
        except MalformedRequest as problem:
            status = "INVALID_ARGUMENT"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(problem))
        except TooManyChanges:
            status = "RESOURCE_EXHAUSTED"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls at once")
        except DatabaseUnavailable:
            status = "UNAVAILABLE"
            await context.abort(grpc.StatusCode.UNAVAILABLE, "database away")
        except Exception:  # noqa: BLE001 - this is the place where whatever went wrong ends
            status = "INTERNAL"
            _log.exception("call_failed", method=method)
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")
        finally:
            telemetry.CALLS.labels(method, status).inc()
            telemetry.CALL_SECONDS.labels(method).observe(time.perf_counter() - started)

    return traced


def _trace(context: "_Context") -> AbstractContextManager[None]:
    return hold_trace(next((value for key, value in context.invocation_metadata() or () if key == TRACE_HEADER), None))
