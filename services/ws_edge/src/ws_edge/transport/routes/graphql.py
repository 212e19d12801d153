"""POST and GET /graphql: carried to the rooms service, which executes it."""

import asyncio
import math
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from sanic import HTTPResponse, Request, raw

from ws_edge.errors import InvalidToken, RoomsUnavailable, TokensUnavailable
from ws_edge.ports import Rooms, Tokens
from ws_edge.protocol.address import Network, address_key, client_address
from ws_edge.protocol.identity import Identity
from ws_edge.protocol.limits import SlidingWindowLimiter
from ws_edge.transport.origins import Origins
from ws_edge.transport.sanic_app import CHALLENGE, Handler, SanicApp, bearer_token, graphql_media_type, is_json, traced

_NO_VARIABLES = b"{}"


class _Call(msgspec.Struct, frozen=True):
    query: str
    variables: dict[str, Any] | None = None
    operation_name: str | None = msgspec.field(default=None, name="operationName")
    extensions: dict[str, Any] | None = None


def add_graphql_routes(
    app: SanicApp,
    tokens: Tokens,
    rooms: Rooms,
    limit: SlidingWindowLimiter,
    trusted: Sequence[Network],
    turned_away: Callable[[str], None],
    origins: Origins,
) -> None:
    """GET reads only; the viewer is the bearer of the token, or nobody. `limit` counts requests, whatever becomes of
    them; `turned_away` is called for those above it."""

    async def post(request: Request) -> HTTPResponse:
        if not is_json(request):
            return _refusal(request, 415, "Content-Type must be application/json", "INVALID")
        return await answer(request, _read_body, allow_mutation=True)

    async def get(request: Request) -> HTTPResponse:
        return await answer(request, _read_query_string, allow_mutation=False)

    async def answer(request: Request, read: Callable[[Request], _Call], *, allow_mutation: bool) -> HTTPResponse:
        try:
            call = read(request)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return _refusal(request, 400, "Not a GraphQL request", "INVALID")
        try:
            viewer = await _viewer(request, tokens)
            result = await rooms.execute_graphql(
                call.query,
                msgspec.json.encode(call.variables) if call.variables else _NO_VARIABLES,
                call.operation_name or "",
                viewer,
                allow_mutation=allow_mutation,
            )
        except InvalidToken:
            return _refusal(request, 401, "Invalid token", "UNAUTHENTICATED", CHALLENGE)
        except (TokensUnavailable, RoomsUnavailable):
            return _refusal(request, 503, "Service unavailable", "UNAVAILABLE")
        headers = {"Allow": "POST"} if result.http_status == HTTPStatus.METHOD_NOT_ALLOWED else None
        return raw(result.body, result.http_status, headers, _media_type(request))

    for handler, method, name in ((post, "POST", "graphql"), (get, "GET", "graphql_read")):
        limited = origins.readable(traced(_limited(handler, limit, trusted, turned_away)))
        app.add_route(limited, "/graphql", methods=[method], name=name)
    origins.add_preflight(app, "/graphql", methods="GET, POST")


def _limited(
    handler: Handler, limit: SlidingWindowLimiter, trusted: Sequence[Network], turned_away: Callable[[str], None]
) -> Handler:
    """For a request over the limit nothing is read, verified or asked."""

    async def answer(request: Request) -> HTTPResponse:
        address = client_address(request.ip, request.headers.getall("x-forwarded-for", []), trusted)
        wait_s = limit.admit_or_wait_s(address_key(address), asyncio.get_running_loop().time())
        if wait_s == 0.0:
            return await handler(request)
        turned_away("graphql_429")
        retry_after = {"Retry-After": str(math.ceil(wait_s))}
        return _refusal(request, HTTPStatus.TOO_MANY_REQUESTS, "Too many requests", "UNAVAILABLE", retry_after)

    return answer


async def _viewer(request: Request, tokens: Tokens) -> Identity | None:
    token = bearer_token(request)
    return None if token is None else await tokens.verify(token)


def _read_body(request: Request) -> _Call:
    return msgspec.json.decode(request.body, type=_Call)


def _read_query_string(request: Request) -> _Call:
    """Its parameters are what a body holds, but that variables are JSON in text. Other ones are ignored."""
    given = {name: text for name in ("query", "operationName") if (text := request.args.get(name))}
    variables = request.args.get("variables")
    return msgspec.convert(given | {"variables": msgspec.json.decode(variables) if variables else None}, _Call)


def _refusal(
    request: Request, status: int, message: str, code: str, headers: dict[str, str] | None = None
) -> HTTPResponse:
    body = msgspec.json.encode({"errors": [{"message": message, "extensions": {"code": code}}]})
    return raw(body, status, headers, _media_type(request))


def _media_type(request: Request) -> str:
    return f"{graphql_media_type(request)}; charset=utf-8"
