"""Who may call: those who present the service token, or a certificate. The same text in rooms and moderation."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

import grpc
import grpc.aio
import structlog

from moderation.peers import GrpcSecurity

_OPEN = frozenset({"/grpc.health.v1.Health/Check"})
"""Asked by what starts and balances services, and by nobody's token. Watch is a stream: a stranger could hold as many
as there may be calls at once."""
_TOLD_EVERY_S = 10.0
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Metadata: TypeAlias = "Iterable[tuple[str, str | bytes]]"
_log = structlog.get_logger()


class ServiceTokens(grpc.aio.ServerInterceptor):
    """Refuses every call without one of the tokens as `authorization: Bearer …`, methods that do not exist included."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._accepted = [f"Bearer {token}".encode() for token in tokens]
        self._told_at_s = -_TOLD_EVERY_S

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """See grpc.aio."""
        method = handler_call_details.method
        if method in _OPEN or self._is_known(handler_call_details.invocation_metadata):
            return await continuation(handler_call_details)
        self._tell(method)
        return _REFUSAL

    def _is_known(self, metadata: _Metadata | None) -> bool:
        given = next((value for key, value in metadata or () if key == "authorization"), "")
        presented = given if isinstance(given, bytes) else given.encode()
        # The time that it takes says nothing about how much of a token was right.
        return any(hmac.compare_digest(presented, accepted) for accepted in self._accepted)

    def _tell(self, method: str) -> None:
        """Now and then: whoever is refused may try as often as they like."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._told_at_s >= _TOLD_EVERY_S:
            self._told_at_s = now_s
            _log.warning("caller_refused", method=method[:200])


async def _refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the service token is missing or wrong")


_REFUSAL: _Handler = grpc.stream_stream_rpc_method_handler(_refuse)
"""For calls of every kind: it reads nothing of the request."""


def guards(security: GrpcSecurity) -> list[grpc.aio.ServerInterceptor]:
    """What stands in front of all other interceptors."""
    return [ServiceTokens(security.tokens)] if security.tokens else []


def open_port(server: grpc.aio.Server, host: str, port: int, security: GrpcSecurity) -> int:
    """Bind; the port, chosen by the system where 0 was asked for. Raises RuntimeError."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not security.is_encrypted:
        return server.add_insecure_port(address)
    pair = (security.key, security.certificate)
    credentials = grpc.ssl_server_credentials([pair], security.authority, require_client_auth=True)
    return server.add_secure_port(address, credentials)
