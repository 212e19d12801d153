"""Keys that tokens are verified with: the kind of key alone decides the algorithm, never the token."""

import asyncio
import json
import math
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, Protocol
from urllib.error import URLError

import structlog
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import InvalidKeyError, PyJWK, PyJWTError
from jwt.algorithms import HMACAlgorithm

from ws_edge.errors import TokensUnavailable
from ws_edge.protocol.address import is_safe_url

_log = structlog.get_logger(__name__)

_FETCH_DEADLINE_S = 5.0
_FETCH_LIMIT_BYTES = 1024 * 1024
_FETCH_PART_BYTES = 64 * 1024
_FETCH_INTERVAL_S = 10.0
_FRESH_FOR_S = 600.0
_SMALLEST_RSA_BITS = 2048
"""RFC 7518 section 3.3."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key with the one algorithm that it is used with."""

    key: Any = field(repr=False)
    algorithm: str
    until_s: float = math.inf
    """No token is accepted with it from then on, in Unix seconds."""
    hs256_secret: bytes | None = field(default=None, repr=False)
    """The key where it is a secret that PyJWT takes for one: see read_hs256."""


class KeySource(Protocol):
    """Where the key of a token is found."""

    async def find(self, key_id: str | None) -> Sequence[VerificationKey]:
        """Those that may have signed it, the likeliest first: the one that the token's header names, or the only ones
        there are; none where it names another. Raises TokensUnavailable where no key could be read yet."""


@dataclass(frozen=True, slots=True)
class FixedKeys:
    """The same for every token."""

    keys: tuple[VerificationKey, ...]

    async def find(self, key_id: str | None) -> Sequence[VerificationKey]:
        """All, whatever the header names."""
        return self.keys


def secret_key(secret: str, *, previous: str = "", previous_until_s: float = 0.0) -> FixedKeys:
    """HS256. `previous` is another secret that tokens may be signed with until then, in Unix seconds; empty: none."""
    keys = [_of_secret(secret.encode(), math.inf)]
    if previous:
        keys.append(_of_secret(previous.encode(), previous_until_s))
    return FixedKeys(tuple(keys))


def _of_secret(secret: bytes, until_s: float) -> VerificationKey:
    """PyJWT looks at a secret with each token, whether it is none but a key of another kind: here once."""
    try:
        usable = HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        return VerificationKey(secret, "HS256", until_s)
    return VerificationKey(secret, "HS256", until_s, usable)


def public_key(pem: str) -> FixedKeys:
    """RS256, ES256 or EdDSA by the kind of the PEM; line ends may be written as backslash n. Raises ValueError."""
    return FixedKeys((_with_algorithm(load_pem_public_key(pem.replace("\\n", "\n").encode())),))


class JwksKeys:
    """A key set read from a URL: kept for ten minutes, read again for an unknown key, at most every ten seconds.

    A fetch is a task of its own: the client that caused it may go, and the keys are there for the others. PyJWT's own
    client is not used: its set expires while a server is away, it bounds neither the size nor the whole time of an
    answer, follows no redirection, and drops keys without an id.
    """

    def __init__(self, url: str, *, monotonic: Callable[[], float]) -> None:
        if not url.lower().startswith(("https://", "http://")):
            raise ValueError("the URL of a key set begins with https:// or http://")
        self._url = url
        self._monotonic = monotonic
        self._keys: dict[str | None, VerificationKey] = {}
        self._fetched_at_s: float | None = None
        self._tried_at_s: float | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._reading: asyncio.Future[bytes] | None = None

    async def find(self, key_id: str | None) -> Sequence[VerificationKey]:
        """Waits for at most one fetch, and for none while the key is held; an old set serves as long as no new one can
        be read. Raises TokensUnavailable where none was ever read."""
        if self._fetching is None and self._must_fetch(key_id):
            self._fetching = asyncio.create_task(self._fetch(), name="read the key set")
        key = self._held(key_id)
        if key is None and self._fetching is not None:
            await asyncio.shield(self._fetching)
            key = self._held(key_id)
        if not self._keys:
            raise TokensUnavailable("no key set was read")
        return () if key is None else (key,)

    def _held(self, key_id: str | None) -> VerificationKey | None:
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
        try:
            body = await self._read()
            self._keys = _parse_set(json.loads(body))
        except (OSError, ValueError, RecursionError, HTTPException) as reason:
            _log.warning("jwks_not_read", reason=repr(reason))
        else:
            self._fetched_at_s = self._monotonic()
        finally:
            # From the end of a slow fetch on, or those who waited for it would each begin their own.
            self._tried_at_s = self._monotonic()
            self._fetching = None

    async def _read(self) -> bytes:
        """A server that is too slow is given up, and not asked again before its thread has ended."""
        if self._reading is not None and not self._reading.done():
            raise TimeoutError("the server is still being read")
        self._reading = asyncio.get_running_loop().run_in_executor(None, _read, self._url)
        self._reading.add_done_callback(lambda done: done.cancelled() or done.exception())
        async with asyncio.timeout(_FETCH_DEADLINE_S):
            return await asyncio.shield(self._reading)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """What may not be read by plain http is not read by a redirection to it either."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """See HTTPRedirectHandler. Raises URLError."""
        if is_safe_url(req.full_url) and not is_safe_url(newurl):
            fp.close()
            raise URLError("the key set was redirected to an address that anybody on the way may answer for")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(url: str) -> bytes:
    """The timeout of a socket begins anew with every byte: here one deadline holds for the whole body."""
    deadline_s = time.monotonic() + _FETCH_DEADLINE_S
    body = b""
    with urllib.request.build_opener(_SafeRedirects).open(url, timeout=_FETCH_DEADLINE_S) as answer:
        while part := answer.read1(_FETCH_PART_BYTES):
            body += part
            if len(body) > _FETCH_LIMIT_BYTES:
                raise ValueError("the key set is too large")
            if time.monotonic() > deadline_s:
                raise TimeoutError("the key set came too slowly")
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
    if isinstance(key, RSAPublicKey) and key.key_size >= _SMALLEST_RSA_BITS:
        return VerificationKey(key, "RS256")
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return VerificationKey(key, "ES256")
    if isinstance(key, Ed25519PublicKey):
        return VerificationKey(key, "EdDSA")
    raise ValueError(f"a public key must be RSA of {_SMALLEST_RSA_BITS} bits or more, EC on P-256, or Ed25519")
