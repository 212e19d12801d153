"""Tokens of HS256 are verified by ws_edge.adapters.jwt.tokens.read_hs256 where they are plain: as PyJWT verifies them,
whatever they are."""

import base64
import json
import string
from typing import Any

import pytest
from hypothesis import given, strategies as st
from token_kit import EXP, HEADER, NOW_S, SECRET, sealed, signed, tokens

from ws_edge.adapters.jwt.keys import FixedKeys, VerificationKey, secret_key
from ws_edge.adapters.jwt.tokens import JwtTokens
from ws_edge.errors import InvalidToken
from ws_edge.protocol.identity import Identity

BY_PYJWT = FixedKeys((VerificationKey(SECRET.encode(), "HS256"),))
_ALPHABET = string.ascii_letters + string.digits + "-_"
ISSUER, AUDIENCE = "https://issuer.example", "salon"

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=3), each, max_size=3),
    max_leaves=4,
)
_headers = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["HS256", "HS256", "HS256", "hs256", "none", "HS512", "RS256", "", None, 5, ["HS256"]]),
        "typ": st.sampled_from(["JWT", "at+jwt", "id+jwt", "jwt", None, 1]),
        "kid": st.sampled_from(["", "1", "../../etc/passwd", None, 1, ["1"]]),
        "b64": st.booleans(),
        "crit": st.sampled_from([[], ["b64"], ["exp"], None]),
        "zip": st.just("DEF"),
    },
)
_claims = st.fixed_dictionaries(
    {"user_id": st.sampled_from([1, "7"]) | _json},
    optional={
        "exp": st.sampled_from([NOW_S + 60, NOW_S - 60, int(NOW_S) + 60, str(NOW_S + 60), None]) | _json,
        "nbf": st.sampled_from([NOW_S - 60, NOW_S + 60, None, "0"]) | _json,
        "iat": st.sampled_from([NOW_S, NOW_S + 9e9, "x", None]) | _json,
        "iss": st.sampled_from([ISSUER, "", None, [ISSUER]]) | _json,
        "aud": st.sampled_from([AUDIENCE, [AUDIENCE], ["x", AUDIENCE], [AUDIENCE, 1], "", None]) | _json,
        "sub": _json,
        "jti": _json,
        "username": st.text(max_size=3),
        "roles": st.sampled_from([["admin"], "admin"]),
    },
)
_payloads = st.one_of(
    _claims.map(lambda claims: json.dumps(claims).encode()),
    _json.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=20),
    st.sampled_from([b'{"user_id":1,"exp":1e999}', b'{"user_id":1,"user_id":2,"exp":2e9}', b"{}", b"[" * 99_999, b""]),
)
_settings = st.fixed_dictionaries(
    {"require_exp": st.booleans()},
    optional={"issuer": st.sampled_from([ISSUER, ""]), "audience": st.sampled_from([AUDIENCE, ""])},
)


@st.composite
def _tokens(draw: st.DrawFn) -> str:
    header = json.dumps(draw(_headers | st.just(HEADER))).encode()
    token = sealed(header, draw(_payloads), secret=draw(st.sampled_from([SECRET, SECRET, SECRET, "another"])))
    kind = draw(st.sampled_from(["whole", "whole", "changed", "cut", "padded", "dotted"]))
    at = draw(st.integers(0, len(token) - 1))
    match kind:
        case "changed":
            sign = draw(st.sampled_from(_ALPHABET + ".=+/ \n"))
            return token[:at] + sign + token[at + 1 :]
        case "cut":
            return token[:at]
        case "padded":
            return token + draw(st.sampled_from(["=", "==", "A", "\n"]))
        case "dotted":
            return token[:at] + "." + token[at:]
        case _:
            return token


async def outcome(verifier: JwtTokens, token: str) -> Identity | str:
    try:
        return await verifier.verify(token)
    except InvalidToken:
        return "refused"


@given(token=_tokens(), settings=_settings)
async def test_a_token_is_accepted_or_refused_as_pyjwt_does(token: str, settings: dict[str, Any]) -> None:
    assert await outcome(tokens(**settings), token) == await outcome(tokens(BY_PYJWT, **settings), token)


@pytest.mark.parametrize(
    "settings", [{}, {"issuer": ISSUER, "audience": AUDIENCE}, {"require_exp": False}], ids=["plain", "bound", "no exp"]
)
@pytest.mark.parametrize("header", [HEADER, {"alg": "HS256"}, {"alg": "HS256", "kid": "1"}])
async def test_what_issuers_write_is_verified_without_pyjwt(
    settings: dict[str, Any], header: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object, **__: object) -> dict[str, Any]:
        raise AssertionError("PyJWT was asked")

    monkeypatch.setattr("ws_edge.adapters.jwt.tokens.jwt.decode", decode)
    claims = {"user_id": 1, "username": "ana", "iss": ISSUER, "aud": AUDIENCE, **EXP}
    assert (await tokens(**settings).verify(signed(claims, header=header))).username == "ana"
    with pytest.raises(AssertionError, match=r"^PyJWT was asked$"):
        await tokens(**settings).verify(signed(claims, header=header, secret="another"))


async def test_bytes_that_are_written_in_another_way_are_no_second_form_of_a_token() -> None:
    """The last character of 32 bytes in base64 has two bits that say nothing."""
    token = signed({"user_id": 1} | EXP)
    twin = next(sign for sign in _ALPHABET if sign != token[-1] and _decodes_alike(token, sign))
    assert await outcome(tokens(), token) != "refused"
    assert await outcome(tokens(), token[:-1] + twin) == "refused"


def _decodes_alike(token: str, sign: str) -> bool:
    signature = token.rpartition(".")[2] + "="
    return base64.urlsafe_b64decode(signature) == base64.urlsafe_b64decode(signature[:-2] + sign + "=")


@pytest.mark.parametrize(
    "secret", ["-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", '{"kty": "oct", "k": "x"}']
)
async def test_a_secret_that_pyjwt_takes_for_another_kind_of_key_verifies_nothing(secret: str) -> None:
    verifier = JwtTokens(secret_key(secret), clock=lambda: NOW_S)
    with pytest.raises(InvalidToken):
        await verifier.verify(signed({"user_id": 1} | EXP, secret=secret))
