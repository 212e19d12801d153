"""`make token`: prints a token for USER_ID, USERNAME and ROLES, and nothing else."""

import os
import re
import sys
import time
import warnings
from collections.abc import Mapping

import jwt
from jwt.warnings import InsecureKeyLengthWarning

from ws_edge.config import DEVELOPMENT_SECRET

ROLES = ("user", "moderator", "admin", "superuser")
LARGEST_ID = 2**53 - 1
DAY_S = 86_400
YEAR_S = 366 * DAY_S


class BadRequest(Exception):
    """Something asked for that cannot be put into a token; the text begins with its name."""


def mint(environ: Mapping[str, str], now_s: int) -> str:
    """The signed token. Raises BadRequest."""
    user_id = _whole("USER_ID", environ.get("USER_ID", ""), LARGEST_ID)
    roles = _roles(environ.get("ROLES", "user"))
    claims = {
        "sub": str(user_id),
        "user_id": user_id,
        "username": _username(environ.get("USERNAME", ""), user_id),
        "roles": roles,
        "is_admin": bool({"admin", "superuser"} & set(roles)),
        "is_moderator": "moderator" in roles,
        "iat": now_s,
        "exp": now_s + _whole("TTL", environ.get("TTL") or str(DAY_S), YEAR_S),
    }
    for claim, name in (("iss", "WS_EDGE_JWT_ISSUER"), ("aud", "WS_EDGE_JWT_AUDIENCE")):
        if environ.get(name):
            claims[claim] = environ[name]
    return jwt.encode(claims, _secret(environ), algorithm="HS256")


def _whole(name: str, raw: str, largest: int) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", raw) or not 1 <= int(raw) <= largest:
        given = repr(raw) if raw else "missing"
        raise BadRequest(f"{name} must be a whole number from 1 to {largest}: {given}")
    return int(raw)


def _roles(raw: str) -> list[str]:
    roles = [role.strip() for role in raw.split(",") if role.strip()]
    unknown = sorted(set(roles) - set(ROLES))
    if unknown:
        raise BadRequest(f"ROLES may hold {', '.join(ROLES)}, separated by commas: {unknown[0]!r} is none of them")
    return roles or ["user"]


def _username(raw: str, user_id: int) -> str:
    name = raw.strip() or f"user_{user_id}"
    if len(name) > 64 or not name.isprintable():
        raise BadRequest("USERNAME must be 1 to 64 printable characters")
    return name


def _secret(environ: Mapping[str, str]) -> str:
    secret = environ.get("JWT_SECRET") or DEVELOPMENT_SECRET
    if secret == DEVELOPMENT_SECRET and environ.get("SALON_ENV") == "production":
        raise BadRequest("JWT_SECRET must be set when SALON_ENV=production")
    return secret


def main() -> int:
    """Print the token; on a bad request one line on stderr and exit 2."""
    warnings.simplefilter("ignore", InsecureKeyLengthWarning)  # the edge says so in its log; here only the token is
    try:
        print(mint(os.environ, int(time.time())))
    except BadRequest as problem:
        print(f"make token: {problem}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
