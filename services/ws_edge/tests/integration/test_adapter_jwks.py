"""Tokens verified by a key set behind a URL."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from ws_edge.adapters.jwt_keys import JwksKeys
from ws_edge.adapters.jwt_tokens import JwtTokens
from ws_edge.ports import InvalidToken

pytestmark = pytest.mark.integration

NOW_S = 1_800_000_000.0
FIRST = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SECOND = ed25519.Ed25519PrivateKey.generate()


def first_entry() -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(FIRST.public_key()))
    return entry | {"kid": "one", "use": "sig"}


def second_entry() -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(SECOND.public_key()))
    return entry | {"kid": "two"}


def token(key: Any, algorithm: str, key_id: str | None) -> str:
    headers = {} if key_id is None else {"kid": key_id}
    return jwt.encode({"user_id": 3, "exp": NOW_S + 60}, key, algorithm=algorithm, headers=headers)


class KeyServer:
    """Serves `entries`, or whatever `body` is, and counts."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = [first_entry()]
        self.body: bytes | None = None
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                body = json.dumps({"keys": outer.entries}).encode() if outer.body is None else outer.body
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


class Monotonic:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def verifier(server: KeyServer, monotonic: Monotonic) -> JwtTokens:
    return JwtTokens(JwksKeys(server.url, monotonic=monotonic), clock=lambda: NOW_S)


async def test_a_key_set_is_read_once_and_kept(key_server: KeyServer) -> None:
    tokens = verifier(key_server, Monotonic())
    for _ in range(5):
        assert (await tokens.verify(token(FIRST, "RS256", "one"))).user_id == 3
        assert (await tokens.verify(token(FIRST, "RS256", None))).user_id == 3
    assert key_server.requests == 1


async def test_a_new_key_is_found_after_a_rotation_and_unknown_keys_cause_no_storm(key_server: KeyServer) -> None:
    monotonic = Monotonic()
    tokens = verifier(key_server, monotonic)
    await tokens.verify(token(FIRST, "RS256", "one"))
    key_server.entries = [second_entry()]
    for _ in range(5):
        with pytest.raises(InvalidToken):
            await tokens.verify(token(SECOND, "EdDSA", "two"))
    assert key_server.requests == 1
    monotonic.now_s += 11
    assert (await tokens.verify(token(SECOND, "EdDSA", "two"))).user_id == 3
    with pytest.raises(InvalidToken):
        await tokens.verify(token(FIRST, "RS256", "one"))
    assert key_server.requests == 2


async def test_an_old_set_serves_while_no_new_one_can_be_read(key_server: KeyServer) -> None:
    monotonic = Monotonic()
    tokens = verifier(key_server, monotonic)
    await tokens.verify(token(FIRST, "RS256", "one"))
    for body in (b"not json", b"[]", b'{"keys":[]}', b'{"keys":5}', b"x" * (1024 * 1024 + 1)):
        key_server.body = body
        monotonic.now_s += 700
        assert (await tokens.verify(token(FIRST, "RS256", "one"))).user_id == 3
    assert key_server.requests == 6


async def test_secrets_and_keys_for_other_uses_in_a_set_are_never_used(key_server: KeyServer) -> None:
    secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"
    key_server.entries = [
        {"kty": "oct", "k": secret, "kid": "one", "alg": "HS256"},
        second_entry() | {"use": "enc", "kid": "enc"},
        first_entry() | {"kid": "strange", "alg": "RS512"},
        {"kty": "RSA", "kid": "broken"},
        second_entry(),
    ]
    tokens = verifier(key_server, Monotonic())
    assert (await tokens.verify(token(SECOND, "EdDSA", "two"))).user_id == 3
    for bad in (
        token(b"secret-secret-secret-secret-secret", "HS256", "one"),
        token(SECOND, "EdDSA", "enc"),
        token(FIRST, "RS256", "strange"),
        token(FIRST, "RS256", "two"),
    ):
        with pytest.raises(InvalidToken):
            await tokens.verify(bad)


async def test_a_key_set_that_cannot_be_reached_refuses_every_token(key_server: KeyServer) -> None:
    tokens = JwtTokens(JwksKeys("http://127.0.0.1:1/keys", monotonic=Monotonic()), clock=lambda: NOW_S)
    with pytest.raises(InvalidToken):
        await tokens.verify(token(FIRST, "RS256", "one"))


def test_a_key_set_is_read_over_http_alone() -> None:
    with pytest.raises(ValueError, match="http"):
        JwksKeys("file:///etc/passwd", monotonic=Monotonic())
