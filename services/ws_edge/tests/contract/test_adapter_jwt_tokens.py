"""The row "claims" of the chat protocol, as a table of tokens."""

from typing import Any

import pytest
from token_kit import EXP, NOW_S, SECRET, base64url, signed, tokens

from ws_edge.adapters.jwt.keys import secret_key
from ws_edge.adapters.jwt.tokens import issue_token
from ws_edge.errors import InvalidToken
from ws_edge.protocol.identity import Identity, Rank, UserId


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
    ("claims", "expected"),
    [
        ({}, (False, None, None)),
        (
            {"member": True, "account_created_at": 1_600_000_000, "following_since": 1_650_000_000.5},
            (True, 1_600_000_000, 1_650_000_001),
        ),
        ({"member": 1, "account_created_at": "1600000000", "following_since": True}, (False, None, None)),
        ({"member": "true", "account_created_at": 0, "following_since": -5}, (False, 1, 1)),
        ({"account_created_at": 2**53, "following_since": 10**400}, (False, None, None)),
        ({"account_created_at": float("inf"), "following_since": float("nan")}, (False, None, None)),
    ],
)
async def test_claims_that_policies_go_by_count_as_missing_where_they_say_nothing_and_refuse_no_token(
    claims: dict[str, Any], expected: tuple[bool, int | None, int | None]
) -> None:
    identity = await tokens().verify(signed(claims | EXP | {"user_id": 3}))
    assert (identity.member, identity.account_created_at_s, identity.following_since_s) == expected


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
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "é.é.é",
        "\ud800.a.b",
        "\x00",
        base64url(b"[" * 9000) + ".e30.AA",
        base64url(b"[]") + ".e30.AA",
        base64url(b"null") + ".e30.AA",
        base64url(b'{"alg":"HS256","crit":["x"]}') + ".e30.AA",
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


@pytest.mark.parametrize(
    ("claims", "issued_at_s", "jti"),
    [
        ({}, None, None),
        ({"iat": 1_700_000_000, "jti": "5b9c"}, 1_700_000_000.0, "5b9c"),
        ({"iat": 1_700_000_000.25, "jti": 17}, 1_700_000_000.25, "17"),
        ({"iat": -5, "jti": -3}, -5.0, "-3"),
        ({"iat": "1700000000", "jti": True}, None, None),
        ({"iat": True, "jti": ""}, None, None),
        ({"iat": 10**400, "jti": "j" * 128}, None, "j" * 128),
        ({"iat": None, "jti": "j" * 129}, None, None),
        ({"iat": [5], "jti": 2**53}, None, None),
        ({"jti": 1.5}, None, None),
    ],
)
async def test_what_tokens_are_revoked_by_is_read_and_nothing_wrong_in_it_refuses_them(
    claims: dict[str, Any], issued_at_s: float | None, jti: str | None
) -> None:
    identity = await tokens().verify(signed(claims | EXP | {"user_id": 3}))
    assert (identity.issued_at_s, identity.jti) == (issued_at_s, jti)


async def test_an_issued_development_token_is_valid_for_its_lifetime() -> None:
    token = issue_token(SECRET, user_id=9, username="ana", roles=["admin"], now_s=NOW_S, lifetime_s=60)
    expected = Identity(UserId(9), "ana", None, ("admin",), Rank.ADMIN, NOW_S + 60, issued_at_s=NOW_S)
    assert await tokens().verify(token) == expected
    with pytest.raises(InvalidToken):
        await tokens().verify(issue_token(SECRET, user_id=9, now_s=NOW_S - 61, lifetime_s=60))
