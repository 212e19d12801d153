"""Masks exceptions, logs what is ours to mend, and hands the caller's trace on to the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import grpc
import grpc.aio
import structlog

from moderation.api.grpc.status import status_of
from moderation.trace import TRACE_HEADER, hold_trace

_log = structlog.get_logger()
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class MaskExceptions(grpc.aio.ServerInterceptor):
    """Without it grpc.aio sends the text of an exception to the caller."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the two kinds of calls that the contract has; both are coroutines here."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/salon."):
            return handler
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                _masked_call(handler.stream_stream, method), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            _masked_call(handler.unary_unary, method), handler.request_deserializer, handler.response_serializer
        )


class UntilOpen(grpc.aio.ServerInterceptor):
    """Refuses the calls of the contract before a replica knows what is in force: it would admit everybody."""

    def __init__(self) -> None:
        self._is_open = False

    def open(self) -> None:
        """From now on calls go through."""
        self._is_open = True

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """See grpc.aio."""
        if self._is_open or not handler_call_details.method.startswith("/salon."):
            return await continuation(handler_call_details)
        return _STARTING


async def _refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "starting")


_STARTING: _Handler = grpc.stream_stream_rpc_method_handler(_refuse)
"""For calls of every kind: it reads nothing of the request."""


def _masked_call(behaviour: Any, method: str) -> Any:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        with _trace(context):
            try:
                return await behaviour(request, context)
            except Exception as problem:  # noqa: BLE001 - this is the border: whatever it is, it stays inside
                await _abort(context, method, problem)

    return call


async def _abort(context: grpc.aio.ServicerContext[Any, Any], method: str, problem: Exception) -> None:
    code, text = status_of(problem)
    if code is grpc.StatusCode.INTERNAL:
        _log.error("call_failed", method=method, exc_info=problem)
    elif code is grpc.StatusCode.UNAVAILABLE:
        _log.warning("call_failed", method=method, problem=str(problem))
    await context.abort(code, text)


def _trace(context: grpc.aio.ServicerContext[Any, Any]) -> AbstractContextManager[None]:
    return hold_trace(next((value for key, value in context.invocation_metadata() or () if key == TRACE_HEADER), None))
