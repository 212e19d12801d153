"""Keys that tokens are verified with: the kind of key alone decides the algorithm, never the token."""

import asyncio
import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK, PyJWTError

_log = structlog.get_logger(__name__)

_FETCH_TIMEOUT_S = 5
_FETCH_LIMIT_BYTES = 1024 * 1024
_FETCH_INTERVAL_S = 10.0
_FRESH_FOR_S = 600.0


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key with the one algorithm that it is used with."""

    key: Any
    algorithm: str


class KeySource(Protocol):
    """Where the key of a token is found."""

    async def find(self, key_id: str | None) -> VerificationKey | None:
        """The key that the token's header names, or the only one there is."""


@dataclass(frozen=True, slots=True)
class FixedKey:
    """One key for every token."""

    key: VerificationKey

    async def find(self, key_id: str | None) -> VerificationKey | None:
        """The key, whatever the header names."""
        return self.key


def secret_key(secret: str) -> FixedKey:
    """HS256."""
    return FixedKey(VerificationKey(secret.encode(), "HS256"))


def public_key(pem: str) -> FixedKey:
    """RS256, ES256 or EdDSA; line ends may be written as backslash n. Raises ValueError."""
    return FixedKey(_with_algorithm(load_pem_public_key(pem.replace("\\n", "\n").encode())))


class JwksKeys:
    """A key set read from a URL: kept for ten minutes, read again for an unknown key, at most every ten seconds."""

    def __init__(self, url: str, *, monotonic: Callable[[], float]) -> None:
        if not url.startswith(("https://", "http://")):
            raise ValueError("the URL of a key set begins with https:// or http://")
        self._url = url
        self._monotonic = monotonic
        self._keys: dict[str | None, VerificationKey] = {}
        self._fetched_at_s: float | None = None
        self._tried_at_s: float | None = None
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str | None) -> VerificationKey | None:
        """Waits for at most one fetch; an old set serves as long as no new one can be read."""
        if self._must_fetch(key_id):
            async with self._fetching:
                if self._must_fetch(key_id):
                    await self._fetch()
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    def _must_fetch(self, key_id: str | None) -> bool:
        now_s = self._monotonic()
        if self._tried_at_s is not None and now_s - self._tried_at_s < _FETCH_INTERVAL_S:
            return False
        is_old = self._fetched_at_s is None or now_s - self._fetched_at_s > _FRESH_FOR_S
        return is_old or (key_id is not None and key_id not in self._keys)

    async def _fetch(self) -> None:
        self._tried_at_s = self._monotonic()
        try:
            body = await asyncio.to_thread(_read, self._url)
            self._keys = _parse_set(json.loads(body))
        except (OSError, ValueError, RecursionError) as reason:
            _log.warning("jwks_not_read", reason=repr(reason))
        else:
            self._fetched_at_s = self._monotonic()
        finally:
            # From the end of a slow fetch on, or those who waited for it would each begin their own.
            self._tried_at_s = self._monotonic()


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_FETCH_TIMEOUT_S) as answer:  # noqa: S310 - the scheme was checked
        body: bytes = answer.read(_FETCH_LIMIT_BYTES + 1)
    if len(body) > _FETCH_LIMIT_BYTES:
        raise ValueError("the key set is too large")
    return body


def _parse_set(document: Any) -> dict[str | None, VerificationKey]:
    """The usable keys; those of unknown kinds, and secrets, are passed over. Raises ValueError where there is none."""
    entries = document.get("keys") if isinstance(document, dict) else None
    keys: dict[str | None, VerificationKey] = {}
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") == "oct":
            continue
        try:
            key = _with_algorithm(PyJWK(entry).key)
        except (PyJWTError, ValueError, TypeError) as reason:
            _log.warning("jwks_key_unusable", reason=type(reason).__name__)
            continue
        if entry.get("alg", key.algorithm) == key.algorithm:
            key_id = entry.get("kid")
            keys[key_id if isinstance(key_id, str) else None] = key
    if not keys:
        raise ValueError("no usable key in the set")
    return keys


def _with_algorithm(key: Any) -> VerificationKey:
    if isinstance(key, RSAPublicKey):
        return VerificationKey(key, "RS256")
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return VerificationKey(key, "ES256")
    if isinstance(key, Ed25519PublicKey):
        return VerificationKey(key, "EdDSA")
    raise ValueError("a public key must be RSA, EC on P-256, or Ed25519")
