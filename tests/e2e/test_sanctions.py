"""Sanctions: bans and mutes, ranks, scopes, addresses, and that they outlive the room."""

import pytest
from chat_client import STAMP, Client, Person, Visitors, of_type, person
from graphql_client import GraphQL
from slow_stories import Stories

NOT_PERMITTED = ("You do not have permission to moderate this room", "not_moderator")
SILENCED = ("You are muted or banned", "muted_or_banned")


async def act(client: Client, action: str, target: Person, **more: object) -> dict[str, object]:
    """Moderate, and wait for the moderator's own copy."""
    await client.send("moderation_action", action=action, target_user_id=target.user_id, **more)
    return await client.wait_for("moderation_action", action=action, target_user_id=target.user_id)


async def test_ban_tells_everyone_and_closes_every_connection_of_the_target_with_4003(
    visitors: Visitors, room: str, admin: Person, ana: Person, bob: Person
) -> None:
    chair, witness = await visitors.join(room, admin), await visitors.join(room, ana)
    targets = [await visitors.join(room, bob), await visitors.join(room, bob)]
    elsewhere = await visitors.join(f"{room}-other", bob)
    await chair.send_raw(
        '{"type":"moderation_action","data":{"action":"ban","target_user_id":ID,"duration_minutes":60}}'.replace(
            "ID", str(bob.user_id)
        )
    )
    for client in (chair, witness, *targets):
        data = await client.wait_for("moderation_action")
        wanted = {
            "action": "ban",
            "target_user_id": bob.user_id,
            "moderator_user_id": admin.user_id,
            "duration_minutes": 60,
        }
        assert wanted.items() <= data.items()
        assert STAMP.fullmatch(data["timestamp"])
    assert [await target.closed() for target in targets] == [4003, 4003]
    await witness.wait_for("user_left", user_id=bob.user_id)
    await elsewhere.say("another room is another matter")


async def test_banned_is_refused_with_access_denied_4003_until_unbanned_and_nobody_is_told_that_they_came(
    visitors: Visitors, room: str, admin: Person, bob: Person
) -> None:
    chair = await visitors.join(room, admin)
    await act(chair, "ban", bob)
    await (await visitors.connect(f"/chat/ws/room/{room}", bob)).refused("Access denied", 4003)
    await chair.say("marker")
    assert of_type(chair.seen, "user_joined") == []
    await act(chair, "unban", bob)
    back = await visitors.join(room, bob)
    assert back.joined["connection_count"] == 2


async def test_mute_tells_everyone_and_the_target_stays_and_reads(
    visitors: Visitors, room: str, moderator: Person, ana: Person, bob: Person
) -> None:
    chair, witness, target = (
        await visitors.join(room, moderator),
        await visitors.join(room, ana),
        await visitors.join(room, bob),
    )
    await act(chair, "mute", bob, duration_minutes=10)
    for client in (witness, target):
        assert (await client.wait_for("moderation_action"))["action"] == "mute"
    await target.send("chat_message", message="hello?", nonce="m1")
    await target.expect_error(*SILENCED, nonce="m1")
    await target.send("typing_start")
    await witness.say("can you read this?")
    await target.wait_for("chat_message", message="can you read this?")
    await chair.say("marker")
    frames = await witness.collect_until("chat_message", message="marker")
    assert of_type(frames, "typing_start") == []
    await act(chair, "unmute", bob)
    await target.say("thanks")


async def test_mute_holds_for_a_new_connection_too(
    visitors: Visitors, room: str, moderator: Person, bob: Person
) -> None:
    chair = await visitors.join(room, moderator)
    await act(chair, "mute", bob)
    target = await visitors.join(room, bob)
    await target.send("chat_message", message="back again")
    await target.expect_error(*SILENCED)


async def test_mute_once_the_moderators_own_copy_arrived_nothing_of_the_target_is_admitted(
    visitors: Visitors, room: str, moderator: Person
) -> None:
    chair = await visitors.join(room, moderator)
    for round_ in range(5):
        target = person(f"t{round_}")
        client = await visitors.join(room, target)
        await act(chair, "mute", target)
        await client.send("chat_message", message="too late")
        await client.expect_error(*SILENCED)
    await chair.say("marker")
    assert "too late" not in [m["message"] for m in of_type(chair.seen, "chat_message")]


async def test_sanctions_outlive_the_ephemeral_room(
    visitors: Visitors, graphql: GraphQL, room: str, admin: Person, ana: Person, bob: Person
) -> None:
    chair = await visitors.join(room, admin)
    room_id = chair.joined["room_id"]
    await act(chair, "ban", bob)
    await act(chair, "mute", ana)
    await chair.leave()
    await graphql.gone(room)
    await (await visitors.connect(f"/chat/ws/room/{room}", bob)).refused("Access denied", 4003)
    assert await graphql.room(slug=room) is None, "a banned user who connects makes no room"
    muted = await visitors.join(room, ana)
    await muted.send("chat_message", message="x")
    await muted.expect_error(*SILENCED)
    again = await visitors.connect(f"/chat/ws/room/{muted.joined['room_id']}", bob)
    await again.refused("Access denied", 4003)
    assert room_id > 0


async def test_ban_of_a_user_holds_for_anonymous_connections_from_their_address(
    visitors: Visitors, room: str, admin: Person, bob: Person, ana: Person, address: str
) -> None:
    chair = await visitors.join(room, admin)
    await visitors.join(room, bob, address=address)
    await chair.wait_for("user_joined", user_id=bob.user_id)
    await act(chair, "ban", bob)
    without_token = await visitors.connect(f"/chat/ws/room/{room}", address=address)
    await without_token.refused("Access denied", 4003)
    await visitors.join(room, ana, address=address)  # a user from there is not meant
    await visitors.join(f"{room}-other", address=address)  # nor is another room


async def test_ban_of_a_user_closes_anonymous_connections_from_their_address_that_are_inside(
    visitors: Visitors, room: str, admin: Person, bob: Person, address: str
) -> None:
    chair = await visitors.join(room, admin)
    await visitors.join(room, bob, address=address)
    disguised = await visitors.join(room, address=address)
    elsewhere = await visitors.join(room, address="127.0.200.9")
    await act(chair, "ban", bob)
    assert await disguised.closed() == 4003
    await elsewhere.say("I come from somewhere else")


async def test_mute_of_a_user_holds_for_anonymous_connections_from_their_address(
    visitors: Visitors, room: str, moderator: Person, bob: Person, address: str
) -> None:
    chair = await visitors.join(room, moderator)
    await visitors.join(room, bob, address=address)
    await chair.wait_for("user_joined", user_id=bob.user_id)
    await act(chair, "mute", bob)
    disguised = await visitors.join(room, address=address)
    await disguised.send("chat_message", message="it is me again")
    await disguised.expect_error(*SILENCED)


async def test_ban_of_an_anonymous_target_by_name_bans_the_address(
    visitors: Visitors, room: str, admin: Person, bob: Person, address: str
) -> None:
    chair = await visitors.join(room, admin)
    guest = await visitors.join(room, address=address)
    name = f"Anonymous_{address}"
    await chair.send("moderation_action", action="ban", target_username=name, reason="noise")
    data = await chair.wait_for("moderation_action")
    assert {"action": "ban", "target_user_id": None, "target_username": name}.items() <= data.items()
    assert await guest.closed() == 4003
    await (await visitors.connect(f"/chat/ws/room/{room}", address=address)).refused("Access denied", 4003)
    await visitors.join(room, bob, address=address)  # holds for anonymous users only
    await chair.send("moderation_action", action="unban", target_username=name)
    await chair.wait_for("moderation_action", action="unban")
    await visitors.join(room, address=address)


async def test_mute_of_an_anonymous_target_by_name(
    visitors: Visitors, room: str, moderator: Person, address: str
) -> None:
    chair = await visitors.join(room, moderator)
    guest = await visitors.join(room, address=address)
    await chair.send("moderation_action", action="mute", target_username=f"Anonymous_{address}")
    await chair.wait_for("moderation_action", action="mute")
    await guest.send("chat_message", message="psst")
    await guest.expect_error(*SILENCED)


@pytest.mark.parametrize(
    ("roles", "action", "permitted"),
    [
        ((), "mute", False),
        (("user",), "mute", False),
        (("user",), "ban", False),
        (("user",), "unban", False),
        (("moderator",), "mute", True),
        (("moderator",), "unmute", True),
        (("moderator",), "ban", False),
        (("moderator",), "unban", False),
        (("admin",), "mute", True),
        (("admin",), "ban", True),
        (("admin",), "unban", True),
        (("superuser",), "mute", True),
        (("superuser",), "ban", True),
    ],
)
async def test_rank_table_of_the_document(
    visitors: Visitors, room: str, roles: tuple[str, ...], action: str, permitted: bool, bob: Person
) -> None:
    actor = person("actor", *roles)
    client = await visitors.join(room, actor)
    await client.send("moderation_action", action=action, target_user_id=bob.user_id)
    if permitted:
        assert (await client.wait_for("moderation_action"))["action"] == action
    else:
        await client.expect_error(*NOT_PERMITTED)


async def test_rank_of_anonymous_users_permits_nothing(
    visitors: Visitors, room: str, bob: Person, address: str
) -> None:
    client = await visitors.join(room, address=address)
    await client.send("moderation_action", action="mute", target_user_id=bob.user_id)
    await client.expect_error(*NOT_PERMITTED)


async def test_rank_claims_is_admin_and_is_moderator_are_the_same_as_the_roles(
    visitors: Visitors, room: str, bob: Person
) -> None:
    from chat_client import in_an_hour, mint

    for number, claim, action in ((81_001, "is_admin", "ban"), (81_002, "is_moderator", "mute")):
        token = mint({"user_id": number, claim: True, "exp": in_an_hour()})
        client = await visitors.join(f"{room}?token={token}")
        await client.send("moderation_action", action=action, target_user_id=bob.user_id)
        assert (await client.wait_for("moderation_action"))["moderator_user_id"] == number


@pytest.mark.parametrize(("role", "action"), [("moderator", "mute"), ("admin", "ban"), ("superuser", "ban")])
async def test_rank_equal_or_higher_targets_that_are_connected_are_refused(
    visitors: Visitors, room: str, role: str, action: str
) -> None:
    actor, equal = person("actor", role), person("equal", role)
    client, target = await visitors.join(room, actor), await visitors.join(room, equal)
    await client.send("moderation_action", action=action, target_user_id=equal.user_id)
    await client.expect_error(*NOT_PERMITTED)
    await target.say("still here")


async def test_rank_nobody_may_sanction_themselves(visitors: Visitors, room: str, admin: Person) -> None:
    client = await visitors.join(room, admin)
    await client.send("moderation_action", action="mute", target_user_id=admin.user_id)
    await client.expect_error(*NOT_PERMITTED)


async def test_rank_a_sanction_never_applies_to_a_token_of_equal_or_higher_rank(
    visitors: Visitors, room: str, moderator: Person
) -> None:
    absent = person("absent admin", "admin")
    client = await visitors.join(room, moderator)
    await act(client, "mute", absent)
    arrived = await visitors.join(room, absent)
    await arrived.say("I outrank that")


async def test_an_action_on_someone_who_was_never_there_is_fine(visitors: Visitors, room: str, admin: Person) -> None:
    client = await visitors.join(room, admin)
    await client.send_raw(
        '{"type":"moderation_action","data":{"action":"ban","target_user_id":123,"duration_minutes":60}}'
    )
    await client.wait_for("moderation_action", target_user_id=123)
    await client.send("moderation_action", action="unmute", target_user_id=999_999_999)
    await client.wait_for("moderation_action", action="unmute")


@pytest.mark.parametrize(
    "data",
    [
        {"action": "kick", "target_user_id": 5},
        {"action": "ban"},
        {"action": "ban", "target_user_id": "5"},
        {"action": "ban", "target_user_id": 1.5},
        {"action": "ban", "target_user_id": None},
        {"target_user_id": 5},
        {"action": "ban", "target_user_id": 5, "duration_minutes": -1},
        {"action": "ban", "target_user_id": 5, "duration_minutes": 525601},
        {"action": "ban", "target_user_id": 5, "duration_minutes": "60"},
        {"action": "ban", "target_user_id": 5, "duration_minutes": 1.5},
        {"action": "ban", "target_user_id": 5, "reason": "x" * 501},
        {"action": "ban", "target_user_id": 5, "reason": 7},
        {"action": "ban", "target_user_id": 5, "scope": "galaxy"},
        {"action": 7, "target_user_id": 5},
    ],
    ids=str,
)
async def test_moderation_action_of_the_wrong_shape_is_an_invalid_message_format(
    visitors: Visitors, room: str, admin: Person, data: dict[str, object]
) -> None:
    client = await visitors.join(room, admin)
    await client.send_wrong("moderation_action", **data)
    await client.expect_error("Invalid message format", "invalid_format")


async def test_moderation_action_takes_the_largest_values(
    visitors: Visitors, room: str, admin: Person, bob: Person
) -> None:
    client = await visitors.join(room, admin)
    data = await act(client, "mute", bob, duration_minutes=525600, reason="é" * 500, scope="room")
    assert data["duration_minutes"] == 525600
    assert (await act(client, "mute", bob))["duration_minutes"] == 0


async def test_scope_everywhere_closes_the_target_in_every_room_and_is_for_admins(
    visitors: Visitors, room: str, admin: Person, moderator: Person, ana: Person, bob: Person
) -> None:
    chair = await visitors.join(room, admin)
    aide = await visitors.join(room, moderator)
    target, witness = await visitors.join(f"{room}-other", bob), await visitors.join(f"{room}-other", ana)
    await aide.send("moderation_action", action="mute", target_user_id=bob.user_id, scope="everywhere")
    await aide.expect_error(*NOT_PERMITTED)
    await act(chair, "ban", bob, scope="everywhere")
    assert await target.closed() == 4003
    await witness.wait_for("user_left", user_id=bob.user_id)
    await (await visitors.connect(f"/chat/ws/room/{room}-third", bob)).refused("Access denied", 4003)
    await act(chair, "unban", bob, scope="everywhere")
    await visitors.join(f"{room}-third", bob)


async def test_sanctions_end_by_themselves_when_their_time_is_up(stories: Stories) -> None:
    outcome = await stories.outcome("timed_mute")
    assert outcome["refused"] >= 10
    assert 58 <= outcome["heard_s"] <= 70


async def test_typing_ends_by_itself_after_10_seconds_and_a_start_while_typing_extends_it(stories: Stories) -> None:
    outcome = await stories.outcome("typing_ends")
    assert outcome["types"] == ["typing_stop"]
    assert 13 <= outcome["stopped_s"] <= 16
