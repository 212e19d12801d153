"""Tokens for development and tests, signed with the secret that verifies them."""

from collections.abc import Sequence

import jwt


def issue_token(
    secret: str,
    *,
    user_id: int,
    username: str | None = None,
    roles: Sequence[str] = (),
    now_s: float,
    lifetime_s: float = 24 * 60 * 60,
) -> str:
    """An HS256 token; `now_s` in Unix seconds."""
    claims: dict[str, object] = {"user_id": user_id, "roles": list(roles), "exp": int(now_s + lifetime_s)}
    if username is not None:
        claims["username"] = username
    return jwt.encode(claims, secret, algorithm="HS256")
