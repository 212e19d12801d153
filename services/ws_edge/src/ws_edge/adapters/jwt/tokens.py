"""JSON Web Tokens: verified, mapped to an identity, and issued for development."""

import base64
import hmac
import json
import math
import re
import unicodedata
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jwt
import msgspec
from jwt import PyJWTError
from jwt.types import Options

from ws_edge.adapters.jwt.keys import KeySource, VerificationKey
from ws_edge.errors import InvalidToken
from ws_edge.protocol.identity import Identity, Rank, UserId
from ws_edge.protocol.revocations import LONGEST_JTI

_LENGTH_LIMIT = 16 * 1024
_LARGEST_ID = 2**53 - 1
_FORM = re.compile(r"([\w-]+)\.([\w-]+)\.[\w-]+", re.ASCII)
_DECIMAL = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)
_USERNAME_LIMIT = 200
_EMAIL_LIMIT = 320
_NOT_BEFORE_LEEWAY_S = 10
_KEPT_HEADER = 512
"""Characters of a header that is kept once it was read."""
_PLAIN_HEADER = frozenset({"alg", "typ", "kid"})
_RANKS = {"user": Rank.USER, "moderator": Rank.MODERATOR, "admin": Rank.ADMIN, "superuser": Rank.SUPERUSER}


class JwtTokens:
    """Verifies the signature with PyJWT, or as PyJWT would, and the claims by the rules of the chat protocol.

    `keys`: `secret_key(...)`, `public_key(...)` or `JwksKeys(...)`. Issuer and audience None (or empty): not checked.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        clock: Callable[[], float],
        issuer: str | None = None,
        audience: str | None = None,
        require_exp: bool = True,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._issuer = issuer or None
        self._audience = audience or None
        # check_times does exp and nbf: PyJWT takes a number in text for one, has one leeway for both, and asks the
        # system for the time. `sub` and `jti` may be numbers here.
        self._options: Options = {
            "require": ["exp"] if require_exp else [],
            "verify_aud": bool(audience),
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
            "verify_sub": False,
            "verify_jti": False,
        }

    async def verify(self, token: str) -> Identity:
        """Raises InvalidToken, which never holds any part of the token, and TokensUnavailable."""
        if len(token) > _LENGTH_LIMIT:
            raise InvalidToken("too long")
        parts = read_parts(token)
        keys = await self._keys.find(parts.key_id)
        now_s = self._clock()
        claims = self._read_claims(parts, [key for key in keys if now_s < key.until_s])
        return read_identity(claims, expires_at_s=check_times(claims, now_s=now_s))

    def _read_claims(self, parts: "Parts", keys: Sequence[VerificationKey]) -> dict[str, Any]:
        for key in keys:
            claims = None if key.hs256_secret is None else read_hs256(parts, key.hs256_secret)
            if claims is not None and self._are_claims_plain(claims):
                return claims
            try:
                return jwt.decode(
                    parts.token,
                    key.key,
                    algorithms=[key.algorithm],
                    options=self._options,
                    issuer=self._issuer,
                    audience=self._audience,
                )
            except (PyJWTError, ValueError, TypeError, AttributeError, RecursionError):
                continue
        raise InvalidToken("malformed, badly signed, for somebody else, or signed with an unknown key")

    def _are_claims_plain(self, claims: Mapping[str, Any]) -> bool:
        """Whether PyJWT takes these claims; not so in doubt: it is asked then."""
        if any(claims.get(name) is None for name in self._options["require"]):
            return False
        if self._issuer is not None and claims.get("iss") != self._issuer:
            return False
        return self._audience is None or claims.get("aud") == self._audience


@dataclass(slots=True)
class Parts:
    """A token taken apart, not verified. Not frozen: one is made for each join, in a third of the time."""

    token: str = field(repr=False)
    payload: bytes = field(repr=False)
    """UTF-8."""
    key_id: str | None
    """The key that the header names."""
    is_plain_hs256: bool
    """Of the header: it is for HS256, and looks as an issuer writes it."""


def read_hs256(parts: Parts, secret: bytes) -> dict[str, Any] | None:
    """The claims of a token that PyJWT would take for one of HS256 with this secret, for a fifth of the time, as each
    join waits for one. None: it is refused, or looks like none that an issuer writes: PyJWT decides."""
    if not parts.is_plain_hs256:
        return None
    signed, _, signature = parts.token.rpartition(".")
    expected = _base64url(hmac.digest(secret, signed.encode(), "sha256"))
    if not hmac.compare_digest(expected, signature):
        return None
    if _base64url(parts.payload) != signed.partition(".")[2]:
        return None  # written in another way than its bytes are
    try:
        # It refuses more than json.loads, which PyJWT uses, and reads nothing differently.
        claims = msgspec.json.decode(parts.payload)
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def read_parts(token: str) -> Parts:
    """Of an unverified token nothing but the header is looked at, and what RFC 8725 asks to refuse is refused before a
    key is looked for. Raises InvalidToken."""
    parts = _FORM.fullmatch(token)
    if parts is None:
        raise InvalidToken("malformed")
    try:
        payload = _demand_utf8(parts[2])
        key_id, is_plain_hs256 = (_read_header if len(parts[1]) <= _KEPT_HEADER else _read_header.__wrapped__)(parts[1])
    except (ValueError, RecursionError):
        raise InvalidToken("malformed") from None
    return Parts(token, payload, key_id, is_plain_hs256)


@lru_cache(maxsize=64)
def _read_header(part: str) -> tuple[str | None, bool]:
    """See Parts; an issuer writes the same header each time. Raises ValueError, RecursionError and InvalidToken."""
    header = json.loads(_demand_utf8(part).decode())
    if not isinstance(header, dict):
        raise InvalidToken("malformed")
    if "crit" in header:
        raise InvalidToken("with a header that must be understood and is not")
    if _is_of_another_kind(header.get("typ")):
        raise InvalidToken("of another kind")
    key_id = header.get("kid", "")
    is_plain = header.get("alg") == "HS256" and header.keys() <= _PLAIN_HEADER and isinstance(key_id, str)
    is_as_written = _base64url(base64.urlsafe_b64decode(_padded(part))) == part
    has_key_id = "kid" in header and isinstance(key_id, str)
    return key_id if has_key_id else None, is_plain and is_as_written


def _demand_utf8(part: str) -> bytes:
    """The bytes of a part. Python's JSON reads UTF-16 and UTF-32 as well, which in ASCII are bytes and zeros. Raises
    ValueError."""
    raw = base64.urlsafe_b64decode(_padded(part))
    if b"\0" in raw or raw.startswith(BOM_UTF8):
        raise ValueError("not plain UTF-8")
    if not raw.isascii():
        raw.decode()
    return raw


def _padded(part: str) -> str:
    return part + "=" * (-len(part) % 4)


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _is_of_another_kind(kind: Any) -> bool:
    """A type that says what a token is for, and that this is not access (RFC 8725 section 3.11)."""
    named = kind.lower().removeprefix("application/") if isinstance(kind, str) else ""
    return named.endswith("+jwt") and named != "at+jwt"


def check_times(claims: Mapping[str, Any], *, now_s: float) -> float | None:
    """When the token expires, in Unix seconds, or None. Raises InvalidToken."""
    not_before_s = _read_time(claims, "nbf")
    if not_before_s is not None and not_before_s > now_s + _NOT_BEFORE_LEEWAY_S:
        raise InvalidToken("not valid yet")
    expires_at_s = _read_time(claims, "exp")
    if expires_at_s is not None and expires_at_s <= now_s:
        raise InvalidToken("expired")
    return expires_at_s


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
        member=claims.get("member") is True,
        account_created_at_s=_read_past(claims.get("account_created_at")),
        following_since_s=_read_past(claims.get("following_since")),
        issued_at_s=_read_issued(claims.get("iat")),
        jti=_read_jti(claims.get("jti")),
    )


def _read_past(value: Any) -> int | None:
    """Unix seconds, from 1; None: it says nothing that can be gone by, which is no reason to refuse the token."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST_ID <= value <= _LARGEST_ID:
        return None
    return max(1, math.ceil(value))


def _read_issued(value: Any) -> float | None:
    """Unix seconds; None: it does not say, or no time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST_ID <= value <= _LARGEST_ID:
        return None
    return float(value)


def _read_jti(value: Any) -> str | None:
    """Some issuers write a number. None: there is none, or one that nobody can name."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_ID:
        return str(value)
    return value if isinstance(value, str) and 0 < len(value) <= LONGEST_JTI else None


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
    return text.isprintable() or not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text)


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
    # A time with a fraction: who signs in again in the second of a revocation is not to be taken for older.
    claims: dict[str, object] = {"user_id": user_id, "roles": list(roles), "iat": now_s, "exp": int(now_s + lifetime_s)}
    if username is not None:
        claims["username"] = username
    return jwt.encode(claims, secret, algorithm="HS256")
