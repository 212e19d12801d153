"""Rooms as GraphQL lists and manages them, on SQLite and on PostgreSQL."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg  # type: ignore[import-untyped] # has no stubs
import pytest

from chassis.database import Database, Gate, Session
from chassis.errors import DatabaseUnavailable
from rooms.domain.people import Life, Rank, Slug, UserId, Viewer
from rooms.domain.rooms import Invitation, ParticipantState, RoomPolicy, RoomSettings, SettingsChange, Video
from rooms.errors import NotPermitted, RoomNotFound, SlugTaken
from rooms.usecases import manage

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import MakeReplica, Replica

ANA = Viewer(UserId(7), "ana", Rank.USER)
BEA = Viewer(UserId(8), "bea", Rank.USER)
ADMIN = Viewer(UserId(9), "ada", Rank.ADMIN)


async def slugs(replica: "Replica", viewer: Viewer | None, search: str | None = None) -> list[str]:
    return [room.slug for room in await replica.catalog.list_rooms(viewer, first=50, after=None, search=search)]


async def test_only_rooms_with_someone_in_them_are_listed_newest_first(replica: "Replica") -> None:
    await replica.create("empty", 7)
    for number, slug in enumerate(["a", "b", "c"], 1):
        await replica.enter(number, slug, 7)
    await replica.leave(2)
    assert await slugs(replica, None) == ["c", "a"]
    page = await replica.catalog.list_rooms(None, first=1, after=None, search=None)
    rest = await replica.catalog.list_rooms(None, first=50, after=page[0].life, search=None)
    assert [room.slug for room in rest] == ["a"]


async def test_private_rooms_are_listed_to_those_who_may_enter(replica: "Replica") -> None:
    await replica.create("secret", 7, is_public=False)
    await replica.enter(1, "secret", 7)
    assert [await slugs(replica, who) for who in (None, ANA, BEA, ADMIN)] == [[], ["secret"], [], ["secret"]]
    await replica.catalog.invite(
        await replica.found("secret"), Invitation(Slug("secret"), BEA.user_id, ANA.user_id, replica.now)
    )
    assert await slugs(replica, BEA) == ["secret"]
    assert await replica.catalog.revoke(await replica.found("secret"), BEA.user_id)
    assert not await replica.catalog.revoke(await replica.found("secret"), BEA.user_id)
    assert await slugs(replica, BEA) == []


@pytest.mark.parametrize(
    ("search", "found"), [("LIVE", ["live_a"]), ("room", ["made"]), ("e_a", ["live_a"]), ("%", [])]
)
async def test_search_looks_for_the_text_in_name_and_slug(replica: "Replica", search: str, found: list[str]) -> None:
    await replica.create("made", 7)
    await replica.enter(1, "live_a", 7)
    await replica.enter(2, "made", 7)
    assert await slugs(replica, None, search) == found


@pytest.mark.parametrize("search", ["été", "ÉTÉ", "E\u0301te\u0301", "un Été"])
async def test_search_does_not_tell_capital_letters_of_any_script_apart(replica: "Replica", search: str) -> None:
    settings = RoomSettings("Un Été à Paris")
    await manage.create_room(replica.ports, ANA, settings, slug="paris")
    for connection, slug in enumerate(["paris", "un-Été", "ete"], 1):
        await replica.enter(connection, slug, 7)
    expected = ["paris"] if search == "un Été" else ["un-Été", "paris"]
    assert await slugs(replica, None, search) == expected


async def test_whoever_waits_for_the_database_has_a_turn_between_the_parts_of_a_search(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rooms.adapters.store.listing.SCANNED_AT_ONCE", 1)
    replica.catalog._searches = Gate(2, wait_s=60)
    for connection in range(1, 31):
        await replica.enter(connection, f"room-{connection}", 7)
    searches = [asyncio.create_task(slugs(replica, None, "nowhere")) for _ in range(20)]
    await asyncio.sleep(0)
    await replica.enter(31, "room-31", 7)
    assert not all(search.done() for search in searches)
    assert await asyncio.gather(*searches) == [[]] * 20


async def test_a_search_waits_for_its_place_no_longer_than_for_the_database(replica: "Replica") -> None:
    replica.catalog._searches = Gate(0, wait_s=0.01)
    with pytest.raises(DatabaseUnavailable):
        await slugs(replica, None, "nowhere")


async def test_a_page_of_a_search_goes_on_where_the_one_before_it_ended(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rooms.adapters.store.listing.SCANNED_AT_ONCE", 2)
    for connection in range(1, 11):
        await replica.enter(connection, f"{'Été' if connection % 3 else 'hiver'}-{connection}", 7)
    pages, after = [], None
    while page := await replica.catalog.list_rooms(None, first=2, after=after, search="été"):
        pages.append([room.slug for room in page])
        after = page[-1].life
    assert pages == [["Été-10", "Été-8"], ["Été-7", "Été-5"], ["Été-4", "Été-2"], ["Été-1"]]


async def test_a_search_looks_at_so_many_rooms_and_no_further(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rooms.adapters.store.listing.SCANNED_AT_ONCE", 2)
    monkeypatch.setattr("rooms.adapters.store.listing.SCANNED_AT_MOST", 4)
    for connection in range(1, 7):
        await replica.enter(connection, f"room-{connection}", 7)
    assert await slugs(replica, None, "room") == ["room-6", "room-5", "room-4", "room-3"]


async def test_a_room_that_is_kept_while_empty_is_not_listed_and_is_again_when_somebody_comes(
    fresh_database: str, make_replica: "MakeReplica"
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy(empty_grace_ms=60_000))
    await replica.enter(1, "a", 7)
    await replica.leave(1)
    assert await slugs(replica, None) == []
    await replica.enter(2, "a", 7)
    assert await slugs(replica, None) == ["a"]


async def test_pages_of_participants_of_several_rooms_end_where_each_of_them_ends(replica: "Replica") -> None:
    first = await replica.enter(1, "a", 1)
    second = await replica.enter(2, "b", 1)
    for number in range(2, 6):
        await replica.enter(10 + number, "a", number)
    people = await replica.catalog.list_participants([first.life, second.life], first=3, after=None)
    assert [p.user_id for p in people[first.life]] == [1, 2, 3]
    assert [p.user_id for p in people[second.life]] == [1]
    rest = await replica.catalog.list_participants([first.life], first=3, after=people[first.life][-1].id)
    assert [p.user_id for p in rest[first.life]] == [4, 5]


async def test_many_people_are_counted_once_a_second(replica: "Replica", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rooms.adapters.store.listing._MANY_PEOPLE", 1)
    time_s = 100.0
    monkeypatch.setattr("rooms.adapters.store.listing.time.monotonic", lambda: time_s)
    few, many = await replica.enter(1, "few", 1), await replica.enter(2, "many", 1)
    await replica.enter(3, "many", 2)
    lives = [few.life, many.life]
    assert await replica.catalog.count_people(lives) == {few.life: 1, many.life: 2}
    await replica.enter(4, "few", 2)
    await replica.enter(5, "many", 3)
    assert await replica.catalog.count_people(lives) == {few.life: 2, many.life: 2}
    time_s = 101.0
    assert (await replica.catalog.count_people(lives))[many.life] == 3


async def test_participant_count_counts_users_once_and_anonymous_connections_each(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    for connection, user_id in ((2, 7), (3, 8), (4, None), (5, None)):
        await replica.enter(connection, "a", user_id)
    room = await replica.catalog.find_room(slug=Slug("a"))
    assert room is not None
    assert (room.connection_count, room.room_id) == (5, membership.room_id)
    assert await replica.catalog.count_people([membership.life, Life(99)]) == {membership.life: 4, 99: 0}


async def test_users_who_left_stay_offline_and_anonymous_ones_are_forgotten(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    for connection, user_id in ((2, 8), (3, None), (4, 9)):
        await replica.enter(connection, "a", user_id)
    await replica.leave(2, 3)
    people = (await replica.catalog.list_participants([membership.life], first=50, after=None))[membership.life]
    assert [(p.user_id, p.state) for p in people] == [
        (7, ParticipantState.ONLINE), (8, ParticipantState.OFFLINE), (9, ParticipantState.ONLINE)]  # fmt: skip
    assert [p.rank for p in people] == [Rank.USER, None, Rank.USER]
    rest = await replica.catalog.list_participants([membership.life], first=1, after=people[0].id)
    assert [p.user_id for p in rest[membership.life]] == [8]


async def test_a_slug_in_use_or_kept_for_somebody_else_is_a_conflict(replica: "Replica") -> None:
    await replica.enter(1, "living", 7)
    await replica.create("mine", 7)
    await replica.enter(2, "mine", 7)
    with pytest.raises(SlugTaken):
        await replica.create("living", 7)
    with pytest.raises(SlugTaken):
        await replica.create("mine", 7)
    await replica.leave(2)
    with pytest.raises(SlugTaken):
        await replica.create("mine", 8)


async def test_a_creator_makes_a_dead_room_live_again_with_new_settings(replica: "Replica") -> None:
    room_id = await replica.create("mine", 7)
    await replica.enter(1, "mine", 7)
    await replica.leave(1)
    assert await replica.create("mine", 7, is_public=False) == room_id
    room = await replica.catalog.find_room(room_id=room_id)
    assert room is not None
    assert not room.settings.is_public
    assert room.life is not None


async def test_a_slug_made_from_the_name_is_kept_unique(replica: "Replica") -> None:
    settings = RoomSettings("Général")
    made = [await manage.create_room(replica.ports, ANA, settings) for _ in range(3)]
    assert [room.slug for room in made] == ["général", "général-2", "général-3"]


async def test_a_name_that_many_rooms_have_still_makes_a_slug_in_a_few_tries(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Database] = []
    transaction = Database.transaction

    def counted(database: Database) -> AbstractAsyncContextManager[Session]:
        begun.append(database)
        return transaction(database)

    monkeypatch.setattr(Database, "transaction", counted)
    monkeypatch.setattr("rooms.usecases.manage._letters", iter(["abcdef", "abcdef", "uvwxyz"]).__next__)
    made = [await manage.create_room(replica.ports, ANA, RoomSettings("Stream")) for _ in range(11)]
    assert [room.slug for room in made] == [
        "stream", *(f"stream-{number}" for number in range(2, 10)), "stream-abcdef", "stream-uvwxyz"]  # fmt: skip
    assert len(begun) == 11


async def test_a_slug_made_from_a_name_never_belongs_to_a_video(replica: "Replica") -> None:
    made = [await manage.create_room(replica.ports, ANA, RoomSettings("Video")) for _ in range(3)]
    assert made[0].slug == "video"
    assert all(re.fullmatch(r"video-[a-z]{6}", room.slug) for room in made[1:])


async def test_a_change_that_loses_to_another_transaction_is_made_again(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch
) -> None:
    transaction, losses = Database.transaction, [0]

    @asynccontextmanager
    async def losing(database: Database) -> AsyncIterator[Session]:
        async with transaction(database) as session:
            yield session
            if losses[0] % 2 == 0:
                losses[0] += 1
                raise asyncpg.DeadlockDetectedError
            losses[0] += 1

    monkeypatch.setattr(Database, "transaction", losing)
    await replica.create("a", 7)
    room = await replica.catalog.update_room(await replica.found("a"), SettingsChange(name="New"), now=replica.now)
    assert room.settings.name == "New"
    await replica.catalog.invite(room, Invitation(room.slug, BEA.user_id, ANA.user_id, replica.now))
    assert await replica.catalog.revoke(room, BEA.user_id)
    await replica.catalog.register_video(Video(42, "A film", replica.now))
    assert await replica.catalog.delete_room(room) is not None
    assert losses == [12]


async def test_a_slug_made_from_the_name_is_never_one_with_kept_settings(replica: "Replica") -> None:
    made = []
    for connection, settings in enumerate([RoomSettings("Discussion", "first", False), RoomSettings("Discussion")], 1):
        room = await manage.create_room(replica.ports, ANA, settings)
        await replica.enter(connection, room.slug, 7)
        await replica.leave(connection)
        made.append(room.slug)
    assert made == ["discussion", "discussion-2"]
    first = await replica.catalog.find_room(slug=Slug("discussion"))
    assert first is not None
    assert first.settings == RoomSettings("Discussion", "first", False)


async def test_since_when_a_room_is_its_owners_stays_over_its_lives_until_it_is_deleted(replica: "Replica") -> None:
    await replica.create("mine", 7)
    since_ms = int(replica.now.timestamp() * 1000)
    replica.later(hours=1)
    await replica.enter(1, "mine", 8)
    found = await replica.found("mine")
    assert found.owned_since_ms == since_ms
    changed = await replica.catalog.update_room(found, SettingsChange(is_public=False), now=replica.now)
    assert changed.owned_since_ms == since_ms
    await replica.leave(1)
    assert (await replica.found("mine")).owned_since_ms == since_ms
    await replica.enter(2, "nobodys", 8)
    assert (await replica.found("nobodys")).owned_since_ms == 0


async def test_an_update_holds_for_who_comes_next_and_survives_the_room(replica: "Replica") -> None:
    await replica.enter(1, "auto", 7)
    changed = await replica.catalog.update_room(
        await replica.found("auto"), SettingsChange(is_public=False), now=replica.now
    )
    assert (changed.settings.is_public, changed.settings.name, changed.owner) == (False, "auto", None)
    await replica.leave(1)
    kept = await replica.catalog.find_room(slug=Slug("auto"))
    assert kept is not None
    assert (kept.life, kept.settings.is_public, kept.room_id) == (None, False, changed.room_id)
    renamed = await replica.catalog.update_room(
        await replica.found("auto"), SettingsChange(name="New"), now=replica.now
    )
    assert renamed.settings == replace(kept.settings, name="New")
    with pytest.raises(RoomNotFound):
        await replica.catalog.update_room(replace(renamed, slug=Slug("nothing")), SettingsChange(), now=replica.now)


async def test_deletechatroom_forgets_settings_and_invitations(replica: "Replica") -> None:
    await replica.create("secret", 7, is_public=False)
    membership = await replica.enter(1, "secret", 7)
    await replica.catalog.invite(
        await replica.found("secret"), Invitation(Slug("secret"), BEA.user_id, ANA.user_id, replica.now)
    )
    ended = await replica.catalog.delete_room(await replica.found("secret"))
    assert ended is not None
    assert ended.life == membership.life
    assert await replica.catalog.find_room(slug=Slug("secret")) is None
    assert not await replica.catalog.is_invited(Slug("secret"), BEA.user_id)
    assert (await replica.enter(2, "secret", None)).life > membership.life


async def test_what_was_allowed_for_a_room_is_not_done_to_another_one_under_its_slug(replica: "Replica") -> None:
    await replica.create("mine", 7)
    before = await replica.found("mine")
    await replica.catalog.delete_room(before)
    await replica.create("mine", 8)
    after = await replica.found("mine")
    with pytest.raises(RoomNotFound):
        await replica.catalog.update_room(before, SettingsChange(name="Stolen"), now=replica.now)
    with pytest.raises(RoomNotFound):
        await replica.catalog.delete_room(before)
    with pytest.raises(RoomNotFound):
        await replica.catalog.invite(before, Invitation(before.slug, BEA.user_id, ANA.user_id, replica.now))
    with pytest.raises(RoomNotFound):
        await replica.catalog.revoke(before, BEA.user_id)
    assert await replica.found("mine") == after


async def test_what_an_owner_was_allowed_is_not_done_to_a_room_with_another_owner(replica: "Replica") -> None:
    await replica.create("mine", 7)
    before = replace(await replica.found("mine"), owner=UserId(8))
    with pytest.raises(NotPermitted):
        await replica.catalog.update_room(before, SettingsChange(name="Stolen"), now=replica.now)
    with pytest.raises(NotPermitted):
        await replica.catalog.delete_room(before)
    assert (await replica.found("mine")).settings.name == "A room"


async def test_a_video_keeps_its_first_date_when_its_title_changes(replica: "Replica") -> None:
    first = await replica.catalog.register_video(Video(42, "A film", replica.now))
    replica.later(days=1)
    assert await replica.catalog.register_video(Video(42, "The film", replica.now)) == replace(first, title="The film")
    assert await replica.catalog.existing(frozenset({42, 43})) == {42: True, 43: False}
