"""What every RoomCatalog does: the store, on SQLite and PostgreSQL, and the one in memory that GraphQL is tested on."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from memory_catalog import MemoryCatalog

from chassis.database import Database
from rooms.adapters.store.catalog import TortoiseCatalog
from rooms.domain.people import Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.rooms import Invitation, Room, RoomSettings, SettingsChange, Video
from rooms.errors import NotPermitted, RoomNotFound, SlugTaken, TooManyRooms
from rooms.ports import RoomCatalog

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANA, BEN = UserId(7), UserId(8)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def catalog(request: pytest.FixtureRequest, open_database: Callable[..., Awaitable[Database]]) -> RoomCatalog:
    if request.param == "memory":
        return MemoryCatalog()
    url: str = await request.getfixturevalue("new_database_url")(request.param)
    return TortoiseCatalog(await open_database(url))


async def make(
    catalog: RoomCatalog, slug: str, owner: UserId = ANA, *, may_revive: bool = True, quota: int = 20
) -> Room:
    settings = RoomSettings(f"Room {slug}", "about", is_public=False)
    return await catalog.create_room(Slug(slug), settings, owner, may_revive=may_revive, quota=quota, now=NOW)


async def test_a_room_that_was_made_is_found_by_id_and_by_slug_with_its_settings(catalog: RoomCatalog) -> None:
    made = await make(catalog, "a")
    assert made.life is not None
    assert (made.slug, made.owner, made.settings.name, made.settings.is_public) == ("a", ANA, "Room a", False)
    assert await catalog.find_room(slug=Slug("a")) == made
    assert await catalog.find_room(room_id=made.room_id) == made
    assert await catalog.find_room(slug=Slug("b")) is None
    assert await catalog.find_room(room_id=RoomId(made.room_id + 1)) is None


@pytest.mark.parametrize("may_revive", [True, False])
async def test_a_slug_that_lives_is_taken_whoever_asks(catalog: RoomCatalog, may_revive: bool) -> None:
    await make(catalog, "a")
    for owner in (ANA, BEN):
        with pytest.raises(SlugTaken):
            await make(catalog, "a", owner, may_revive=may_revive)


async def test_settings_of_more_rooms_than_the_quota_are_kept_for_nobody(catalog: RoomCatalog) -> None:
    for slug in ("a", "b"):
        await make(catalog, slug, quota=2)
    with pytest.raises(TooManyRooms):
        await make(catalog, "c", quota=2)
    await make(catalog, "c", BEN, quota=2)


async def test_a_change_is_kept_and_what_it_does_not_name_stays(catalog: RoomCatalog) -> None:
    made = await make(catalog, "a")
    changed = await catalog.update_room(made, SettingsChange(name="New", description=None), now=NOW)
    assert changed == replace(made, settings=replace(made.settings, name="New", description=None))
    assert await catalog.find_room(slug=Slug("a")) == changed


async def test_a_room_that_is_deleted_is_gone_with_its_invitations(catalog: RoomCatalog) -> None:
    made = await make(catalog, "a")
    await catalog.invite(made, Invitation(made.slug, BEN, ANA, NOW))
    ended = await catalog.delete_room(made)
    assert ended is not None
    assert (ended.room_id, ended.life, ended.slug) == (made.room_id, made.life, "a")
    assert await catalog.find_room(slug=Slug("a")) is None
    assert not await catalog.is_invited(Slug("a"), BEN)


async def test_what_was_decided_about_a_room_that_is_gone_or_somebody_elses_by_now_is_not_done(
    catalog: RoomCatalog,
) -> None:
    made = await make(catalog, "a")
    await catalog.delete_room(made)
    invitation = Invitation(made.slug, BEN, ANA, NOW)
    with pytest.raises(RoomNotFound):
        await catalog.update_room(made, SettingsChange(name="New"), now=NOW)
    with pytest.raises(RoomNotFound):
        await catalog.delete_room(made)
    with pytest.raises(RoomNotFound):
        await catalog.invite(made, invitation)
    with pytest.raises(RoomNotFound):
        await catalog.revoke(made, BEN)
    other = replace(await make(catalog, "b"), owner=BEN)
    with pytest.raises(NotPermitted):
        await catalog.update_room(other, SettingsChange(name="New"), now=NOW)


async def test_the_first_of_two_invitations_stands_and_one_that_is_revoked_is_gone(catalog: RoomCatalog) -> None:
    made = await make(catalog, "a")
    first, second = Invitation(made.slug, BEN, ANA, NOW), Invitation(made.slug, BEN, UserId(9), NOW)
    assert await catalog.invite(made, first) == first
    assert await catalog.invite(made, second) == first
    assert await catalog.is_invited(made.slug, BEN)
    assert await catalog.revoke(made, BEN)
    assert not await catalog.revoke(made, BEN)
    assert not await catalog.is_invited(made.slug, BEN)


async def test_a_video_that_is_registered_again_gets_the_new_title(catalog: RoomCatalog) -> None:
    await catalog.register_video(Video(5, "old", NOW))
    assert await catalog.register_video(Video(5, "new", NOW)) == Video(5, "new", NOW)


async def test_rooms_that_nobody_is_in_are_not_listed(catalog: RoomCatalog) -> None:
    made = await make(catalog, "a")
    admin = Viewer(UserId(1), "root", Rank.ADMIN)
    assert await catalog.list_rooms(admin, first=10, after=None, search=None) == []
    assert made.life is not None
    assert await catalog.count_people([made.life]) == {made.life: 0}
    assert await catalog.list_participants([made.life], first=10, after=None) == {made.life: []}
