"""GET /: the chat page, one self-contained file, and the policy that lets nothing but that file run."""

import base64
import hashlib
import re
from importlib import resources

from sanic import HTTPResponse, Request, raw

from ws_edge.transport.sanic_app import SanicApp

_INLINE = re.compile(rb"<(style|script)(?: [^>]*)?>(.*?)</\1>", re.DOTALL)
_HEADERS = {
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def read_page() -> bytes:
    """The page, UTF-8, as it is served."""
    return resources.files(__name__).joinpath("index.html").read_bytes()


def content_security_policy() -> str:
    """The header for the page as it stands on disk: its own inline script and style, its own origin, and images
    by https; nothing else."""
    sources = _inline_sources(read_page())
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {sources['script']}",
            f"style-src {sources['style']}",
            "img-src data: https:",  # emotes, from wherever who keeps them says
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _inline_sources(page: bytes) -> dict[str, str]:
    """CSP hash sources by element name; the page has exactly one of each."""
    return {name.decode(): _hash_source(content) for name, content in _INLINE.findall(page)}


def _hash_source(content: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"


def add_page_routes(app: SanicApp, page: bytes, policy: str) -> None:
    """One file that needs no other; `policy` is its Content-Security-Policy."""
    headers = {**_HEADERS, "Content-Security-Policy": policy}

    async def show(_request: Request) -> HTTPResponse:
        return raw(page, headers=headers, content_type="text/html; charset=utf-8")

    app.add_route(show, "/", methods=["GET"], name="page")
