"""Mutations on rooms, invitations and videos: who may, and what is refused with which code."""

from typing import TYPE_CHECKING

import pytest

from rooms.domain.people import Slug
from rooms.domain.rooms import CreationPolicy

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

CREATE = """mutation Create(
  $name: String!, $slug: String, $description: String, $public: Boolean, $anonymous: Boolean
) {
  createChatRoom(name: $name, slug: $slug, description: $description, isPublic: $public, allowAnonymous: $anonymous) {
    slug name description isPublic allowAnonymous createdBy
  }
}"""
UPDATE = """mutation Update($id: SafeInt!, $name: String, $description: String, $public: Boolean, $anonymous: Boolean) {
  updateChatRoom(id: $id, name: $name, description: $description, isPublic: $public, allowAnonymous: $anonymous) {
    name description isPublic allowAnonymous
  }
}"""
DELETE = "mutation Delete($id: SafeInt!) { deleteChatRoom(id: $id) }"
INVITE = """mutation Invite($slug: String!, $user: SafeInt!) {
  inviteToChatRoom(slug: $slug, userId: $user) { slug userId invitedBy createdAt }
}"""
REVOKE = "mutation Revoke($slug: String!, $user: SafeInt!) { revokeInvitation(slug: $slug, userId: $user) }"
REGISTER = """mutation Register($id: SafeInt!, $title: String!) {
  registerVideo(id: $id, title: $title) { id title createdAt }
}"""


async def test_creating_a_room_needs_a_signed_in_user(world: "World") -> None:
    assert await world.refusal(CREATE, None, name="Room") == "UNAUTHENTICATED"
    assert world.catalog.rooms == {}


async def test_creating_a_room_may_be_left_to_admins(world: "World") -> None:
    world.creation = CreationPolicy(admins_only=True)
    assert await world.refusal(CREATE, world.mod, name="Room") == "FORBIDDEN"
    assert await world.data(CREATE, world.admin, name="Room")


@pytest.mark.parametrize("slug", ["staff", "STAFF", "official-x", "Official-"])
async def test_reserved_slugs_are_for_admins(world: "World", slug: str) -> None:
    world.creation = CreationPolicy(reserved=("staff", "official-*"))
    assert await world.refusal(CREATE, world.mod, name="Room", slug=slug) == "FORBIDDEN"
    assert await world.refusal(CREATE, world.mod, name=f"{slug}x" if slug.endswith("-") else slug) == "FORBIDDEN"
    assert await world.data(CREATE, world.admin, name="Room", slug=slug)


@pytest.mark.parametrize("slug", ["staff-1", "unofficial-x", "stuff"])
async def test_slugs_that_no_pattern_matches_whole_are_not_reserved(world: "World", slug: str) -> None:
    world.creation = CreationPolicy(reserved=("staff", "official-*", "s.aff"))
    assert await world.data(CREATE, world.ana, name="Room", slug=slug)


async def test_a_user_keeps_the_settings_of_so_many_rooms(world: "World") -> None:
    world.creation = CreationPolicy(quota=2)
    for slug in ("a1", "a2"):
        await world.data(CREATE, world.ana, name="Room", slug=slug)
    assert await world.refusal(CREATE, world.ana, name="Room", slug="a3") == "FORBIDDEN"
    assert await world.data(CREATE, world.ben, name="Room", slug="a3")


async def test_a_created_room_is_public_and_open_to_anonymous_users_by_default(world: "World") -> None:
    shown = {
        "slug": "room",
        "name": "Room",
        "description": None,
        "isPublic": True,
        "allowAnonymous": True,
        "createdBy": 10,
    }

    assert await world.data(CREATE, world.ana, name="Room") == {"createChatRoom": shown}


async def test_null_settings_stand_for_their_defaults(world: "World") -> None:
    data = await world.data(CREATE, world.ana, name="Room", slug=None, description=None, public=None, anonymous=None)

    assert (data["createChatRoom"]["isPublic"], data["createChatRoom"]["allowAnonymous"]) == (True, True)


async def test_a_private_room_is_made_where_it_is_asked_for(world: "World") -> None:
    data = await world.data(CREATE, world.ana, name="Room", public=False, anonymous=False, description="a\nb")

    assert data["createChatRoom"] == {
        "slug": "room",
        "name": "Room",
        "description": "a\nb",
        "isPublic": False,
        "allowAnonymous": False,
        "createdBy": 10,
    }


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Discussion Générale", "discussion-générale"),
        ("  Été   2025! ", "été-2025"),
        ("チャット", "チャット"),
        ("42", "room-42"),
        ("video 42", "room-video-42"),
        ("!?", "room"),
    ],
)
async def test_without_slug_one_is_made_from_the_name(world: "World", name: str, slug: str) -> None:
    assert (await world.data(CREATE, world.ana, name=name))["createChatRoom"]["slug"] == slug


async def test_a_slug_made_from_a_name_is_kept_unique(world: "World") -> None:
    made = [(await world.data(CREATE, world.ana, name="Room"))["createChatRoom"]["slug"] for _ in range(3)]

    assert made == ["room", "room-2", "room-3"]


@pytest.mark.parametrize(
    "slug", ["1", "0042", "video-42", "video-0", "", ".hidden", "a b", "a/b", "x" * 129, "a\x00", "\ud800", "\u200b"]
)
async def test_a_slug_of_digits_or_of_a_video_or_malformed_is_invalid(world: "World", slug: str) -> None:
    assert await world.refusal(CREATE, world.ana, name="Room", slug=slug) == "INVALID"
    assert world.catalog.rooms == {}


@pytest.mark.parametrize("slug", ["x", "x" * 128, "live-general", "été.2025_a:b@c~d", "video-x", "1a"])
async def test_a_well_formed_slug_is_taken(world: "World", slug: str) -> None:
    assert (await world.data(CREATE, world.ana, name="Room", slug=slug))["createChatRoom"]["slug"] == slug


async def test_a_slug_in_use_is_a_conflict(world: "World") -> None:
    world.put_room("live-general")

    assert await world.refusal(CREATE, world.ana, name="Room", slug="live-general") == "CONFLICT"


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\x00b", "a\nb", "\ud800"])
async def test_a_name_that_is_empty_or_too_long_or_unprintable_is_invalid(world: "World", name: str) -> None:
    world.put_room("mine", owner=world.ana)

    assert await world.refusal(CREATE, world.ana, name=name) == "INVALID"
    assert await world.refusal(UPDATE, world.ana, id=1, name=name) == "INVALID"


@pytest.mark.parametrize("description", ["x" * 2001, "a\x00b", "\udfff"])
async def test_a_description_that_is_too_long_or_unprintable_is_invalid(world: "World", description: str) -> None:
    world.put_room("mine", owner=world.ana)

    assert await world.refusal(CREATE, world.ana, name="Room", description=description) == "INVALID"
    assert await world.refusal(UPDATE, world.ana, id=1, description=description) == "INVALID"


@pytest.mark.parametrize("query", [UPDATE, DELETE])
async def test_a_room_is_changed_and_deleted_by_its_creator_and_by_admins_alone(world: "World", query: str) -> None:
    world.put_room("mine", owner=world.ana)

    assert await world.refusal(query, None, id=1) == "UNAUTHENTICATED"
    for viewer in (world.ben, world.mod):
        assert await world.refusal(query, viewer, id=1) == "FORBIDDEN"
    for viewer in (world.ana, world.admin, world.root):
        world.put_room("mine", owner=world.ana)
        room_id = world.catalog.rooms[Slug("mine")].room_id
        await world.data(query, viewer, id=room_id)


@pytest.mark.parametrize("query", [UPDATE, DELETE])
@pytest.mark.parametrize("room_id", [99, 0, -1])
async def test_a_room_that_is_not_there_is_not_found(world: "World", query: str, room_id: int) -> None:
    assert await world.refusal(query, world.admin, id=room_id) == "NOT_FOUND"


async def test_a_private_room_is_not_betrayed_to_strangers(world: "World") -> None:
    world.put_room("secret", owner=world.ana, is_public=False)

    for query in (UPDATE, DELETE):
        assert await world.refusal(query, world.ben, id=1) == "NOT_FOUND"
    for query in (INVITE, REVOKE):
        assert await world.refusal(query, world.ben, slug="secret", user=11) == "NOT_FOUND"


async def test_an_update_changes_what_is_named_alone(world: "World") -> None:
    world.put_room("mine", owner=world.ana)

    await world.data(UPDATE, world.ana, id=1, description="Chat public")
    data = await world.data(UPDATE, world.ana, id=1, name="New", public=False)

    assert data["updateChatRoom"] == {
        "name": "New",
        "description": "Chat public",
        "isPublic": False,
        "allowAnonymous": True,
    }


async def test_a_description_of_null_is_removed_and_other_nulls_change_nothing(world: "World") -> None:
    world.put_room("mine", owner=world.ana)
    await world.data(UPDATE, world.ana, id=1, description="Chat public", anonymous=False)

    data = await world.data(UPDATE, world.ana, id=1, name=None, description=None, public=None, anonymous=None)

    assert data["updateChatRoom"] == {
        "name": "mine",
        "description": None,
        "isPublic": True,
        "allowAnonymous": False,
    }


async def test_deleting_a_room_tells_every_edge(world: "World") -> None:
    room = world.put_room("mine", owner=world.ana)

    assert await world.data(DELETE, world.ana, id=1) == {"deleteChatRoom": True}
    assert [ended.life for ended in world.events.deleted] == [room.life]
    assert world.catalog.rooms == {}


async def test_invitations_are_given_and_revoked_by_the_creator_and_admins(world: "World") -> None:
    world.put_room("mine", owner=world.ana)
    shown = {"slug": "mine", "userId": 11, "invitedBy": 10, "createdAt": "2025-11-27T16:30:00.123Z"}

    assert await world.data(INVITE, world.ana, slug="mine", user=11) == {"inviteToChatRoom": shown}
    assert await world.data(INVITE, world.admin, slug="mine", user=11) == {"inviteToChatRoom": shown}
    assert await world.data(REVOKE, world.root, slug="mine", user=11) == {"revokeInvitation": True}
    assert await world.data(REVOKE, world.ana, slug="mine", user=11) == {"revokeInvitation": False}


@pytest.mark.parametrize("query", [INVITE, REVOKE])
async def test_others_neither_invite_nor_revoke(world: "World", query: str) -> None:
    world.put_room("mine", owner=world.ana)

    assert await world.refusal(query, None, slug="mine", user=11) == "UNAUTHENTICATED"
    for viewer in (world.ben, world.mod):
        assert await world.refusal(query, viewer, slug="mine", user=11) == "FORBIDDEN"
    assert await world.refusal(query, world.admin, slug="nothing", user=11) == "NOT_FOUND"
    assert await world.refusal(query, world.admin, slug="a\x00b", user=11) == "INVALID"


@pytest.mark.parametrize("user_id", [0, -1])
async def test_nobody_is_invited_who_cannot_be(world: "World", user_id: int) -> None:
    world.put_room("mine", owner=world.ana)

    assert await world.refusal(INVITE, world.ana, slug="mine", user=user_id) == "INVALID"


async def test_videos_are_registered_by_admins_and_superusers_alone(world: "World") -> None:
    assert await world.refusal(REGISTER, None, id=42, title="Live") == "UNAUTHENTICATED"
    for viewer in (world.ana, world.mod):
        assert await world.refusal(REGISTER, viewer, id=42, title="Live") == "FORBIDDEN"
    for viewer in (world.admin, world.root):
        data = await world.data(REGISTER, viewer, id=42, title="Live")
        assert data == {"registerVideo": {"id": 42, "title": "Live", "createdAt": "2025-11-27T16:30:00.123Z"}}


@pytest.mark.parametrize(("video_id", "title"), [(0, "Live"), (-1, "Live"), (42, " "), (42, "x" * 201), (42, "a\x07")])
async def test_a_video_without_a_proper_id_or_title_is_invalid(world: "World", video_id: int, title: str) -> None:
    assert await world.refusal(REGISTER, world.admin, id=video_id, title=title) == "INVALID"
    assert world.catalog.videos == {}
