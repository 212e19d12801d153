"""From the verified claims of a token to an identity; what makes a claim valid."""

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from ws_edge.ports import InvalidToken
from ws_edge.protocol.identity import Identity, Rank, UserId

_LARGEST_ID = 2**53 - 1
_DECIMAL = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_USERNAME_LIMIT = 200
_EMAIL_LIMIT = 320
_NOT_BEFORE_LEEWAY_S = 10
_RANKS = {"user": Rank.USER, "moderator": Rank.MODERATOR, "admin": Rank.ADMIN, "superuser": Rank.SUPERUSER}


def check_times(claims: Mapping[str, Any], *, now_s: float, require_exp: bool) -> float | None:
    """When the token expires, in Unix seconds, or None. Raises InvalidToken."""
    not_before_s = _read_time(claims, "nbf")
    if not_before_s is not None and not_before_s > now_s + _NOT_BEFORE_LEEWAY_S:
        raise InvalidToken("not valid yet")
    expires_at_s = _read_time(claims, "exp")
    if expires_at_s is None and require_exp:
        raise InvalidToken("without an expiry")
    if expires_at_s is not None and expires_at_s <= now_s:
        raise InvalidToken("expired")
    return expires_at_s


def check_parties(claims: Mapping[str, Any], *, issuer: str | None, audience: str | None) -> None:
    """Compare `iss` and `aud` where something is configured. Raises InvalidToken."""
    if issuer is not None and claims.get("iss") != issuer:
        raise InvalidToken("of another issuer")
    if audience is not None:
        meant = claims.get("aud")
        if audience not in (meant if isinstance(meant, list) else [meant]):
            raise InvalidToken("for another audience")


def read_identity(claims: Mapping[str, Any], *, expires_at_s: float | None) -> Identity:
    """Raises InvalidToken without a user id, or with a username that cannot be shown."""
    user_id = _read_user_id(claims["user_id"] if "user_id" in claims else claims.get("sub"))
    roles = _read_roles(claims)
    return Identity(
        user_id=user_id,
        username=_read_username(claims.get("username"), user_id),
        email=_read_email(claims.get("email")),
        roles=roles,
        rank=max((_RANKS[role] for role in roles), default=Rank.USER),
        expires_at_s=expires_at_s,
    )


def _read_time(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken(f"{name} is not a number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise InvalidToken(f"{name} is not a time")
    return seconds


def _read_user_id(value: Any) -> UserId:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = int(value)
    # A bool is an int in Python, and not in JSON.
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST_ID:
        raise InvalidToken("without a user id")
    return UserId(value)


def _read_username(value: Any, user_id: UserId) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return f"user_{user_id}"
    if not isinstance(value, str) or len(value) > _USERNAME_LIMIT or not _can_be_shown(value):
        raise InvalidToken("with an unusable username")
    return value


def _read_email(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= _EMAIL_LIMIT and _can_be_shown(value) else None


def _read_roles(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The known ones, once each; the two flags are the same as the role."""
    named = claims.get("roles")
    found = [role for role in named if isinstance(role, str) and role in _RANKS] if isinstance(named, list) else []
    found += [role for role in ("admin", "moderator") if claims.get(f"is_{role}") is True]
    return tuple(dict.fromkeys(found))


def _can_be_shown(text: str) -> bool:
    """No control characters, and no halves of characters, which JSON may hold and UTF-8 may not."""
    return not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text)
