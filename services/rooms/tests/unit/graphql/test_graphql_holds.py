"""heldMessages(): what waits for a moderator, for those of the room."""

from typing import TYPE_CHECKING

from rooms.domain.holds import HeldMessage
from rooms.domain.people import Slug, UserId

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

HELD = """query($slug: String!, $first: Int, $after: String) { heldMessages(slug: $slug, first: $first, after: $after) {
    holdId slug userId username message replyTo rule heldAt expiresAt cursor } }"""
AT = "2025-11-27T16:30:00.123Z"


def held(world: "World", number: int, user_id: int | None = 10) -> HeldMessage:
    author, now = None if user_id is None else UserId(user_id), world.ports.clock()
    return HeldMessage(number, Slug("room"), author, "ana", "see evil.com", None, "words", now, now)


async def test_what_waits_is_shown_with_every_field_of_the_contract_a_page_at_a_time(world: "World") -> None:
    world.moderation.held = [held(world, number) for number in (9, 8, 7)]
    first, second = (await world.data(HELD, world.admin, slug="room", first=2))["heldMessages"]
    assert first == {
        "holdId": 9,
        "slug": "room",
        "userId": 10,
        "username": "ana",
        "message": "see evil.com",
        "replyTo": None,
        "rule": "words",
        "heldAt": AT,
        "expiresAt": AT,
        "cursor": first["cursor"],
    }
    (third,) = (await world.data(HELD, world.admin, slug="room", after=second["cursor"]))["heldMessages"]
    assert third["holdId"] == 7


async def test_moderators_and_above_read_what_waits_and_others_do_not(world: "World") -> None:
    world.moderation.held = [held(world, 9, None)]
    (shown,) = (await world.data(HELD, world.mod, slug="room"))["heldMessages"]
    assert shown["userId"] is None
    assert await world.refusal(HELD, world.ana, slug="room") == "FORBIDDEN"
    assert await world.refusal(HELD, slug="room") == "UNAUTHENTICATED"
    assert await world.refusal(HELD, world.mod, slug=".") == "INVALID"
