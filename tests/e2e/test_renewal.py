"""A token that is renewed on an open connection, over real sockets and two edges."""

import pytest
from chat_client import Person, Visitors, act_until, in_an_hour, mint, person
from salon_processes import Edge


async def test_new_roles_hold_at_once_on_the_open_connection(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person, bob: Person
) -> None:
    chair = await visitors.join(room, ana)
    target = await visitors.join(room, bob, ws=second_edge.ws)
    promoted = person(ana.username, "moderator", user_id=ana.user_id)
    await chair.send("authenticate", token=promoted.token)
    told = await chair.wait_for("authenticated")
    assert (told["you"]["roles"], told["you"]["user_id"]) == (["moderator"], ana.user_id)
    await chair.send("moderation_action", action="mute", target_user_id=bob.user_id)
    await chair.wait_for("moderation_action", target_user_id=bob.user_id)
    await target.send("chat_message", message="too late")
    await target.expect_error("You are muted or banned", "muted_or_banned")
    await chair.send("authenticate", token=ana.token)
    assert (await chair.wait_for("authenticated"))["you"]["may"] == ["write"]
    await chair.send("moderation_action", action="mute", target_user_id=bob.user_id)
    await chair.expect_error("You do not have permission to moderate this room", "not_moderator")


@pytest.mark.parametrize(
    ("before", "after", "outcome"), [("user", "admin", "error"), ("admin", "user", "moderation_action")]
)
async def test_a_moderator_on_another_edge_may_act_on_who_was_renewed_down_and_not_on_who_was_renewed_up(
    visitors: Visitors, second_edge: Edge, room: str, moderator: Person, before: str, after: str, outcome: str
) -> None:
    old = person("renewed", before)
    client = await visitors.join(room, old)
    chair = await visitors.join(room, moderator, ws=second_edge.ws)
    await client.send("authenticate", token=person("renewed", after, user_id=old.user_id).token)
    await client.wait_for("authenticated")
    await act_until(chair, outcome, action="mute", target_user_id=old.user_id)


async def test_a_sanction_of_another_edge_that_the_old_rank_was_above_closes_who_loses_it(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person, admin: Person
) -> None:
    high = person(ana.username, "superuser", user_id=ana.user_id)
    chair = await visitors.join(room, admin, ws=second_edge.ws)
    await chair.send("moderation_action", action="ban", target_user_id=ana.user_id)
    await chair.wait_for("moderation_action")
    client = await visitors.join(room, high)
    await client.send("authenticate", token=ana.token)
    await client.expect_error("Access denied", "access_denied")
    assert await client.closed() == 4003


async def test_a_token_of_somebody_else_or_a_bad_one_leaves_the_connection_as_it_was(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    client = await visitors.join(room, ana)
    guest = await visitors.join(room)
    forged = mint({"user_id": ana.user_id, "roles": ["admin"], "exp": in_an_hour()}, secret="x" * 40)
    for token in (bob.token, forged, "nonsense"):
        await client.send("authenticate", token=token)
        await client.expect_error("Invalid token", "invalid_token")
    await guest.send("authenticate", token=ana.token)
    await guest.expect_error("Invalid token", "invalid_token")
    await client.say("still here")
