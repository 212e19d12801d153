"""What a banned user reads at the door: which ban it is, why, until when, and whether they may ask."""

from edge_world import World

from ws_edge.protocol.identity import UserId
from ws_edge.protocol.sanctions import BanNotice

DENIED = {"message": "Access denied", "code": "access_denied"}


async def test_a_banned_user_reads_which_ban_it_is_and_whether_they_may_ask(world: World) -> None:
    world.moderation.banned.add(UserId(5))
    world.moderation.ban_notice = BanNotice(17, "spam", None, can_appeal=True)
    client = await world.arrive("s", "5:user")
    await world.settle()
    ban = {"id": 17, "reason": "spam", "expires_at": None, "can_appeal": True}
    assert client.frames == [{"type": "error", "data": {**DENIED, "sanction": ban}}]
    assert (client.closed_with, world.moderation.found_bans) == (4003, [("u:5", "s")])


async def test_where_that_cannot_be_read_or_no_ban_is_aimed_at_them_they_read_what_they_always_did(
    world: World,
) -> None:
    world.moderation.banned.add(UserId(5))
    client = await world.arrive("s", "5:user")
    await world.settle()
    assert client.frames == [{"type": "error", "data": DENIED}]


async def test_who_is_not_signed_in_may_not_ask_and_nobody_is_asked_about_them(world: World) -> None:
    world.moderation.banned.add(None)
    client = await world.arrive("s")
    await world.settle()
    assert (client.frames, world.moderation.found_bans) == ([{"type": "error", "data": DENIED}], [])
