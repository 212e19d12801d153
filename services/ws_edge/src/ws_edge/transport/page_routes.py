"""GET /: the chat page."""

from sanic import HTTPResponse, Request, raw

from ws_edge.transport.sanic_app import SanicApp

_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self' ws: wss:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def add_page_routes(app: SanicApp, page: bytes) -> None:
    """One file that needs no other."""

    async def show(_request: Request) -> HTTPResponse:
        return raw(page, headers=_HEADERS, content_type="text/html; charset=utf-8")

    app.add_route(show, "/", methods=["GET"], name="page")
