"""Who revokes which tokens, and for how long they are kept (moderation.md, "Where it holds")."""

import pytest

from moderation.api.grpc.convert import encode_revocation, order_from_proto, receipt_to_proto, refusal_to_proto
from moderation.domain.commands import Receipt
from moderation.domain.erasures import Origin
from moderation.domain.people import Moderator, Rank
from moderation.domain.revocations import Revocation, RevocationAction, RevocationCommand, RevocationOrder
from moderation.domain.rights import may_revoke
from moderation.errors import MalformedRequest, TooManyRevocations
from salon.moderation.v1 import moderation_pb2 as pb

ADMIN = Moderator(9, Rank.ADMIN)
ACTOR = pb.Speaker(user_id=9, username="admin", rank=pb.RANK_ADMIN)
YEAR_MS = 365 * 86_400_000


def of_user(
    moderator: Moderator = ADMIN, user_id: int = 7, before_ms: int = 0, rank: Rank | None = None
) -> RevocationCommand:
    return RevocationCommand(moderator, user_id, "", "Stolen", before_ms, rank)


@pytest.mark.parametrize(
    ("command", "is_permitted"),
    [
        (of_user(), True),
        (of_user(rank=Rank.MODERATOR), True),
        (of_user(rank=Rank.ADMIN), False),
        (of_user(Moderator(9, Rank.SUPERUSER), rank=Rank.ADMIN), True),
        (of_user(Moderator(9, Rank.MODERATOR)), False),
        (of_user(Moderator(0, Rank.ADMIN)), False),
        (of_user(user_id=9), False),
        (RevocationCommand(ADMIN, 0, "a", ""), True),
        (RevocationCommand(Moderator(9, Rank.MODERATOR), 0, "a", ""), False),
    ],
)
def test_admins_revoke_what_is_not_their_own_and_of_nobody_connected_of_their_rank(
    command: RevocationCommand, *, is_permitted: bool
) -> None:
    assert may_revoke(command) is is_permitted


def test_it_is_kept_for_as_long_as_a_token_that_it_means_may_live() -> None:
    times = {"now_ms": 1_000_000, "token_life_ms": YEAR_MS}
    assert of_user().revocation(**times) == Revocation(7, "", 1_000_000, 1_000_000 + YEAR_MS)
    assert of_user(before_ms=5_000).revocation(**times) == Revocation(7, "", 5_000, 1_000_000 + YEAR_MS)
    assert of_user(before_ms=9_000_000).revocation(**times) == Revocation(7, "", 1_060_000, 1_060_000 + YEAR_MS)
    one = RevocationCommand(ADMIN, 0, "a", "")
    assert one.revocation(**times) == Revocation(0, "a", 0, 1_000_000 + YEAR_MS)
    assert (one.action, of_user().action) == (RevocationAction.REVOKE_TOKEN, RevocationAction.REVOKE_TOKENS)


def test_one_of_long_ago_still_means_the_tokens_that_do_not_say_when_they_were_issued() -> None:
    now_ms = 3 * YEAR_MS
    kept = of_user(before_ms=1).revocation(now_ms=now_ms, token_life_ms=YEAR_MS)
    assert kept == Revocation(7, "", 1, now_ms + YEAR_MS)


def test_an_earlier_one_that_reaches_further_is_not_shortened() -> None:
    known = Revocation(7, "", 5_000, 9_000, 3)
    assert Revocation(7, "", 4_000, 8_000).after(known) == Revocation(7, "", 5_000, 9_000)
    assert Revocation(7, "", 6_000, 9_500).after(known) == Revocation(7, "", 6_000, 9_500)
    assert known.after(None) is known
    assert (known.key, Revocation(0, "u:7", 0, 1).key) == ("u:7", "t:u:7")


def test_commands_and_what_they_come_to_cross_the_wire() -> None:
    tokens = pb.RevokeTokens(user_id=7, before_ms=5)
    request = pb.ExecuteRequest(
        actor=ACTOR, reason="Stolen", nonce="n", edge="e", target_rank=pb.RANK_USER, revoke_tokens=tokens
    )
    expected = RevocationCommand(ADMIN, 7, "", "Stolen", 5, Rank.USER)
    assert order_from_proto(request) == RevocationOrder(expected, Origin("e", 0, "n"))
    request = pb.ExecuteRequest(actor=ACTOR, revoke_token=pb.RevokeToken(jti="a" * 128))
    assert order_from_proto(request) == RevocationOrder(RevocationCommand(ADMIN, 0, "a" * 128, ""))
    revocation = Revocation(7, "", 5, 6, 7)
    wire = pb.TokenRevocation(user_id=7, before_ms=5, until_ms=6, version=7)
    answer = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_DONE, action_id=3, revocation=wire)
    assert receipt_to_proto(Receipt(3, revocation=revocation), order_from_proto(request)) == answer
    assert pb.RevocationEvent.FromString(encode_revocation(revocation)) == pb.RevocationEvent(revocations=[wire])
    refused = pb.ExecuteResponse(outcome=pb.ExecuteResponse.OUTCOME_TOO_MANY_REVOCATIONS)
    assert refusal_to_proto(TooManyRevocations()) == refused


@pytest.mark.parametrize(
    "command",
    [
        {"revoke_tokens": pb.RevokeTokens()},
        {"revoke_tokens": pb.RevokeTokens(user_id=-1)},
        {"revoke_tokens": pb.RevokeTokens(user_id=7, before_ms=-1)},
        {"revoke_token": pb.RevokeToken()},
        {"revoke_token": pb.RevokeToken(jti="a" * 129)},
    ],
)
def test_what_breaks_the_contract_is_malformed(command: dict[str, pb.RevokeTokens | pb.RevokeToken]) -> None:
    with pytest.raises(MalformedRequest):
        order_from_proto(pb.ExecuteRequest(actor=ACTOR, **command))  # type: ignore[arg-type]
