"""The row "claims" of the chat protocol, as a table of tokens."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ws_edge.adapters.jwt.keys import KeySource, public_key, secret_key
from ws_edge.adapters.jwt.tokens import JwtTokens, issue_token
from ws_edge.errors import InvalidToken
from ws_edge.protocol.identity import Identity, Rank, UserId

NOW_S = 1_800_000_000.0
SECRET = "a secret of thirty-two bytes, no less"
EXP = {"exp": NOW_S + 60}


def signed(claims: Any, *, secret: str = SECRET, header: dict[str, Any] | None = None) -> str:
    """By hand, so that nothing of PyJWT's own checks stands between the table and the verifier."""
    parts = [header or {"alg": "HS256", "typ": "JWT"}, claims]
    text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_base64(hmac.digest(secret.encode(), text.encode(), hashlib.sha256))}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def tokens(keys: KeySource | None = None, **settings: Any) -> JwtTokens:
    return JwtTokens(keys or secret_key(SECRET), clock=lambda: NOW_S, **settings)


@pytest.mark.parametrize(
    ("claims", "user_id"),
    [
        ({"user_id": 1}, 1),
        ({"user_id": 123}, 123),
        ({"user_id": "123"}, 123),
        ({"user_id": 2**53 - 1}, 2**53 - 1),
        ({"user_id": str(2**53 - 1)}, 2**53 - 1),
        ({"sub": "7"}, 7),
        ({"sub": 7}, 7),
        ({"user_id": 5, "sub": "7"}, 5),
    ],
)
async def test_the_user_id_is_user_id_if_present_else_sub(claims: dict[str, Any], user_id: int) -> None:
    identity = await tokens().verify(signed(claims | EXP))
    assert identity == Identity(UserId(user_id), f"user_{user_id}", None, (), Rank.USER, NOW_S + 60)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"user_id": 0},
        {"user_id": -1},
        {"user_id": 2**53},
        {"user_id": "9007199254740992"},
        {"user_id": True},
        {"user_id": 1.0},
        {"user_id": None, "sub": "7"},
        {"user_id": "ana", "sub": "7"},
        {"user_id": "", "sub": "7"},
        {"user_id": "07"},
        {"user_id": "1_0"},
        {"user_id": " 7"},
        {"user_id": "٣"},
        {"user_id": "7\n"},
        {"user_id": [7]},
        {"sub": "ana"},
        {"sub": False},
    ],
)
async def test_a_user_id_that_is_no_whole_number_from_1_below_2_to_the_53_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        await tokens().verify(signed(claims | EXP))


@pytest.mark.parametrize(
    ("claims", "roles", "rank"),
    [
        ({}, (), Rank.USER),
        ({"roles": ["user"]}, ("user",), Rank.USER),
        ({"roles": ["moderator"]}, ("moderator",), Rank.MODERATOR),
        ({"roles": ["admin", "moderator"]}, ("admin", "moderator"), Rank.ADMIN),
        ({"roles": ["moderator", "superuser", "user"]}, ("moderator", "superuser", "user"), Rank.SUPERUSER),
        ({"roles": ["owner", "Admin", 5, None, ["admin"]]}, (), Rank.USER),
        ({"roles": "admin"}, (), Rank.USER),
        ({"roles": {"admin": True}}, (), Rank.USER),
        ({"is_admin": True}, ("admin",), Rank.ADMIN),
        ({"is_moderator": True}, ("moderator",), Rank.MODERATOR),
        ({"is_admin": True, "roles": ["admin"]}, ("admin",), Rank.ADMIN),
        ({"is_admin": "true", "is_moderator": 1}, (), Rank.USER),
        ({"is_superuser": True}, (), Rank.USER),
    ],
)
async def test_roles_and_flags_give_the_highest_rank_and_unknown_ones_are_ignored(
    claims: dict[str, Any], roles: tuple[str, ...], rank: Rank
) -> None:
    identity = await tokens().verify(signed(claims | EXP | {"user_id": 3}))
    assert (identity.roles, identity.rank) == (roles, rank)


@pytest.mark.parametrize(
    ("claims", "username", "email"),
    [
        ({"username": "john_doe", "email": "j@example.org"}, "john_doe", "j@example.org"),
        ({"username": "Zoë 🎈"}, "Zoë 🎈", None),
        ({"username": ""}, "user_3", None),
        ({"username": "  "}, "user_3", None),
        ({"username": None}, "user_3", None),
        ({"username": "a" * 200}, "a" * 200, None),
        ({"email": 5}, "user_3", None),
        ({"email": "x" * 321}, "user_3", None),
        ({"email": "\ud800"}, "user_3", None),
    ],
)
async def test_the_username_is_the_claim_else_user_and_the_id(
    claims: dict[str, Any], username: str, email: str | None
) -> None:
    identity = await tokens().verify(signed(claims | EXP | {"user_id": 3}))
    assert (identity.username, identity.email) == (username, email)


@pytest.mark.parametrize("username", ["a" * 201, "a\nb", "a\x00", "\ud83d", "a\u2028b", 5, ["ana"], True])
async def test_a_username_that_cannot_be_shown_is_refused(username: Any) -> None:
    with pytest.raises(InvalidToken):
        await tokens().verify(signed({"user_id": 3, "username": username} | EXP))


@pytest.mark.parametrize(
    "times",
    [
        {},
        {"exp": NOW_S},
        {"exp": NOW_S - 1},
        {"exp": None},
        {"exp": str(NOW_S + 60)},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 10**400},
        {"exp": NOW_S + 60, "nbf": NOW_S + 11},
        {"exp": NOW_S + 60, "nbf": "now"},
    ],
)
async def test_a_token_without_a_present_validity_is_refused(times: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        await tokens().verify(signed({"user_id": 3} | times))


async def test_a_setting_lifts_the_need_for_exp_and_not_its_force() -> None:
    lenient = tokens(require_exp=False)
    assert (await lenient.verify(signed({"user_id": 3}))).expires_at_s is None
    with pytest.raises(InvalidToken):
        await lenient.verify(signed({"user_id": 3, "exp": NOW_S - 1}))


@pytest.mark.parametrize(
    ("claims", "is_accepted"),
    [
        ({"iss": "https://id", "aud": "salon"}, True),
        ({"iss": "https://id", "aud": ["other", "salon"]}, True),
        ({"iss": "https://id"}, False),
        ({"aud": "salon"}, False),
        ({"iss": "https://other", "aud": "salon"}, False),
        ({"iss": "https://id", "aud": "salon2"}, False),
        ({"iss": ["https://id"], "aud": "salon"}, False),
        ({"iss": "https://id", "aud": {"salon": 1}}, False),
    ],
)
async def test_iss_and_aud_are_checked_where_configured_and_ignored_where_not(
    claims: dict[str, Any], is_accepted: bool
) -> None:
    token = signed({"user_id": 3} | EXP | claims)
    assert (await tokens(issuer="", audience="").verify(token)).user_id == 3
    strict = tokens(issuer="https://id", audience="salon")
    if is_accepted:
        assert (await strict.verify(token)).user_id == 3
    else:
        with pytest.raises(InvalidToken):
            await strict.verify(token)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "HS512", "RS256", "", None, 5, ["HS256"], {}])
async def test_only_hs256_is_accepted_with_a_secret(algorithm: Any) -> None:
    unsigned = signed({"user_id": 3} | EXP, header={"alg": algorithm, "typ": "JWT"})
    for token in (unsigned, unsigned.rpartition(".")[0] + "."):
        with pytest.raises(InvalidToken):
            await tokens().verify(token)


KEYS: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey] = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def pem_of(algorithm: str) -> str:
    return KEYS[algorithm].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem_of(algorithm: str) -> bytes:
    return KEYS[algorithm].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_a_public_key_verifies_with_the_algorithm_of_its_kind(algorithm: str) -> None:
    token = jwt.encode({"user_id": 3} | EXP, private_pem_of(algorithm), algorithm=algorithm)
    assert (await tokens(public_key(pem_of(algorithm))).verify(token)).user_id == 3
    assert (await tokens(public_key(pem_of(algorithm).replace("\n", "\\n"))).verify(token)).user_id == 3


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_a_public_key_used_as_a_secret_is_refused(algorithm: str) -> None:
    confused = signed({"user_id": 3} | EXP, secret=pem_of(algorithm))
    with pytest.raises(InvalidToken):
        await tokens(public_key(pem_of(algorithm))).verify(confused)


async def test_a_key_of_another_kind_is_refused_when_it_is_configured() -> None:
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    with pytest.raises(ValueError, match="P-256"):
        public_key(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    with pytest.raises(ValueError, match=r"."):
        public_key("not a key")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "é.é.é",
        "\ud800.a.b",
        "\x00",
        _base64(b"[" * 9000) + ".e30.AA",
        _base64(b"[]") + ".e30.AA",
        _base64(b"null") + ".e30.AA",
        _base64(b'{"alg":"HS256","crit":["x"]}') + ".e30.AA",
        "a" * 20_000,
        signed({"user_id": 3} | EXP, secret="another secret of thirty-two bytes...."),
        signed({"user_id": 3} | EXP)[:-2],
        signed([1, 2]),
        signed("text"),
        signed(None),
    ],
)
async def test_a_malformed_or_badly_signed_token_is_refused_and_never_quoted(token: str) -> None:
    with pytest.raises(InvalidToken) as refusal:
        await tokens().verify(token)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None
    if len(token) > 4:
        assert token[:5] not in str(refusal.value)


OLD_SECRET = "another secret of at least thirty-two bytes"


async def test_a_previous_secret_signs_until_its_end_and_not_a_moment_longer() -> None:
    claims = {"user_id": 1, "exp": NOW_S + 3600}
    new, old = signed(claims), signed(claims, secret=OLD_SECRET)
    still = tokens(secret_key(SECRET, previous=OLD_SECRET, previous_until_s=NOW_S + 0.001))
    assert (await still.verify(new)).user_id == (await still.verify(old)).user_id == 1
    over = tokens(secret_key(SECRET, previous=OLD_SECRET, previous_until_s=NOW_S))
    assert (await over.verify(new)).user_id == 1
    for refusing in (over, tokens()):
        with pytest.raises(InvalidToken):
            await refusing.verify(old)


async def test_a_previous_secret_lifts_no_other_check() -> None:
    verifier = tokens(secret_key(SECRET, previous=OLD_SECRET, previous_until_s=NOW_S + 60), audience="salon")
    for claims in (
        {"user_id": 1, "exp": NOW_S - 1, "aud": "salon"},
        {"user_id": 1, **EXP, "aud": "others"},
        {**EXP, "aud": "salon"},
    ):
        with pytest.raises(InvalidToken):
            await verifier.verify(signed(claims, secret=OLD_SECRET))


async def test_an_issued_development_token_is_valid_for_its_lifetime() -> None:
    token = issue_token(SECRET, user_id=9, username="ana", roles=["admin"], now_s=NOW_S, lifetime_s=60)
    assert await tokens().verify(token) == Identity(UserId(9), "ana", None, ("admin",), Rank.ADMIN, NOW_S + 60)
    with pytest.raises(InvalidToken):
        await tokens().verify(issue_token(SECRET, user_id=9, now_s=NOW_S - 61, lifetime_s=60))
