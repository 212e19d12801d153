"""Which pages may speak to the edge: the origin that a browser names, against an allow-list."""

from dataclasses import dataclass

from sanic import HTTPResponse, Request, empty

from ws_edge.transport.plain_head import PlainHead
from ws_edge.transport.sanic_app import Handler, SanicApp

_PREFLIGHT_LASTS_S = 600


@dataclass(frozen=True, slots=True)
class Origins:
    """`allowed` are origins in lower case; empty: any page may open a WebSocket, no other site's may read answers."""

    allowed: frozenset[str] = frozenset()

    def may_connect(self, request: Request | PlainHead) -> bool:
        """Whether a handshake comes from a page of the list, or from no browser: those name no origin."""
        if not self.allowed:
            return True
        named = request.headers.getall("origin", [])
        return not named or (len(named) == 1 and named[0].strip().lower() in self.allowed)

    def readable(self, handler: Handler) -> Handler:
        """A route whose answers pages of the list may read."""
        if not self.allowed:
            return handler

        async def answer(request: Request) -> HTTPResponse:
            response = await handler(request)
            response.headers["Vary"] = "Origin"
            origin = request.headers.get("origin", "").strip()
            if origin.lower() in self.allowed:
                response.headers["Access-Control-Allow-Origin"] = origin
            return response

        return answer

    def add_preflight(self, app: SanicApp, path: str, *, methods: str) -> None:
        """Answer what a browser asks before it sends a token or JSON from another site."""
        if not self.allowed:
            return

        async def allow(_request: Request) -> HTTPResponse:
            return empty(
                headers={
                    "Access-Control-Allow-Methods": methods,
                    "Access-Control-Allow-Headers": "authorization, content-type, traceparent",
                    "Access-Control-Max-Age": str(_PREFLIGHT_LASTS_S),
                }
            )

        app.add_route(
            self.readable(allow), path, methods=["OPTIONS"], name=f"preflight_{path.strip('/').replace('/', '_')}"
        )
