"""Revoked tokens: "refused until they expire; tokens without iat count as older" (moderation.md, "Where it holds")."""

import pytest
from msgspec.structs import replace

from ws_edge.protocol.identity import Identity, Rank, UserId
from ws_edge.protocol.revocations import Revocation, RevokedTokens

ANA = Identity(UserId(7), "ana", None, (), Rank.USER, None, issued_at_s=100.0, jti="a")


def of_user(before_s: float, until_s: float = 1_000.0, user_id: int = 7) -> Revocation:
    return Revocation(UserId(user_id), "", before_s, until_s, 1)


def one(jti: str, until_s: float = 1_000.0) -> Revocation:
    return Revocation(None, jti, 0.0, until_s, 1)


def revoked(*revocations: Revocation) -> RevokedTokens:
    known = RevokedTokens()
    for revocation in revocations:
        known.apply(revocation)
    return known


@pytest.mark.parametrize(
    ("revocation", "is_refused"),
    [
        (of_user(100.5), True),
        (of_user(100.0), False),
        (of_user(99.9), False),
        (of_user(100.5, user_id=8), False),
        (one("a"), True),
        (one("b"), False),
        (one(""), False),
    ],
)
def test_a_token_is_refused_that_was_issued_before_the_time_or_has_the_jti(
    revocation: Revocation, is_refused: bool
) -> None:
    assert revoked(revocation).includes(ANA) is is_refused


def test_a_token_without_iat_counts_as_older_and_one_without_jti_is_no_one_token() -> None:
    assert revoked(of_user(0.001)).includes(replace(ANA, issued_at_s=None))
    assert not revoked(of_user(0.001, user_id=8), one("a")).includes(replace(ANA, issued_at_s=None, jti=None))


def test_anonymous_people_have_no_token() -> None:
    nobody = Identity(None, "Anonymous_10.0.0.1", None, (), Rank.ANONYMOUS, None)
    assert not revoked(of_user(200.0), one("a")).includes(nobody)


def test_of_two_times_of_a_user_the_later_one_holds_in_whatever_order_they_are_heard() -> None:
    known = RevokedTokens()
    assert known.apply(of_user(101.0, 900.0))
    assert not known.apply(of_user(101.0, 900.0))
    assert not known.apply(of_user(50.0, 950.0))
    assert known.includes(ANA)
    assert known.apply(of_user(102.0, 800.0))
    assert len(known) == 1
    known.drop_ended(UserId(7), now_s=950.0)
    assert known.includes(ANA)
    known.drop_ended(UserId(7), now_s=950.1)
    assert (known.includes(ANA), len(known)) == (False, 0)


def test_what_means_no_token_any_more_that_has_not_expired_is_let_go_of() -> None:
    known = revoked(of_user(101.0), one("a"), one("b", 2_000.0))
    assert not known.apply(one("a", 500.0))
    assert known.listed() == [UserId(7), "a", "b"]
    for key in known.listed():
        known.drop_ended(key, now_s=1_000.1)
    assert known.listed() == ["b"]
    known.drop_ended("gone", now_s=5_000.0)
    known.drop_ended(UserId(9), now_s=5_000.0)
    assert len(known) == 1
