"""GET /: the chat page."""

from sanic import HTTPResponse, Request, raw

from ws_edge.transport.sanic_app import SanicApp

_HEADERS = {
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def add_page_routes(app: SanicApp, page: bytes, policy: str) -> None:
    """One file that needs no other; `policy` is its Content-Security-Policy."""
    headers = {**_HEADERS, "Content-Security-Policy": policy}

    async def show(_request: Request) -> HTTPResponse:
        return raw(page, headers=headers, content_type="text/html; charset=utf-8")

    app.add_route(show, "/", methods=["GET"], name="page")
