"""Verification of JSON Web Tokens."""

import json
from collections.abc import Callable

from jwt import PyJWS, PyJWTError

from ws_edge.adapters.claims import check_parties, check_times, read_identity
from ws_edge.adapters.jwt_keys import KeySource, VerificationKey
from ws_edge.ports import InvalidToken
from ws_edge.protocol.identity import Identity

_LENGTH_LIMIT = 16 * 1024


class JwtTokens:
    """Verifies the signature with PyJWT and the claims by the rules of the chat protocol.

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
        self._require_exp = require_exp
        self._jws = PyJWS()

    async def verify(self, token: str) -> Identity:
        """Raises InvalidToken, which never holds any part of the token, and TokensUnavailable."""
        if len(token) > _LENGTH_LIMIT:
            raise InvalidToken("too long")
        key = await self._keys.find(self._read_key_id(token))
        if key is None:
            raise InvalidToken("signed with an unknown key")
        claims = self._read_claims(token, key)
        expires_at_s = check_times(claims, now_s=self._clock(), require_exp=self._require_exp)
        check_parties(claims, issuer=self._issuer, audience=self._audience)
        return read_identity(claims, expires_at_s=expires_at_s)

    def _read_key_id(self, token: str) -> str | None:
        try:
            key_id = self._jws.get_unverified_header(token).get("kid")
        except (PyJWTError, ValueError, TypeError, AttributeError, RecursionError):
            # What PyJWT says of a token may quote it.
            raise InvalidToken("malformed") from None
        return key_id if isinstance(key_id, str) else None

    def _read_claims(self, token: str, key: VerificationKey) -> dict[str, object]:
        try:
            claims = json.loads(self._jws.decode(token, key.key, algorithms=[key.algorithm]))
        except (PyJWTError, ValueError, TypeError, AttributeError, RecursionError):
            raise InvalidToken("malformed or badly signed") from None
        if not isinstance(claims, dict):
            raise InvalidToken("malformed")
        return claims
