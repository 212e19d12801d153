"""Roles of rooms: who gives them, who reads them, and what they are worth here."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from rooms.domain.people import Rank, Slug, UserId
from rooms.domain.roles import RoleHolder, RolePage, RoomRole
from rooms.usecases.queries import viewer_in

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

SET = """mutation($slug: String!, $id: SafeInt!, $role: RoomRole) {
  setRoomRole(slug: $slug, userId: $id, role: $role) { userId role givenBy givenAt } }"""
TAKE_BACK = "mutation($slug: String!, $id: SafeInt!) { setRoomRole(slug: $slug, userId: $id) { userId } }"
LIST = """query($slug: String!, $first: Int, $after: String) {
  roomRoles(slug: $slug, first: $first, after: $after) { userId role cursor } }"""
SANCTIONS = "query($slug: String) { sanctions(slug: $slug) { id } }"
LIFT = "mutation($id: SafeInt!) { liftSanction(id: $id) { id } }"


def give(world: "World", slug: str, user_id: int, role: RoomRole, *, owner: int | None) -> None:
    """As if it had been given."""

    whose = None if owner is None else UserId(owner)
    page = world.moderation.roles.get(Slug(slug), RolePage(whose, []))
    held = [*page.holders, RoleHolder(UserId(user_id), role, UserId(30), datetime.fromtimestamp(0, UTC))]
    world.moderation.roles[Slug(slug)] = RolePage(whose, sorted(held, key=lambda holder: holder.user_id))


async def test_an_owner_gives_a_role_and_takes_it_back(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    given = await world.data(SET, world.ana, slug="live", id=50, role="VIP")
    assert given["setRoomRole"] == {
        "userId": 50,
        "role": "VIP",
        "givenBy": world.ana.user_id,
        "givenAt": "2025-11-27T16:30:00.123Z",
    }
    assert world.moderation.asked == ["set_role live 10 OWNER"]
    assert await world.data(TAKE_BACK, world.ana, slug="live", id=50) == {"setRoomRole": None}
    assert (await world.data(SET, world.ana, slug="live", id=50, role=None))["setRoomRole"] is None


async def test_an_admin_gives_roles_in_every_room_and_where_there_is_none_yet(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    for slug in ("live", "to-come"):
        await world.data(SET, world.admin, slug=slug, id=50, role="MODERATOR")
    assert world.moderation.asked == ["set_role live 10 ADMIN", "set_role to-come None ADMIN"]


async def test_nobody_else_gives_roles(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    world.put_room("secret", owner=world.ana, is_public=False)
    give(world, "live", 11, RoomRole.MODERATOR, owner=10)
    for viewer, slug, code in (
        (None, "live", "UNAUTHENTICATED"),
        (world.ben, "live", "FORBIDDEN"),
        (world.mod, "live", "FORBIDDEN"),
        (world.ben, "secret", "NOT_FOUND"),
        (world.ana, "nothing", "NOT_FOUND"),
    ):
        assert await world.refusal(SET, viewer, slug=slug, id=50, role="VIP") == code
    assert world.moderation.asked == []


async def test_without_owner_rights_an_owner_gives_none(world: "World") -> None:
    world.owner_rank = Rank.MODERATOR
    world.put_room("live", owner=world.ana)
    assert await world.refusal(SET, world.ana, slug="live", id=50, role="VIP") == "FORBIDDEN"
    assert (await world.data(LIST, world.ana, slug="live"))["roomRoles"] == []


@pytest.mark.parametrize("slug", ["", "a b", "."])
async def test_what_cannot_be_meant_is_invalid(world: "World", slug: str) -> None:
    assert await world.refusal(SET, world.admin, slug=slug, id=50, role="VIP") == "INVALID"
    assert await world.refusal(SET, world.admin, slug="live", id=0, role="VIP") == "INVALID"
    assert await world.refusal(LIST, world.admin, slug="live", after="nonsense") == "INVALID"


async def test_what_moderation_refuses_is_told_with_its_code(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    world.ranks[50] = Rank.ADMIN
    assert await world.refusal(SET, world.ana, slug="live", id=50, role="VIP") == "FORBIDDEN"
    world.moderation.is_away = True
    assert await world.refusal(SET, world.ana, slug="live", id=51, role="VIP") == "UNAVAILABLE"


async def test_roles_are_listed_by_user_for_the_moderators_of_the_room(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    give(world, "live", 11, RoomRole.MODERATOR, owner=10)
    give(world, "live", 12, RoomRole.VIP, owner=10)
    for viewer in (world.ana, world.ben, world.mod, world.admin):
        first = (await world.data(LIST, viewer, slug="live", first=1))["roomRoles"]
        second = (await world.data(LIST, viewer, slug="live", after=first[0]["cursor"]))["roomRoles"]
        assert [(one["userId"], one["role"]) for one in (*first, *second)] == [(11, "MODERATOR"), (12, "VIP")]
    vip = world.viewer(12)
    assert await world.refusal(LIST, vip, slug="live") == "FORBIDDEN"
    assert await world.refusal(LIST, None, slug="live") == "UNAUTHENTICATED"


async def test_roles_of_another_owners_room_are_over(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    give(world, "live", 11, RoomRole.MODERATOR, owner=99)
    assert (await world.data(LIST, world.ana, slug="live"))["roomRoles"] == []
    assert await world.refusal(LIST, world.ben, slug="live") == "FORBIDDEN"
    assert await world.refusal(SANCTIONS, world.ben, slug="live") == "FORBIDDEN"


async def test_sanctions_of_a_room_are_shown_to_its_owner_and_its_moderators(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    world.put_sanction("mute", user_id=50, slug="live")
    give(world, "live", 11, RoomRole.MODERATOR, owner=10)
    for viewer in (world.ana, world.ben, world.mod):
        assert (await world.data(SANCTIONS, viewer, slug="live"))["sanctions"] == [{"id": 1}]
    for viewer in (world.ana, world.ben):
        assert await world.refusal(SANCTIONS, viewer) == "FORBIDDEN"
        assert await world.refusal(SANCTIONS, viewer, slug="other") == "FORBIDDEN"
    assert await world.refusal(SANCTIONS, world.viewer(12), slug="live") == "FORBIDDEN"


async def test_who_could_have_imposed_a_sanction_by_a_role_lifts_it(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    for slug in ("live", "other", None):
        world.put_sanction("mute", user_id=50, slug=slug)
    give(world, "live", 11, RoomRole.MODERATOR, owner=10)
    await world.data(LIFT, world.ben, id=1)
    await world.data(LIFT, world.ana, id=1)
    ranks = [asked for asked in world.moderation.asked if asked.startswith("lift")]
    assert ranks == ["lift_sanction 1 MODERATOR", "lift_sanction 1 OWNER"]
    for number in (2, 3, 99, -1):
        assert await world.refusal(LIFT, world.ben, id=number) == "FORBIDDEN"


async def test_a_rank_that_the_room_gives_says_since_when_the_room_is_its_owners(world: "World") -> None:
    room = world.put_room("live", owner=world.ana)
    world.catalog.rooms[room.slug] = replace(room, owned_since_ms=9_000)
    give(world, "live", 11, RoomRole.MODERATOR, owner=10)
    for viewer, since_ms in ((world.ana, 9_000), (world.ben, 9_000), (world.mod, 0), (world.admin, 0)):
        assert (await viewer_in(world.ports, viewer, room.slug)).owned_since_ms == since_ms
