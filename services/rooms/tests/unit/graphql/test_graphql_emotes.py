"""Emotes and blocks through GraphQL: who may, what is shown, and what is refused with which code."""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

SAVE = """mutation Save($name: String!, $url: String!, $alt: String, $slug: String) {
  saveEmote(name: $name, url: $url, alt: $alt, slug: $slug) { name url alt slug }
}"""
DELETE = "mutation Delete($name: String!, $slug: String) { deleteEmote(name: $name, slug: $slug) }"
EMOTES = "query Emotes($slug: String) { emotes(slug: $slug) { name url alt slug } }"
BLOCK = "mutation Block($user: SafeInt!) { block(userId: $user) }"
UNBLOCK = "mutation Unblock($user: SafeInt!) { unblock(userId: $user) }"
BLOCKED = "query { blocked }"
URL = "https://cdn.example/e.png"


async def emotes(world: "World", **variables: Any) -> list[tuple[str, str | None]]:
    viewer = variables.pop("viewer", None)
    found = (await world.data(EMOTES, viewer, **variables))["emotes"]
    return [(one["name"], one["slug"]) for one in found]


async def test_an_emote_is_saved_shown_and_deleted_and_edges_hear_of_it(world: "World") -> None:
    world.put_room("live")
    saved = await world.data(SAVE, world.admin, name=":Kappa:", url=URL, slug="live")
    assert saved == {"saveEmote": {"name": "Kappa", "url": URL, "alt": "Kappa", "slug": "live"}}
    saved = await world.data(SAVE, world.admin, name="wave", url=URL, alt="A hand that waves")
    assert saved["saveEmote"] == {"name": "wave", "url": URL, "alt": "A hand that waves", "slug": None}
    assert await emotes(world, slug="live") == [("Kappa", "live"), ("wave", None)]
    assert await emotes(world) == [("wave", None)]
    assert world.events.emotes_changed == ["live", ""]
    assert await world.data(DELETE, world.admin, name="Kappa", slug="live") == {"deleteEmote": True}
    assert await world.data(DELETE, world.admin, name="Kappa", slug="live") == {"deleteEmote": False}
    assert world.events.emotes_changed == ["live", "", "live"]


async def test_a_room_s_own_emote_stands_before_one_of_everywhere(world: "World") -> None:
    await world.data(SAVE, world.admin, name="a", url=URL)
    await world.data(SAVE, world.root, name="a", url=URL, slug="nobody-is-here-yet")
    assert await emotes(world, slug="nobody-is-here-yet") == [("a", "nobody-is-here-yet")]
    assert await emotes(world, slug="elsewhere") == [("a", None)]


async def test_the_creator_of_a_room_keeps_its_emotes_and_no_others(world: "World") -> None:
    world.put_room("mine", owner=world.ana)
    world.put_room("theirs", owner=world.ben)
    assert await world.data(SAVE, world.ana, name="a", url=URL, slug="mine")
    for slug in ("theirs", "nowhere", None):
        assert await world.refusal(SAVE, world.ana, name="a", url=URL, slug=slug) == "FORBIDDEN"
        assert await world.refusal(DELETE, world.ana, name="a", slug=slug) == "FORBIDDEN"
    assert await world.refusal(SAVE, world.mod, name="a", url=URL, slug="mine") == "FORBIDDEN"
    assert await world.refusal(SAVE, None, name="a", url=URL, slug="mine") == "UNAUTHENTICATED"
    assert await world.refusal(DELETE, None, name="a", slug="mine") == "UNAUTHENTICATED"
    assert await emotes(world, slug="mine") == [("a", "mine")]


async def test_the_emotes_of_a_private_room_are_shown_to_those_who_may_enter(world: "World") -> None:
    world.put_room("secret", owner=world.ana, is_public=False)
    await world.data(SAVE, world.ana, name="a", url=URL, slug="secret")
    await world.data(SAVE, world.admin, name="b", url=URL)
    for viewer, names in ((world.ana, ["a", "b"]), (world.admin, ["a", "b"]), (world.ben, ["b"]), (None, ["b"])):
        assert [name for name, _ in await emotes(world, slug="secret", viewer=viewer)] == names


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "a b"},
        {"name": "é" * 51},
        {"url": "http://cdn.example/e.png"},
        {"url": "https://cdn.example/" + "x" * 500},
        {"alt": ""},
        {"alt": "a\u0000b"},
        {"slug": ".dots"},
        {"slug": ""},
    ],
)
async def test_malformed_emotes_are_invalid(world: "World", wrong: dict[str, str]) -> None:
    variables = {"name": "a", "url": URL, "slug": "live"} | wrong
    assert await world.refusal(SAVE, world.admin, **variables) == "INVALID"
    assert world.events.emotes_changed == []


async def test_a_slug_has_500_emotes(world: "World") -> None:
    for number in range(500):
        await world.emotes.save(await _emote(f"e{number}"), owner=None, by=world.admin.user_id, now=world.ports.clock())
    assert await world.refusal(SAVE, world.admin, name="more", url=URL, slug="live") == "FORBIDDEN"
    assert await world.data(SAVE, world.admin, name="e1", url=URL, slug="live")


async def _emote(name: str) -> Any:
    from rooms.domain.emotes import Emote
    from rooms.domain.people import Slug

    return Emote(Slug("live"), name, URL, name)


# --- blocks ----------------------------------------------------------------------------------------------------------


async def test_who_is_blocked_is_listed_the_last_one_first(world: "World") -> None:
    assert await world.data(BLOCK, world.ana, user=5) == {"block": True}
    assert await world.data(BLOCK, world.ana, user=6) == {"block": True}
    assert await world.data(BLOCK, world.ana, user=5) == {"block": False}
    assert await world.data(BLOCKED, world.ana) == {"blocked": [6, 5]}
    assert await world.data(BLOCKED, world.ben) == {"blocked": []}
    assert await world.data(UNBLOCK, world.ana, user=5) == {"unblock": True}
    assert await world.data(UNBLOCK, world.ana, user=5) == {"unblock": False}
    assert await world.data(BLOCKED, world.ana) == {"blocked": [6]}


async def test_blocking_needs_a_signed_in_user_and_another_one(world: "World") -> None:
    for query in (BLOCK, UNBLOCK):
        assert await world.refusal(query, None, user=5) == "UNAUTHENTICATED"
    assert await world.refusal(BLOCKED, None) == "UNAUTHENTICATED"
    assert await world.refusal(BLOCK, world.ana, user=world.ana.user_id) == "INVALID"
    assert await world.refusal(BLOCK, world.ana, user=0) == "INVALID"


async def test_a_user_blocks_1000(world: "World") -> None:
    from rooms.domain.people import UserId

    for number in range(1000):
        await world.blocks.block(world.ana.user_id, UserId(1000 + number), now=world.ports.clock())
    assert await world.refusal(BLOCK, world.ana, user=5) == "FORBIDDEN"
    assert len((await world.data(BLOCKED, world.ana))["blocked"]) == 1000
