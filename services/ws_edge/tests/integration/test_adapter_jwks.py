"""Tokens verified by a key set behind a URL."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from jwt.warnings import InsecureKeyLengthWarning
from key_server import FIRST, SECOND, KeyServer, first_entry, second_entry

from ws_edge.adapters.jwt import keys as jwt_keys
from ws_edge.adapters.jwt.keys import JwksKeys
from ws_edge.adapters.jwt.tokens import JwtTokens
from ws_edge.errors import InvalidToken, TokensUnavailable

pytestmark = pytest.mark.integration

NOW_S = 1_800_000_000.0


def token(key: Any, algorithm: str, key_id: str | None) -> str:
    headers = {} if key_id is None else {"kid": key_id}
    return jwt.encode({"user_id": 3, "exp": NOW_S + 60}, key, algorithm=algorithm, headers=headers)


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


class Monotonic:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def until_asked(server: KeyServer, times: int) -> None:
    async with asyncio.timeout(30):
        while server.requests < times:  # noqa: ASYNC110 - the server is a thread
            await asyncio.sleep(0.005)


async def until_read(keys: JwksKeys) -> None:
    async with asyncio.timeout(30):
        while keys._fetching is not None:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.005)


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


async def test_however_many_unknown_keys_are_named_the_server_is_asked_once_in_ten_seconds(
    key_server: KeyServer,
) -> None:
    monotonic = Monotonic()
    keys = JwksKeys(key_server.url, monotonic=monotonic)
    await keys.find("one")
    for second in range(60):
        monotonic.now_s += 1
        found = await asyncio.gather(*(keys.find(f"unknown-{second}-{number}") for number in range(100)))
        assert not any(found)
    assert key_server.requests == 7


async def test_a_key_that_left_the_set_is_refused_after_ten_minutes_though_nobody_named_another(
    key_server: KeyServer,
) -> None:
    monotonic = Monotonic()
    keys = JwksKeys(key_server.url, monotonic=monotonic)
    tokens = JwtTokens(keys, clock=lambda: NOW_S)
    await tokens.verify(token(FIRST, "RS256", "one"))
    key_server.entries = [second_entry()]
    monotonic.now_s += 601
    assert (await tokens.verify(token(FIRST, "RS256", "one"))).user_id == 3
    await until_read(keys)
    with pytest.raises(InvalidToken):
        await tokens.verify(token(FIRST, "RS256", "one"))


async def test_an_old_set_serves_while_no_new_one_can_be_read(key_server: KeyServer) -> None:
    monotonic = Monotonic()
    keys = JwksKeys(key_server.url, monotonic=monotonic)
    tokens = JwtTokens(keys, clock=lambda: NOW_S)
    await tokens.verify(token(FIRST, "RS256", "one"))
    for body in (b"not json", b"[]", b'{"keys":[]}', b'{"keys":5}', b"x" * (1024 * 1024 + 1)):
        key_server.body = body
        monotonic.now_s += 700
        assert (await tokens.verify(token(FIRST, "RS256", "one"))).user_id == 3
        await until_read(keys)
        assert (await tokens.verify(token(FIRST, "RS256", "one"))).user_id == 3
    assert key_server.requests == 6


async def test_nobody_whose_key_is_held_waits_for_a_new_set(key_server: KeyServer) -> None:
    monotonic = Monotonic()
    keys = JwksKeys(key_server.url, monotonic=monotonic)
    tokens = JwtTokens(keys, clock=lambda: NOW_S)
    await tokens.verify(token(FIRST, "RS256", "one"))
    key_server.entries.append(second_entry())
    key_server.may_answer.clear()
    monotonic.now_s += 700
    async with asyncio.timeout(4):  # the reading of a set has 5 s
        assert (await tokens.verify(token(FIRST, "RS256", "one"))).user_id == 3
    waiting = asyncio.create_task(tokens.verify(token(SECOND, "EdDSA", "two")))
    await until_asked(key_server, 2)
    assert (await tokens.verify(token(FIRST, "RS256", "one"))).user_id == 3
    assert not waiting.done()
    key_server.may_answer.set()
    assert (await waiting).user_id == 3
    assert key_server.requests == 2


async def test_a_client_that_goes_while_the_keys_are_read_leaves_them_to_the_others(key_server: KeyServer) -> None:
    tokens = verifier(key_server, Monotonic())
    key_server.may_answer.clear()
    gone = asyncio.create_task(tokens.verify(token(FIRST, "RS256", "one")))
    await until_asked(key_server, 1)
    staying = asyncio.create_task(tokens.verify(token(FIRST, "RS256", "one")))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    key_server.may_answer.set()
    assert (await staying).user_id == 3
    assert (await tokens.verify(token(FIRST, "RS256", "one"))).user_id == 3
    assert key_server.requests == 1


async def test_keys_that_come_too_slowly_are_given_up_as_a_whole(
    key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jwt_keys._FETCH_DEADLINE_S == 5.0
    monkeypatch.setattr(jwt_keys, "_FETCH_DEADLINE_S", 0.3)
    key_server.pause_s = 0.1
    keys = JwksKeys(key_server.url, monotonic=Monotonic())
    with pytest.raises(TokensUnavailable):
        await JwtTokens(keys, clock=lambda: NOW_S).verify(token(FIRST, "RS256", "one"))
    with pytest.raises(TimeoutError, match="too slowly"):
        await asyncio.to_thread(jwt_keys._read, key_server.url)


async def test_a_server_that_does_not_answer_holds_one_thread_however_often_it_would_be_asked(
    key_server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwt_keys, "_FETCH_DEADLINE_S", 0.05)
    opener = urllib.request.OpenerDirector
    patiently = opener.open  # as with a server that sends its head byte by byte
    monkeypatch.setattr(opener, "open", lambda self, url, timeout: patiently(self, url, timeout=200 * timeout))
    monotonic = Monotonic()
    keys = JwksKeys(key_server.url, monotonic=monotonic)
    key_server.may_answer.clear()
    for _ in range(3):
        with pytest.raises(TokensUnavailable):
            await keys.find("one")
        monotonic.now_s += 11
    assert key_server.requests == 1
    key_server.may_answer.set()
    assert keys._reading is not None
    await asyncio.wait([keys._reading])
    monkeypatch.undo()
    assert await keys.find("one") is not None


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


async def test_where_no_key_set_could_be_read_yet_no_token_is_called_invalid(key_server: KeyServer) -> None:
    monotonic = Monotonic()
    tokens = verifier(key_server, monotonic)
    key_server.body = b"not json"
    for _ in range(3):
        with pytest.raises(TokensUnavailable):
            await tokens.verify(token(FIRST, "RS256", "one"))
    assert key_server.requests == 1
    with pytest.raises(InvalidToken):
        await tokens.verify("rubbish")
    key_server.body = None
    monotonic.now_s += 11
    assert (await tokens.verify(token(FIRST, "RS256", "one"))).user_id == 3


async def test_a_key_set_that_cannot_be_reached_is_unavailable() -> None:
    tokens = JwtTokens(JwksKeys("http://127.0.0.1:1/keys", monotonic=Monotonic()), clock=lambda: NOW_S)
    with pytest.raises(TokensUnavailable):
        await tokens.verify(token(FIRST, "RS256", "one"))


def test_a_key_set_is_read_over_http_alone() -> None:
    with pytest.raises(ValueError, match="http"):
        JwksKeys("file:///etc/passwd", monotonic=Monotonic())


@pytest.mark.parametrize("target", ["http://id.example/keys", "ftp://127.0.0.1/keys", "http://127.0.0.1.example/keys"])
async def test_a_key_set_is_not_read_from_where_a_redirection_leaves_this_machine_without_https(
    key_server: KeyServer, target: str
) -> None:
    key_server.redirect_to = target
    keys = JwksKeys(key_server.url, monotonic=Monotonic())
    with structlog.testing.capture_logs() as logs, pytest.raises(TokensUnavailable):
        await keys.find("one")
    assert [entry["event"] for entry in logs] == ["jwks_not_read"]
    assert "redirected" in logs[0]["reason"]


async def test_a_redirection_on_this_machine_is_followed(key_server: KeyServer) -> None:
    key_server.redirect_to = f"{key_server.url}/moved"
    tokens = verifier(key_server, Monotonic())
    assert (await tokens.verify(token(FIRST, "RS256", "one"))).user_id == 3
    assert key_server.requests == 2


async def test_an_rsa_key_below_2048_bits_is_passed_over(key_server: KeyServer) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    entry: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(weak.public_key()))
    key_server.entries = [entry | {"kid": "weak"}, second_entry()]
    tokens = verifier(key_server, Monotonic())
    with pytest.warns(InsecureKeyLengthWarning):
        forged = token(weak, "RS256", "weak")
    with pytest.raises(InvalidToken):
        await tokens.verify(forged)
    assert (await tokens.verify(token(SECOND, "EdDSA", "two"))).user_id == 3
