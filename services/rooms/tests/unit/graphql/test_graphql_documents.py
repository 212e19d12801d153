"""The two operations of the frontend document, byte for byte, and their answers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

CREATE_CHAT_ROOM = """\
mutation CreateChatRoom {
  createChatRoom(
    name: "Discussion Générale"
    slug: "live-general" # Identifiant unique lisible (optionnel)
    description: "Chat public"
    isPublic: true
  ) {
    id
    slug
    name
    isPublic
    createdAt
  }
}
"""

GET_CHAT_ROOMS = """\
query GetChatRooms {
  chatRooms {
    id
    slug
    name
    description
    isPublic
    participantCount
  }
}
"""


async def test_create_chat_room_works_as_written(world: "World") -> None:
    body, status = await world.answer(CREATE_CHAT_ROOM, world.ana)

    assert status == 200
    assert body == {
        "data": {
            "createChatRoom": {
                "id": 1000000001,
                "slug": "live-general",
                "name": "Discussion Générale",
                "isPublic": True,
                "createdAt": "2025-11-27T16:30:00.123Z",
            }
        }
    }


async def test_create_chat_room_keeps_what_was_not_asked_back(world: "World") -> None:
    await world.data(CREATE_CHAT_ROOM, world.ana)

    (room,) = world.catalog.rooms.values()
    assert (room.settings.description, room.settings.allow_anonymous, room.owner) == ("Chat public", True, 10)


async def test_get_chat_rooms_works_as_written_and_without_signing_in(world: "World") -> None:
    world.put_room("live-general", connections=5)

    body, status = await world.answer(GET_CHAT_ROOMS, operation="GetChatRooms", allow_mutation=False)

    assert status == 200
    assert body == {
        "data": {
            "chatRooms": [
                {
                    "id": 1,
                    "slug": "live-general",
                    "name": "live-general",
                    "description": None,
                    "isPublic": True,
                    "participantCount": 5,
                }
            ]
        }
    }
