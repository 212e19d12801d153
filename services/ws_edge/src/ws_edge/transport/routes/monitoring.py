"""What operators ask: GET /health/live, /health/accepting, /health/ready, /metrics and /monitoring/chat/stats."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from sanic import HTTPResponse, Request, json, raw

from ws_edge.errors import InvalidToken, RoomsUnavailable, TokensUnavailable
from ws_edge.ports import DrainState, Rooms, Tokens
from ws_edge.protocol.identity import Rank
from ws_edge.transport.origins import Origins
from ws_edge.transport.sanic_app import CHALLENGE, SanicApp, bearer_token, traced

Check = Callable[[], Awaitable[object]]
"""Raises, or returns False, where the dependency does not answer."""

_CHECK_DEADLINE_S = 2.0
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def add_health_routes(
    app: SanicApp, checks: Mapping[str, Check], drain_state: DrainState, render_metrics: Callable[[], bytes] | None
) -> None:
    """Readiness asks every dependency at the same time, each for two seconds at most. Accepting asks none: an edge
    whose services are away still serves those who are inside and tells newcomers when to come back, so a load balancer
    must not take it away. Without `render_metrics` there is no /metrics here."""

    async def live(_request: Request) -> HTTPResponse:
        return json({"status": "live"})

    async def accepting(_request: Request) -> HTTPResponse:
        if drain_state.is_draining:
            return json({"status": "draining"}, 503)
        return json({"status": "accepting"})

    async def ready(_request: Request) -> HTTPResponse:
        answers = await asyncio.gather(*(_answers(check) for check in checks.values()))
        failing = [name for name, answered in zip(checks, answers, strict=True) if not answered]
        if drain_state.is_draining:
            failing.append("draining")
        if failing:
            return json({"status": "not ready", "failing": failing}, 503)
        return json({"status": "ready", "failing": []})

    app.add_route(live, "/health/live", methods=["GET"], name="live_check")
    app.add_route(ready, "/health/ready", methods=["GET"], name="ready_check")
    app.add_route(accepting, "/health/accepting", methods=["GET"], name="accepting_check")
    if render_metrics is not None:
        _add_metrics_route(app, render_metrics)


def _add_metrics_route(app: SanicApp, render: Callable[[], bytes]) -> None:
    async def metrics(_request: Request) -> HTTPResponse:
        return raw(render(), content_type=_METRICS_TYPE)

    app.add_route(metrics, "/metrics", methods=["GET"], name="metrics")


async def _answers(check: Check) -> bool:
    try:
        async with asyncio.timeout(_CHECK_DEADLINE_S):
            return await check() is not False
    except Exception:  # noqa: BLE001  whatever a check raises, its dependency is not there
        return False


def add_stats_route(app: SanicApp, tokens: Tokens, rooms: Rooms, origins: Origins) -> None:
    """For admins and superusers: connections over all edges."""

    async def stats(request: Request) -> HTTPResponse:
        token = bearer_token(request)
        try:
            if token is None:
                raise InvalidToken
            viewer = await tokens.verify(token)
        except InvalidToken:
            return json({"message": "Invalid token"}, 401, CHALLENGE)
        except TokensUnavailable:
            return json({"message": "Service unavailable"}, 503)
        if viewer.rank < Rank.ADMIN:
            return json({"message": "Access denied"}, 403)
        try:
            connections = await rooms.stats()
        except RoomsUnavailable:
            return json({"message": "Service unavailable"}, 503)
        return json(
            {
                "total_connections": sum(connections.values()),
                "active_rooms": len(connections),
                "rooms": {str(room_id): connections[room_id] for room_id in sorted(connections)},
            }
        )

    path = "/monitoring/chat/stats"
    app.add_route(origins.readable(traced(stats)), path, methods=["GET"], name="stats")
    origins.add_preflight(app, path, methods="GET")
