"""The Sanic application: its settings and its routes, from parts that somebody else made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sanic import Sanic
from sanic.config import Config

from ws_edge.ports import Rooms, Tokens
from ws_edge.protocol.address import Network
from ws_edge.protocol.limits import AddressWindows
from ws_edge.transport.dev_token_route import DevTokens, add_dev_token_route
from ws_edge.transport.drain_state import DrainState
from ws_edge.transport.errors import QuietErrors, quiet_sanic_logs
from ws_edge.transport.gateway import Gateway
from ws_edge.transport.graphql_route import add_graphql_routes
from ws_edge.transport.health_routes import Check, add_health_routes
from ws_edge.transport.page_routes import add_page_routes
from ws_edge.transport.patience import Patience
from ws_edge.transport.sanic_app import EdgeRequest, SanicApp
from ws_edge.transport.socket import ClientSocket
from ws_edge.transport.stats_route import add_stats_route
from ws_edge.transport.websocket_routes import add_websocket_routes

_BODY_LIMIT_BYTES = 256 * 1024
_HEAD_LIMIT_BYTES = 16 * 1024
"""Sanic's own ceiling; tokens of 8 KiB fit in."""


@dataclass(frozen=True, slots=True)
class EdgeParts:
    """What the routes stand on."""

    gateway: Gateway
    tokens: Tokens
    rooms: Rooms
    checks: Mapping[str, Check]
    render_metrics: Callable[[], bytes] | None
    """None where /metrics has a port of its own."""
    page: bytes
    page_policy: str
    dev_tokens: DevTokens | None = None
    trusted_proxies: Sequence[Network] = ()
    graphql_limit: AddressWindows = field(default_factory=lambda: AddressWindows(0, 1.0))
    drain_state: DrainState = field(default_factory=DrainState)
    patience: Patience = field(default_factory=Patience)
    is_only_app: bool = False
    """No other application will be made in this process."""


def create_app(parts: EdgeParts, name: str = "ws_edge") -> SanicApp:
    """An application with every route of the edge; serve() runs it. Its name must be new in this process."""
    app = empty_app(name, parts.drain_state, parts.gateway.turned_away, is_only_app=parts.is_only_app)
    add_websocket_routes(app, parts.gateway, parts.trusted_proxies, parts.patience)
    add_stats_route(app, parts.tokens, parts.rooms)
    add_graphql_routes(
        app, parts.tokens, parts.rooms, parts.graphql_limit, parts.trusted_proxies, parts.gateway.turned_away
    )
    add_health_routes(app, parts.checks, parts.drain_state, parts.render_metrics)
    add_page_routes(app, parts.page, parts.page_policy)
    add_dev_token_route(app, parts.dev_tokens)
    return app


def empty_app(
    name: str, drain_state: DrainState, turned_away: Callable[[str], None], *, is_only_app: bool = False
) -> SanicApp:
    """An application that serve() can run, without a route. `turned_away`: see QuietErrors."""
    quiet_sanic_logs()
    config = Config(
        {
            "ACCESS_LOG": False,
            "AUTO_EXTEND": False,
            "FALLBACK_ERROR_FORMAT": "json",
            "REQUEST_MAX_SIZE": _BODY_LIMIT_BYTES,
            "REQUEST_MAX_HEADER_SIZE": _HEAD_LIMIT_BYTES,
            "REQUEST_TIMEOUT": 15,
            "RESPONSE_TIMEOUT": 15,
            "KEEP_ALIVE_TIMEOUT": 75,
            # It compiles the signals that nobody listens to out of Sanic's classes: a quarter of the cost of a
            # handshake. It works once in a process.
            "TOUCHUP": is_only_app,
        },
        env_prefix=None,
    )
    app: SanicApp = Sanic(
        name,
        config=config,
        request_class=EdgeRequest,
        error_handler=QuietErrors(turned_away),
        configure_logging=False,
    )
    app.ctx.drain_state = drain_state
    open_sockets: set[ClientSocket] = set()
    app.ctx.open_sockets = open_sockets
    return app
