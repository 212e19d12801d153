"""The Authorization header."""

from typing import Final

from sanic import Request

CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}
"""What a 401 has to say."""


def bearer_token(request: Request) -> str | None:
    """The token of `Authorization: Bearer`, None where there is none."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
