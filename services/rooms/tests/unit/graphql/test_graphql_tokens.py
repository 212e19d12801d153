"""revokeTokens and revokeToken: for admins; moderation decides the rest."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from rooms.domain.people import Rank
from rooms.errors import NotPermitted, TooManyRevocations

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

OF_USER = """mutation($userId: SafeInt!, $before: DateTime, $reason: String) {
  revokeTokens(userId: $userId, before: $before, reason: $reason) { actionId before until } }"""
ONE = """mutation($jti: String!, $reason: String) {
  revokeToken(jti: $jti, reason: $reason) { actionId before until } }"""


async def test_the_tokens_of_a_user_are_revoked_until_now_or_until_a_time(world: "World") -> None:
    world.ranks[66] = Rank.USER
    assert (await world.data(OF_USER, world.admin, userId=66))["revokeTokens"] == {
        "actionId": 77,
        "before": "2025-11-27T16:30:00.123Z",
        "until": "2026-11-27T16:30:00.123Z",
    }
    named = {"userId": 66, "before": "2025-11-27T16:30:59.000Z", "reason": "Stolen\nlaptop"}
    assert (await world.data(OF_USER, world.root, **named))["revokeTokens"]["before"] == named["before"]
    assert world.moderation.asked == [
        "revoke 66 2 None ''",
        "revoke 66 2 2025-11-27T16:30:59+00:00 'Stolen\\nlaptop'",
    ]


async def test_one_token_is_revoked_by_its_jti(world: "World") -> None:
    revoked = (await world.data(ONE, world.admin, jti="a" * 128, reason="Leaked"))["revokeToken"]
    assert revoked == {"actionId": 77, "before": None, "until": "2026-11-27T16:30:00.123Z"}
    assert world.moderation.asked == [f"revoke {'a' * 128!r} 'Leaked'"]


@pytest.mark.parametrize("query", [OF_USER, ONE])
async def test_revoking_is_for_admins(world: "World", query: str) -> None:
    asked = {"userId": 66, "jti": "a"}
    assert await world.refusal(query, None, **asked) == "UNAUTHENTICATED"
    assert await world.refusal(query, world.ana, **asked) == "FORBIDDEN"
    assert await world.refusal(query, world.mod, **asked) == "FORBIDDEN"
    assert world.moderation.asked == []


async def test_what_nobody_can_mean_is_invalid(world: "World") -> None:
    too_late = (datetime(2025, 11, 27, 16, 31, 1, tzinfo=UTC)).isoformat()
    for wrong in ({"userId": 0}, {"userId": 66, "before": too_late}, {"userId": 66, "reason": "r" * 501}):
        assert await world.refusal(OF_USER, world.admin, **wrong) == "INVALID"
    for jti in ("", "a" * 129, "a\u0000"):
        assert await world.refusal(ONE, world.admin, jti=jti) == "INVALID"
    assert world.moderation.asked == []


@pytest.mark.parametrize(
    ("refusal", "text"),
    [
        (NotPermitted, "You do not have permission to do this"),
        (TooManyRevocations, "As many tokens are revoked as may be"),
    ],
)
async def test_a_refusal_of_moderation_is_forbidden_with_its_text(
    world: "World", refusal: type[Exception], text: str
) -> None:
    world.moderation.refusals[0] = refusal()
    body, _ = await world.answer(ONE, world.admin, variables=b'{"jti": "a"}')
    assert body["errors"][0]["message"] == text
    assert body["errors"][0]["extensions"]["code"] == "FORBIDDEN"
