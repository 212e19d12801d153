"""Room references: ids, slugs, what is created and how."""

from urllib.parse import quote

import pytest
import salon_processes
from chat_client import Person, Visitors, person
from graphql_client import GraphQL
from salon_processes import Salon


@pytest.mark.parametrize("number", [1, 42, 2**53 - 1])
async def test_digits_are_an_id_and_make_a_room_of_that_id_whose_slug_is_its_digits(
    visitors: Visitors, graphql: GraphQL, ana: Person, number: int
) -> None:
    client = await visitors.join(number, ana)
    assert client.joined["room_id"] == number
    room = await graphql.room(ana, id=number)
    assert room is not None
    assert (room["id"], room["slug"]) == (number, str(number))


@pytest.mark.parametrize(
    "reference",
    [
        "0",
        "01",
        "007",
        str(2**53),
        "9" * 40,
        ".hidden",
        "a b",
        "a/b",
        "a,b",
        "a" * 129,
        "é" * 129,
        "a\x00b",
        "<b>",
        "a?b",
        "a#b",
        "😀",
        "video-0",
        "video-01",
        f"video-{2**53}",
    ],
    ids=ascii,
)
async def test_malformed_references_are_not_found_4004(visitors: Visitors, ana: Person, reference: str) -> None:
    client = await visitors.connect(f"/chat/ws/room/{quote(reference, safe='')}", ana)
    await client.refused("Not found", 4004)
    assert client.seen[0]["data"]["code"] == "not_found"


@pytest.mark.parametrize(
    "slug",
    [
        "Live-General_1.b:c@d~e",
        "été-à-la-plage",
        "чат",
        "聊天室",
        "चैट",
        "٣٤",
        "1a",
        "a" * 128,
        "-",
        "~",
        "video-x",
        "Video-7",
    ],
)
async def test_slugs_of_letters_and_digits_of_any_script(
    visitors: Visitors, graphql: GraphQL, ana: Person, slug: str
) -> None:
    client = await visitors.join(quote(slug, safe=""), ana)
    room = await graphql.room(ana, id=client.joined["room_id"])
    assert room is not None
    assert room["slug"] == slug


async def test_slugs_are_one_room_in_every_unicode_form(visitors: Visitors, ana: Person, bob: Person) -> None:
    composed = await visitors.join(quote("caf\u00e9-nfc"), ana)
    decomposed = await visitors.join(quote("cafe\u0301-nfc"), bob)
    assert composed.joined["room_id"] == decomposed.joined["room_id"]
    assert decomposed.joined["connection_count"] == 2


async def test_slugs_are_case_sensitive(visitors: Visitors, room: str, ana: Person, bob: Person) -> None:
    lower = await visitors.join(room, ana)
    upper = await visitors.join(room.upper(), bob)
    assert lower.joined["room_id"] != upper.joined["room_id"]


async def test_an_id_and_the_slug_of_the_same_room_meet(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    by_slug = await visitors.join(room, ana)
    by_id = await visitors.join(by_slug.joined["room_id"], bob)
    assert by_id.joined["connection_count"] == 2
    await by_id.say("the same room")
    assert (await by_slug.wait_for("chat_message"))["message"] == "the same room"


async def test_ids_that_the_server_chooses_start_at_1_000_000_000(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, ana)
    assert client.joined["room_id"] >= 1_000_000_000
    other = await visitors.join(f"{room}-b", ana)
    assert other.joined["room_id"] > client.joined["room_id"]


async def test_ids_that_the_server_chooses_skip_what_is_taken(visitors: Visitors, room: str, ana: Person) -> None:
    latest: int = (await visitors.join(f"{room}-1", ana)).joined["room_id"]
    for number in range(latest + 1, latest + 4):
        assert (await visitors.join(number, ana)).joined["room_id"] == number
    chosen = (await visitors.join(f"{room}-2", ana)).joined["room_id"]
    assert chosen > latest + 3


async def test_an_auto_created_room_has_the_settings_of_the_document(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person
) -> None:
    await visitors.join(room, ana)
    found = await graphql.room(ana, slug=room)
    assert found is not None
    wanted = {"createdBy": 1, "roomType": "live", "isPublic": True, "allowAnonymous": True, "slug": room}
    assert {key: found[key] for key in wanted} == wanted


async def test_created_by_1_gives_the_user_with_id_1_no_rights(
    visitors: Visitors, graphql: GraphQL, room: str, bob: Person
) -> None:
    first = person("number one", "user", user_id=1)
    target = await visitors.join(room, bob)
    client = await visitors.join(room, first)
    await client.send("moderation_action", action="mute", target_user_id=bob.user_id)
    await client.expect_error("You do not have permission to moderate this room", "not_moderator")
    room_id = client.joined["room_id"]
    assert (
        await graphql.refusal("mutation($id: SafeInt!) { deleteChatRoom(id: $id) }", first, id=room_id) == "FORBIDDEN"
    )
    assert (
        await graphql.refusal(
            'mutation($id: SafeInt!) { updateChatRoom(id: $id, name: "mine") { id } }', first, id=room_id
        )
        == "FORBIDDEN"
    )
    assert (await target.say("still here"))["message"] == "still here"


async def test_auto_create_slugs_creates_for_slugs_alone_and_never_for_none(
    choosy: Salon, choosy_visitors: Visitors, ana: Person, room: str
) -> None:
    await choosy_visitors.join(room, ana)
    await (await choosy_visitors.connect("/chat/ws/room/7", ana)).refused("Not found", 4004)
    await choosy_visitors.close()
    choosy.rooms.kill()
    salon_processes.wait_until_unready(choosy.edges[0])
    choosy.rooms.configure("ROOMS_AUTO_CREATE", "never")
    choosy.rooms.start()
    salon_processes.wait_until_ready(choosy.edges[0])
    await (await choosy_visitors.connect("/chat/ws/room/never-seen", ana)).refused("Not found", 4004)
    await (await choosy_visitors.connect("/chat/ws/room/8", ana)).refused("Not found", 4004)
    choosy.rooms.kill()
    salon_processes.wait_until_unready(choosy.edges[0])
    choosy.rooms.configure("ROOMS_AUTO_CREATE", "slugs")
    choosy.rooms.start()
    salon_processes.wait_until_ready(choosy.edges[0])
