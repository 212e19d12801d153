"""Emotes and blocks as they are kept: on SQLite, on PostgreSQL, and in memory as GraphQL is tested on."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from memory_emotes import MemoryBlocks, MemoryEmotes

from chassis.database import Database
from rooms.adapters.store import emotes as store
from rooms.adapters.store.blocks import TortoiseBlocks
from rooms.adapters.store.catalog import GRAPHQL_CONNECTIONS
from rooms.adapters.store.emotes import CHANGES_AT_ONCE, TortoiseEmotes
from rooms.domain.blocks import BLOCKS_PER_USER
from rooms.domain.emotes import EMOTES_PER_SLUG, EVERYWHERE, ChangedEmotes, Emote
from rooms.domain.people import Slug, UserId
from rooms.domain.rooms import DAY_MS
from rooms.errors import NotPermitted, TooManyBlocks, TooManyEmotes
from rooms.ports import Blocks, Emotes

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import MakeReplica, Replica

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANA, BEN, CLEO = UserId(7), UserId(8), UserId(9)
LIVE = Slug("live")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def emotes(request: pytest.FixtureRequest, open_database: Callable[..., Awaitable[Database]]) -> Emotes:
    if request.param == "memory":
        return MemoryEmotes()
    url: str = await request.getfixturevalue("new_database_url")(request.param)
    database = await open_database(url)
    return TortoiseEmotes(database, database.share(3))


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def blocks(request: pytest.FixtureRequest, open_database: Callable[..., Awaitable[Database]]) -> Blocks:
    if request.param == "memory":
        return MemoryBlocks()
    url: str = await request.getfixturevalue("new_database_url")(request.param)
    database = await open_database(url)
    return TortoiseBlocks(database, database.share(3))


def emote(name: str, slug: Slug = LIVE, *, url: str = "https://cdn.example/e.png") -> Emote:
    return Emote(slug, name, url, name)


async def save(emotes: Emotes, one: Emote, *, owner: UserId | None = None) -> None:
    await emotes.save(one, owner=owner, by=ANA, now=NOW)


async def test_emotes_of_slugs_come_in_the_order_of_the_question_by_name(emotes: Emotes) -> None:
    for one in (emote("b"), emote("a"), emote("c", EVERYWHERE), emote("a", Slug("other"))):
        await save(emotes, one)
    assert await emotes.of_slugs([EVERYWHERE, LIVE, Slug("none")]) == [
        [emote("c", EVERYWHERE)],
        [emote("a"), emote("b")],
        [],
    ]
    assert await emotes.of_slugs([]) == []
    assert await emotes.for_edges([LIVE, EVERYWHERE], most=9) == [[emote("a"), emote("b")], [emote("c", EVERYWHERE)]]


async def test_edges_are_given_as_many_as_one_answer_has_of_whole_slugs_and_of_one_at_least(emotes: Emotes) -> None:
    for one in (emote("a"), emote("b"), emote("c", EVERYWHERE), emote("a", Slug("other"))):
        await save(emotes, one)
    asked = [LIVE, Slug("none"), EVERYWHERE, Slug("other")]
    both, everywhere, other = [emote("a"), emote("b")], [emote("c", EVERYWHERE)], [emote("a", Slug("other"))]
    assert await emotes.for_edges(asked, most=2) == [both, [], None, None]
    assert await emotes.for_edges(asked, most=3) == [both, [], everywhere, None]
    assert await emotes.for_edges(asked[2:], most=9) == [everywhere, other]
    assert await emotes.for_edges([], most=9) == []


async def test_an_emote_takes_the_place_of_one_of_its_name_and_is_deleted_once(emotes: Emotes) -> None:
    await save(emotes, emote("a"))
    await save(emotes, emote("a", url="https://cdn.example/new.png"))
    assert await emotes.of_slugs([LIVE]) == [[emote("a", url="https://cdn.example/new.png")]]
    assert await emotes.delete(LIVE, "a", owner=None)
    assert not await emotes.delete(LIVE, "a", owner=None)
    assert await emotes.of_slugs([LIVE]) == [[]]


async def test_a_slug_has_500_emotes_and_an_old_one_may_still_be_changed(emotes: Emotes) -> None:
    for number in range(EMOTES_PER_SLUG):
        await save(emotes, emote(f"e{number}"))
    with pytest.raises(TooManyEmotes):
        await save(emotes, emote("one-more"))
    await save(emotes, emote("e7", url="https://cdn.example/new.png"))
    await save(emotes, emote("one-more", EVERYWHERE))
    (found,) = await emotes.of_slugs([LIVE])
    assert len(found) == EMOTES_PER_SLUG


async def test_what_changed_since_a_version_is_told_with_the_version_that_it_reaches(emotes: Emotes) -> None:
    assert await emotes.changed(None) == ChangedEmotes(0, [])
    await save(emotes, emote("a"))
    await save(emotes, emote("b", EVERYWHERE))
    before = await emotes.changed(None)
    assert before == ChangedEmotes(2, [])
    assert await emotes.changed(0) == ChangedEmotes(2, [LIVE, EVERYWHERE])
    await save(emotes, emote("b"))
    await emotes.delete(LIVE, "a", owner=None)
    assert await emotes.changed(before.version) == ChangedEmotes(4, [LIVE])
    assert await emotes.changed(4) == ChangedEmotes(4, [])
    assert await emotes.changed(99) == ChangedEmotes(4, [])


async def test_of_too_many_changes_the_first_are_told_and_that_there_are_more(replica: "Replica") -> None:
    async with replica.database.transaction() as session:
        await session.fetch("INSERT INTO counter (name, next) VALUES ('emotes', $1)", CHANGES_AT_ONCE + 1)
        for number in range(1, CHANGES_AT_ONCE + 2):
            await session.fetch("INSERT INTO emote_change (slug, version) VALUES ($1, $2)", f"s{number}", number)
    found = await replica.emotes.changed(0)
    assert (len(found.slugs), found.slugs[-1], found.has_more) == (CHANGES_AT_ONCE, f"s{CHANGES_AT_ONCE}", True)
    assert await replica.emotes.changed(1) == ChangedEmotes(CHANGES_AT_ONCE + 1, [*found.slugs[1:], Slug("s1001")])


async def test_only_the_last_changes_are_kept_and_who_missed_more_is_told_to_read_all(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "CHANGES_KEPT", 2)
    for number in range(5):
        await save(replica.emotes, emote("a", Slug(f"s{number}")))
    async with replica.database.session() as session:
        assert len(await session.fetch("SELECT slug FROM emote_change")) == 2
    assert await replica.emotes.changed(3) == ChangedEmotes(5, [Slug("s3"), Slug("s4")])
    assert await replica.emotes.changed(2) == ChangedEmotes(5, [], has_more=True)
    assert not await replica.emotes.delete(LIVE, "none", owner=None)
    assert (await replica.emotes.changed(None)).version == 5


async def test_an_owner_keeps_emotes_of_a_room_of_theirs_alone(replica: "Replica") -> None:
    await replica.create("live", ANA)
    await save(replica.emotes, emote("a"), owner=ANA)
    for who, slug in ((BEN, LIVE), (ANA, Slug("other")), (ANA, EVERYWHERE)):
        with pytest.raises(NotPermitted):
            await save(replica.emotes, emote("b", slug), owner=who)
        with pytest.raises(NotPermitted):
            await replica.emotes.delete(slug, "a", owner=who)
    assert (await replica.emotes.changed(None)).version == 1
    assert await replica.emotes.delete(LIVE, "a", owner=ANA)


async def test_a_room_that_is_deleted_leaves_no_emotes_to_who_takes_the_slug_next(replica: "Replica") -> None:
    await replica.create("live", ANA)
    await save(replica.emotes, emote("a"), owner=ANA)
    await save(replica.emotes, emote("a", Slug("other")))
    await replica.catalog.delete_room(await replica.found("live"))
    assert await replica.emotes.of_slugs([LIVE, Slug("other")]) == [[], [emote("a", Slug("other"))]]
    assert await replica.emotes.changed(2) == ChangedEmotes(3, [LIVE])


async def test_settings_that_are_forgotten_take_their_emotes_along(replica: "Replica") -> None:
    for slug in ("live", "other"):
        await replica.create(slug, ANA)
        await replica.enter(1, slug, ANA)
        await replica.leave(1)
        await save(replica.emotes, emote("a", Slug(slug)), owner=ANA)
    async with replica.database.session() as session:
        used = f"{session.now_ms} - {91 * DAY_MS}"
        await session.fetch(f"UPDATE kept_settings SET last_used_ms = {used} WHERE slug = 'live'")
    await replica.leases.reap(now=replica.now)
    assert await replica.emotes.of_slugs([LIVE, Slug("other")]) == [[], [emote("a", Slug("other"))]]
    assert (await replica.emotes.changed(2)).slugs == [LIVE]


async def test_changes_that_are_made_at_once_have_versions_of_their_own(
    fresh_database: str, make_replica: "MakeReplica", replica: "Replica"
) -> None:
    pair = [replica, await make_replica(fresh_database, replica.policy)] if replica.database.is_postgres else [replica]
    await asyncio.gather(*(save(pair[n % len(pair)].emotes, emote(f"e{n}", Slug(f"s{n}"))) for n in range(20)))
    found = await replica.emotes.changed(0)
    assert (found.version, sorted(found.slugs)) == (20, sorted(Slug(f"s{n}") for n in range(20)))


async def test_emotes_saved_at_once_are_no_more_than_a_slug_may_have(
    fresh_database: str, make_replica: "MakeReplica", replica: "Replica"
) -> None:
    pair = [replica, await make_replica(fresh_database, replica.policy)] if replica.database.is_postgres else [replica]
    async with replica.database.transaction() as session:
        for number in range(EMOTES_PER_SLUG - 5):
            await session.fetch(
                "INSERT INTO emote (slug, name, url, alt, created_by, created_ms) VALUES ($1, $2, 'u', 'a', 1, 1)",
                LIVE,
                f"old{number}",
            )
    outcomes = await asyncio.gather(
        *(save(pair[n % len(pair)].emotes, emote(f"e{n}")) for n in range(20)), return_exceptions=True
    )
    assert sum(outcome is None for outcome in outcomes) == 5
    assert sum(isinstance(outcome, TooManyEmotes) for outcome in outcomes) == 15


# --- blocks ----------------------------------------------------------------------------------------------------------


async def test_whom_users_have_blocked_comes_in_the_order_of_the_question_the_last_one_first(blocks: Blocks) -> None:
    assert await blocks.block(ANA, UserId(1), now=NOW)
    assert await blocks.block(ANA, UserId(2**53 - 1), now=NOW)
    assert not await blocks.block(ANA, UserId(1), now=NOW)
    assert await blocks.block(BEN, ANA, now=NOW)
    assert await blocks.for_edges([BEN, UserId(9), ANA]) == [[ANA], [], [2**53 - 1, 1]]
    assert await blocks.unblock(ANA, UserId(1))
    assert not await blocks.unblock(ANA, UserId(1))
    assert await blocks.for_edges([ANA, ANA]) == [[2**53 - 1], [2**53 - 1]]
    assert await blocks.of_user(ANA) == [2**53 - 1]


async def test_who_joins_is_told_their_blocks_as_far_as_an_answer_goes(blocks: Blocks) -> None:
    for who, whom in ((CLEO, 1), (ANA, 3), (BEN, 3), (BEN, 4), (CLEO, 2)):
        await blocks.block(who, UserId(whom), now=NOW)
    asked = {ANA, BEN, CLEO, UserId(10)}
    assert await blocks.for_joins(asked, most=5) == {ANA: [3], BEN: [4, 3], CLEO: [2, 1], UserId(10): []}
    assert await blocks.for_joins(asked, most=4) == {ANA: [3], BEN: [4, 3]}
    assert await blocks.for_joins(asked, most=3) == {ANA: [3], BEN: [4, 3]}
    assert await blocks.for_joins(asked, most=2) == {ANA: [3]}
    assert await blocks.for_joins({UserId(10)}, most=1) == {UserId(10): []}


async def test_a_user_blocks_1000(blocks: Blocks) -> None:
    for number in range(BLOCKS_PER_USER):
        await blocks.block(ANA, UserId(100 + number), now=NOW)
    with pytest.raises(TooManyBlocks):
        await blocks.block(ANA, UserId(1), now=NOW)
    assert not await blocks.block(ANA, UserId(100), now=NOW)
    assert await blocks.block(BEN, UserId(1), now=NOW)


@pytest.mark.parametrize("fresh_database", ["postgres"], indirect=True)
async def test_edges_do_not_wait_for_what_people_ask_through_graphql(replica: "Replica") -> None:
    async with AsyncExitStack() as held:
        for _ in range(GRAPHQL_CONNECTIONS):
            await held.enter_async_context(replica.catalog.share.session())
        asked = asyncio.create_task(replica.emotes.of_slugs([LIVE]))
        async with asyncio.timeout(5):
            assert await replica.emotes.for_edges([LIVE], most=9) == [[]]
            assert await replica.emotes.changed(None) == ChangedEmotes(0, [])
            assert await replica.blocks.for_edges([ANA]) == [[]]
        assert not asked.done()
    assert await asked == [[]]
