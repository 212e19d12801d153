"""Participants: their states, their pages, and how few questions they cost."""

import json
from typing import TYPE_CHECKING

import pytest

from rooms.domain.people import Rank, UserId
from rooms.domain.sanctions import Target

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

STATES = """query Room($slug: String, $first: Int, $after: String) {
  chatRoom(slug: $slug) {
    participants(first: $first, after: $after) { userId username state connectionCount joinedAt cursor }
  }
}"""


async def states(world: "World", slug: str = "room") -> dict[str, str]:
    data = await world.data(STATES, None, slug=slug)
    return {person["username"]: person["state"] for person in data["chatRoom"]["participants"]}


async def test_online_is_connected_and_offline_was_here_in_this_life(world: "World") -> None:
    room = world.put_room("room")
    world.put_person(room, 10, "ana")
    world.put_person(room, 11, "ben", connections=0)

    assert await states(world) == {"ana": "ONLINE", "ben": "OFFLINE"}


async def test_muted_and_banned_stand_before_online_and_banned_before_muted(world: "World") -> None:
    room = world.put_room("room")
    for user_id, name in ((10, "ana"), (11, "ben"), (12, "cleo"), (13, "dan")):
        world.put_person(room, user_id, name, connections=user_id != 12)
    world.put_sanction("mute", user_id=10, slug="room")
    world.put_sanction("mute", user_id=11, slug="room")
    world.put_sanction("ban", user_id=11)
    world.put_sanction("ban", user_id=12, slug="room")

    assert await states(world) == {"ana": "MUTED", "ben": "BANNED", "cleo": "BANNED", "dan": "ONLINE"}


async def test_a_sanction_never_applies_to_a_person_of_equal_or_higher_rank(world: "World") -> None:
    room = world.put_room("room")
    ranks = {"cleo": Rank.USER, "dan": Rank.MODERATOR, "eve": Rank.ADMIN, "fay": None}
    for user_id, (name, rank) in enumerate(ranks.items(), 12):
        world.put_person(room, user_id, name, rank=rank)
        world.put_sanction("mute", user_id=user_id, slug="room", rank=Rank.MODERATOR)

    assert await states(world) == {"cleo": "MUTED", "dan": "ONLINE", "eve": "ONLINE", "fay": "MUTED"}


async def test_no_sanction_of_a_former_owner_or_a_moderator_applies_to_the_owner(world: "World") -> None:
    here = world.put_room("room", owner=world.ana)
    elsewhere = world.put_room("elsewhere", owner=world.ben)
    for room in (here, elsewhere):
        world.put_person(room, 10, "ana", rank=Rank.MODERATOR)
        world.put_person(room, 11, "ben", rank=None, connections=0)
        for user_id in (10, 11):
            world.put_sanction("ban", user_id=user_id, slug=room.slug, rank=Rank.OWNER)
            world.put_sanction("mute", user_id=user_id, slug=room.slug, rank=Rank.MODERATOR)
    assert await states(world) == {"ana": "ONLINE", "ben": "BANNED"}
    assert await states(world, "elsewhere") == {"ana": "BANNED", "ben": "OFFLINE"}
    world.owner_rank = Rank.MODERATOR
    assert await states(world) == {"ana": "BANNED", "ben": "BANNED"}


async def test_an_anonymous_target_is_known_by_its_name(world: "World") -> None:
    room = world.put_room("room")
    world.put_person(room, None, "Anonymous_192.168.1.10")
    world.put_person(room, 10, "Anonymous_192.168.1.10")
    world.put_sanction("mute", username="Anonymous_192.168.1.10", slug="room")

    data = await world.data(STATES, None, slug="room")

    assert [(p["userId"], p["state"]) for p in data["chatRoom"]["participants"]] == [(None, "MUTED"), (10, "ONLINE")]


async def test_sanctions_of_other_rooms_and_past_ones_change_nothing(world: "World") -> None:
    room = world.put_room("room")
    world.put_person(room, 10, "ana")
    world.put_sanction("ban", user_id=10, slug="elsewhere")
    world.put_sanction("ban", user_id=10, slug="room", expires_in_minutes=-1)

    assert await states(world) == {"ana": "ONLINE"}


async def test_a_participant_has_every_field_of_the_contract(world: "World") -> None:
    world.put_person(world.put_room("room"), 10, "ana", connections=2)

    data = await world.data(STATES, None, slug="room")

    assert data["chatRoom"]["participants"] == [
        {
            "userId": 10,
            "username": "ana",
            "state": "ONLINE",
            "connectionCount": 2,
            "joinedAt": "2025-11-27T16:30:00.123Z",
            "cursor": "cGFydGljaXBhbnQ6MQ",
        }
    ]


async def test_participants_go_on_after_a_cursor(world: "World") -> None:
    room = world.put_room("room")
    for number in range(1, 6):
        world.put_person(room, number, f"user_{number}")
    first = await world.data(STATES, None, slug="room", first=2)
    cursor = first["chatRoom"]["participants"][-1]["cursor"]

    second = await world.data(STATES, None, slug="room", first=2, after=cursor)

    assert [p["userId"] for p in second["chatRoom"]["participants"]] == [3, 4]


@pytest.mark.parametrize("first", [0, -5])
async def test_a_page_of_no_participants_is_invalid(world: "World", first: int) -> None:
    world.put_room("room")
    assert await world.refusal(STATES, None, slug="room", first=first) == "INVALID"


async def test_a_cursor_of_another_list_is_invalid(world: "World") -> None:
    world.put_room("room")
    cursor = (await world.data("{ chatRooms { cursor } }"))["chatRooms"][0]["cursor"]

    assert await world.refusal(STATES, None, slug="room", after=cursor) == "INVALID"


async def test_the_participants_of_many_rooms_cost_one_question_to_each_service(world: "World") -> None:
    for number in range(30):
        world.put_person(world.put_room(f"room-{number:02}"), 10, "ana")

    data = await world.data("{ chatRooms { participants { state } } }")

    assert len(data["chatRooms"]) == 30
    assert world.catalog.asked == ["list_rooms first=50 search=None", "list_participants 30"]
    assert len(world.moderation.asked) == 1


async def test_nobody_is_asked_about_but_those_who_are_shown_and_each_once_a_request(world: "World") -> None:
    room = world.put_room("room")
    for number in range(1, 4):
        world.put_person(room, number, f"user_{number}")

    await world.data(
        '{ chatRoom(slug: "room") { a: participants(first: 1) { state } b: participants(first: 2) { state } }'
        " chatRooms { participants { state } } }"
    )

    assert world.moderation.asked == ["list_active room"]
    assert world.moderation.aimed == [Target(UserId(number), None) for number in range(1, 4)]


async def test_names_are_given_while_moderation_is_away_and_states_are_refused(world: "World") -> None:
    world.put_person(world.put_room("room"), 10, "ana")
    world.moderation.is_away = True

    assert await world.data("{ chatRooms { participants { username } } }") == {
        "chatRooms": [{"participants": [{"username": "ana"}]}]
    }
    assert await world.refusal("{ chatRooms { participants { username state } } }") == "UNAVAILABLE"


async def test_states_are_found_through_fragments(world: "World") -> None:
    world.put_person(world.put_room("room"), 10, "ana")
    world.put_sanction("mute", user_id=10, slug="room")

    data = await world.data(
        "query Q { chatRooms { participants { ...P } } }"
        " fragment P on Participant { ... on Participant { mood: state } }"
    )

    assert data == {"chatRooms": [{"participants": [{"mood": "MUTED"}]}]}


async def test_a_missing_moderation_spoils_those_lists_alone_that_ask_for_states(world: "World") -> None:
    world.put_person(world.put_room("room"), 10, "ana")
    world.moderation.is_away = True

    body, status = await world.answer(
        '{ plain: chatRoom(slug: "room") { participants { username } }'
        ' full: chatRoom(slug: "room") { participants { state } } }'
    )

    assert status == 200
    assert body["data"] == {"plain": {"participants": [{"username": "ana"}]}, "full": None}
    assert [error["path"] for error in body["errors"]] == [["full", "participants"]]


async def test_an_answer_has_at_most_5000_list_elements(world: "World") -> None:
    for number in range(60):
        room = world.put_room(f"room-{number}")
        for user in range(1, 101):
            world.put_person(room, user, f"user_{user}")

    body, status = await world.answer("{ chatRooms(first: 100) { participants(first: 100) { username } } }")

    assert status == 200
    assert body["data"] is None
    assert {error["extensions"]["code"] for error in body["errors"]} == {"INVALID"}
    assert len(json.dumps(body)) < 20_000
