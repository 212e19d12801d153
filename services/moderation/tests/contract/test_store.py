"""The port Store, on SQLite and on PostgreSQL."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import asyncpg  # type: ignore[import-untyped]  # not typed
import pytest
from structlog.testing import capture_logs
from tortoise.exceptions import OperationalError

from chassis.database import Database, within as answering
from chassis.errors import DatabaseUnavailable
from moderation.adapters.store.database import DEADLINE_S, migrate_moderation, moderation_database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import AuditRow, SightingRow
from moderation.domain.commands import SanctionOrder
from moderation.domain.last_seen import LastSeen
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.rights import decide
from moderation.domain.sanctions import MOST_ADDRESSES, Action, Command, Sanction, SanctionEvent, Scope
from moderation.errors import NotPermitted
from moderation.ports import Kept, SanctionQuery, Store

ANA = Target(123, "")
Eventually: TypeAlias = Callable[..., Awaitable[None]]
NOBODY: frozenset[str] = frozenset()
pytestmark = pytest.mark.integration


def command(
    action: Action = Action.MUTE,
    *,
    target: Target = ANA,
    rank: Rank = Rank.ADMIN,
    scope: Scope = Scope.ROOM,
    slug: str = "live",
    minutes: int = 0,
) -> Command:
    return Command(Moderator(9, rank), action, target, None, scope, slug, minutes, "spam")


async def carry_out(
    store: Store, what: Command, addresses: frozenset[str] = NOBODY, *, now_ms: int = 1_000
) -> SanctionEvent:
    receipt = await store.change(
        SanctionOrder(what), addresses, partial(decide, what, addresses=addresses), now_ms=now_ms
    )
    assert receipt.event is not None
    return receipt.event


async def ids_in_force(store: Store, *slugs: str, now_ms: int = 1_000) -> list[int]:
    return [s.id for s in await store.in_force(SanctionQuery(slugs), now_ms=now_ms)]


async def test_a_sanction_is_stored_with_its_addresses_and_its_audit_row(store: Store) -> None:
    event = await carry_out(store, command(minutes=1), frozenset({"10.0.0.1", "2001:db8:1:2::/64"}))
    (imposed,) = event.imposed
    assert await store.find(imposed.id) == imposed
    assert imposed == Sanction(
        imposed.id,
        Action.MUTE,
        ANA,
        frozenset({"10.0.0.1", "2001:db8:1:2::/64"}),
        "live",
        "spam",
        9,
        Rank.ADMIN,
        1_000,
        61_000,
    )
    audit = await AuditRow.get(id=event.event_id)
    assert (audit.action, audit.target_user_id, audit.imposed_id, audit.reason) == (2, 123, imposed.id, "spam")


async def test_a_slug_has_sanctions_as_long_as_one_is_in_force(store: Store) -> None:
    await carry_out(store, command(minutes=1))
    await carry_out(store, command(slug="lifted"))
    await carry_out(store, command(Action.UNMUTE, slug="lifted"))
    await carry_out(store, command(scope=Scope.EVERYWHERE))
    assert await store.kept_of(["lifted", "live"], holds_since_ms=0, now_ms=60_999) == {Kept.SANCTIONS}
    assert await store.kept_of(["lifted", "live"], holds_since_ms=0, now_ms=61_000) == set()
    assert await store.kept_of(["lifted", "other"], holds_since_ms=0, now_ms=1_000) == set()


async def test_imposing_again_lifts_the_earlier_one_in_the_same_change(store: Store) -> None:
    first = (await carry_out(store, command())).imposed[0]
    again = await carry_out(store, command(minutes=5), now_ms=2_000)
    assert again.lifted_ids == (first.id,)
    assert await ids_in_force(store, "live", now_ms=2_000) == [again.imposed[0].id]
    lifted = await store.find(first.id)
    assert lifted is not None
    assert lifted.lifted_at_ms == 2_000


async def test_event_ids_rise(store: Store) -> None:
    ids = [(await carry_out(store, command(slug=f"room-{n}"))).event_id for n in range(3)]
    assert ids == sorted(set(ids))


async def test_simultaneous_commands_leave_one_sanction_in_force(store: Store) -> None:
    events = await asyncio.gather(*(carry_out(store, command()) for _ in range(8)))
    assert len(await ids_in_force(store, "live")) == 1
    assert len({e.event_id for e in events}) == 8


async def test_a_command_that_is_refused_changes_nothing(store: Store) -> None:
    await carry_out(store, command())
    refused = command(Action.UNMUTE, rank=Rank.MODERATOR)
    with pytest.raises(NotPermitted):
        await carry_out(store, refused)
    assert len(await ids_in_force(store, "live")) == 1
    assert await AuditRow.all().count() == 1


async def test_a_command_that_fails_half_way_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = (await carry_out(store, command())).imposed[0]

    async def fail(row: AuditRow) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(AuditRow, "save", fail)
    with pytest.raises(DatabaseUnavailable):
        await carry_out(store, command(minutes=1))
    assert await ids_in_force(store, "live") == [first.id]


async def test_an_anonymous_targets_sanctions_are_found_by_name_and_by_address(store: Store) -> None:
    named = Target(0, "Anonymous_3f2a")
    same_address = Target(0, "Anonymous_10.0.0.1")
    first = (await carry_out(store, command(target=named), frozenset({"10.0.0.1"}))).imposed[0]
    other = (await carry_out(store, command(target=Target(0, "Anonymous_77")), frozenset({"10.0.0.7"}))).imposed[0]
    of_user = (await carry_out(store, command(), frozenset({"10.0.0.1"}))).imposed[0]
    lifted = await carry_out(store, command(Action.UNMUTE, target=same_address), frozenset({"10.0.0.1"}))
    assert lifted.lifted_ids == (first.id,)
    assert await ids_in_force(store, "live") == [other.id, of_user.id]


async def test_in_force_gives_the_slugs_asked_for_and_everywhere(store: Store) -> None:
    here = (await carry_out(store, command())).imposed[0].id
    await carry_out(store, command(slug="there"))
    everywhere = (await carry_out(store, command(scope=Scope.EVERYWHERE))).imposed[0].id
    assert await ids_in_force(store, "live") == [here, everywhere]
    assert await ids_in_force(store) == [everywhere]


async def test_what_holds_everywhere_is_left_out_where_a_room_alone_is_asked_for(store: Store) -> None:
    here = (await carry_out(store, command())).imposed[0].id
    await carry_out(store, command(scope=Scope.EVERYWHERE))
    assert [s.id for s in await store.in_force(SanctionQuery(["live"], everywhere=False), now_ms=1_000)] == [here]
    assert await store.in_force(SanctionQuery(everywhere=False), now_ms=1_000) == []


async def test_in_force_gives_what_is_aimed_at_the_users_and_names_asked_for(store: Store) -> None:
    nameless, ben = Target(0, "Anonymous_3f2a"), Target(7, "")
    of = {}
    for target in (ANA, ben, nameless, Target(0, "Anonymous_77")):
        for scope in Scope:
            what = command(target=target, scope=scope)
            of[target, scope] = (await carry_out(store, what)).imposed[0].id

    async def ids(*targets: Target, everywhere: bool = True) -> list[int]:
        asked = SanctionQuery(["live"], everywhere=everywhere, targets=targets)
        return [s.id for s in await store.in_force(asked, now_ms=1_000)]

    assert await ids(ben) == [of[ben, Scope.ROOM], of[ben, Scope.EVERYWHERE]]
    assert await ids(nameless, everywhere=False) == [of[nameless, Scope.ROOM]]
    assert await ids(ben, nameless, everywhere=False) == [of[ben, Scope.ROOM], of[nameless, Scope.ROOM]]
    assert await ids(Target(8, "")) == []


async def test_addresses_are_left_out_where_nobody_asks_for_them(store: Store) -> None:
    (imposed,) = (await carry_out(store, command(), frozenset({"10.0.0.1"}))).imposed
    found = await store.in_force(SanctionQuery(["live"], addresses=False), now_ms=1_000)
    assert found == [replace(imposed, addresses=NOBODY)]


async def test_all_that_are_in_force_come_part_by_part(store: Store) -> None:
    ids = [(await carry_out(store, command(slug=f"room-{n}", minutes=n), NOBODY)).imposed[0].id for n in range(4)]
    part = partial(store.in_force_after, first=2, now_ms=61_000)
    found, after_id = await part(0)
    assert ([s.id for s in found], after_id) == ([ids[0], ids[2]], ids[2])
    found, after_id = await part(ids[2])
    assert ([s.id for s in found], after_id) == ([ids[3]], None)
    assert await part(ids[3]) == ([], None)


@pytest.mark.parametrize("change", ["kind = 9", "moderator_rank = 9"])
async def test_a_row_with_a_value_of_a_later_version_is_left_out_and_logged_and_hides_no_other(
    store: Store, database: Database, change: str
) -> None:
    ids = [(await carry_out(store, command(slug=f"room-{n}"), NOBODY)).imposed[0].id for n in range(4)]
    slugs = [f"room-{n}" for n in range(4)]
    async with answering(DEADLINE_S), database.transaction() as session:
        await session.client.execute_script(f"UPDATE sanction SET {change} WHERE id IN ({ids[1]}, {ids[2]})")
    with capture_logs() as lines:
        assert await ids_in_force(store, *slugs) == [ids[0], ids[3]]
        found, after_id = await store.in_force_after(ids[0], first=2, now_ms=1_000)
        assert (found, after_id) == ([], ids[2])
        found, _ = await store.in_force_after(ids[2], first=2, now_ms=1_000)
        assert [s.id for s in found] == [ids[3]]
    assert (lines[0]["event"], lines[0]["count"], lines[0]["sanction_id"]) == ("sanctions_not_understood", 1, ids[1])
    assert await store.find(ids[1]) is None
    assert await store.follow(ids[1], "10.0.0.1", now_ms=1_000) is None
    assert (await carry_out(store, command(slug="room-1"))).lifted_ids == ()


async def test_a_page_of_the_history_is_full_beside_rows_of_a_later_version(store: Store, database: Database) -> None:
    ids = [(await carry_out(store, command(slug=f"room-{n}"), NOBODY)).imposed[0].id for n in range(4)]
    async with answering(DEADLINE_S), database.transaction() as session:
        await session.client.execute_script(f"UPDATE sanction SET kind = 9 WHERE id = {ids[3]}")
        await session.client.execute_script(f"UPDATE sanction SET moderator_rank = 9 WHERE id = {ids[1]}")
    page = await store.history(None, only_in_force=False, first=2, before_id=None, now_ms=1_000)
    assert [s.id for s in page] == [ids[2], ids[0]]


async def test_a_timed_sanction_is_in_force_until_its_time_is_up(store: Store) -> None:
    sanction = (await carry_out(store, command(minutes=1))).imposed[0]
    assert await ids_in_force(store, "live", now_ms=60_999) == [sanction.id]
    assert await ids_in_force(store, "live", now_ms=61_000) == []


async def test_pages_are_newest_first_and_go_on_where_the_last_ended(store: Store) -> None:
    ids = [(await carry_out(store, command(slug=f"room-{n}"))).imposed[0].id for n in range(5)]
    page = partial(store.history, None, only_in_force=False, now_ms=1_000)
    assert [s.id for s in await page(first=2, before_id=None)] == [ids[4], ids[3]]
    assert [s.id for s in await page(first=2, before_id=ids[3])] == [ids[2], ids[1]]
    assert await page(first=0, before_id=None) == []


async def test_pages_may_be_of_one_slug_and_of_what_is_in_force(store: Store) -> None:
    await carry_out(store, command())
    second = (await carry_out(store, command())).imposed[0].id
    await carry_out(store, command(slug="other"))
    found = await store.history("live", only_in_force=True, first=10, before_id=None, now_ms=1_000)
    assert [s.id for s in found] == [second]
    assert len(await store.history("live", only_in_force=False, first=10, before_id=None, now_ms=1_000)) == 2


async def test_following_adds_an_address_once_with_an_audit_row(store: Store) -> None:
    sanction = (await carry_out(store, command(), frozenset({"10.0.0.1"}))).imposed[0]
    event = await store.follow(sanction.id, "10.0.0.2", now_ms=2_000)
    assert event is not None
    assert event.silent
    assert event.imposed[0].addresses == {"10.0.0.1", "10.0.0.2"}
    assert (await AuditRow.get(id=event.event_id)).followed_address == "10.0.0.2"
    assert await store.follow(sanction.id, "10.0.0.2", now_ms=2_000) is None


async def test_a_sanction_that_holds_for_as_many_addresses_as_it_may_drops_the_new_one(store: Store) -> None:
    held = frozenset(f"2001:db8:0:{n:x}::/64" for n in range(MOST_ADDRESSES - 1))
    sanction = (await carry_out(store, command(), held)).imposed[0]
    assert await store.follow(sanction.id, "10.0.0.1", now_ms=1_000) is not None
    assert await store.follow(sanction.id, "10.0.0.2", now_ms=1_000) is None
    assert await AuditRow.all().count() == 2
    found = await store.find(sanction.id)
    assert found is not None
    assert found.addresses == held | {"10.0.0.1"}


async def test_a_ban_that_replaces_a_full_one_holds_first_for_where_the_user_was_in_the_last_hour(store: Store) -> None:
    held = frozenset(f"2001:db8:0:{n:x}::/64" for n in range(MOST_ADDRESSES))
    await carry_out(store, command(), held)
    (imposed,) = (await carry_out(store, command(), frozenset({"10.0.0.1"}))).imposed
    assert len(imposed.addresses) == MOST_ADDRESSES
    assert imposed.addresses - held == {"10.0.0.1"}


async def test_the_newest_addresses_are_found_each_once_and_no_more_than_a_sanction_holds_for(store: Store) -> None:
    seen = {LastSeen(123, "", "live", f"2001:db8:0:{n:x}::/64"): n for n in range(1, MOST_ADDRESSES + 5)}
    await store.write_last_seen(seen)
    await store.write_last_seen({LastSeen(123, "", "other", "2001:db8:0:1::/64"): 9_000})
    found = await store.seen_addresses(ANA, None, since_ms=0)
    assert len(found) == MOST_ADDRESSES
    assert found[:2] == ["2001:db8:0:1::/64", f"2001:db8:0:{MOST_ADDRESSES + 4:x}::/64"]


async def test_a_sanction_that_is_over_follows_nobody(store: Store) -> None:
    sanction = (await carry_out(store, command(minutes=1))).imposed[0]
    assert await store.follow(sanction.id, "10.0.0.2", now_ms=61_000) is None
    await carry_out(store, command(Action.UNMUTE))
    assert await store.follow(sanction.id, "10.0.0.2", now_ms=2_000) is None
    assert await store.follow(99, "10.0.0.2", now_ms=2_000) is None


async def test_who_is_seen_again_is_one_row_with_the_last_time(store: Store) -> None:
    seen = LastSeen(123, "", "live", "10.0.0.1")
    await store.write_last_seen({seen: 1_000, LastSeen(123, "", "other", "10.0.0.2"): 1_000})
    await store.write_last_seen({seen: 5_000})
    assert await SightingRow.all().count() == 2
    assert await store.seen_addresses(ANA, "live", since_ms=5_000) == ["10.0.0.1"]
    assert await store.seen_addresses(ANA, "live", since_ms=5_001) == []
    assert await store.seen_addresses(ANA, None, since_ms=0) == ["10.0.0.1", "10.0.0.2"]


async def test_who_was_seen_long_ago_is_forgotten(store: Store) -> None:
    await store.write_last_seen(
        {LastSeen(1, "", "live", "10.0.0.1"): 1_000, LastSeen(2, "", "live", "10.0.0.1"): 2_000}
    )
    await store.forget_last_seen(2_000)
    assert [row.user_id for row in await SightingRow.all()] == [2]


async def test_texts_of_any_script_and_full_length_are_kept(store: Store) -> None:
    slug, reason = "聊" * 128, "é" * 500
    what = Command(Moderator(9, Rank.ADMIN), Action.BAN, Target(0, "ü" * 255), None, Scope.ROOM, slug, 0, reason)
    sanction = (await carry_out(store, what)).imposed[0]
    assert await store.find(sanction.id) == sanction


async def test_ids_up_to_2_to_the_53_are_kept(store: Store) -> None:
    sanction = (await carry_out(store, command(target=Target(2**53 - 1, "")))).imposed[0]
    found = await store.find(sanction.id)
    assert found is not None
    assert found.target.user_id == 2**53 - 1


async def test_sql_that_the_database_refuses_is_a_mistake_and_no_outage(store: Store, database: Database) -> None:
    async with database.transaction() as session:
        await session.client.execute_script("DROP TABLE sighting")
    with pytest.raises(OperationalError):
        await store.seen_addresses(ANA, None, since_ms=0)
    await carry_out(store, command())


async def test_a_store_recovers_when_postgresql_drops_its_connections(
    postgres_url: str, eventually: Eventually
) -> None:
    database = moderation_database(postgres_url)
    store = TortoiseStore(database)
    sanctions = partial(store.in_force, SanctionQuery(["live"]), now_ms=1_000)
    try:
        await migrate_moderation(database.url)
        await database.open()
        with contextlib.suppress(DatabaseUnavailable):
            async with answering(60), database.transaction() as session:
                everyone = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                await session.client.execute_query(everyone)

        async def answers() -> bool:
            try:
                return await sanctions() == []
            except DatabaseUnavailable:
                return False

        await eventually(answers)
        await carry_out(store, command())
        assert len(await sanctions()) == 1
    finally:
        await database.close()


async def test_a_postgresql_that_cuts_every_connection_is_away_at_most_and_answers_again(
    postgres_socket: str, postgres_url: str
) -> None:
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    database = moderation_database(postgres_url)
    store = TortoiseStore(database)
    killer = await asyncpg.connect(host=postgres_socket, user="postgres", database="postgres")
    try:
        await migrate_moderation(database.url)
        await database.open()
        for turn in range(5):
            work = [asyncio.create_task(carry_out(store, command(slug=f"s{turn}-{n}"))) for n in range(10)]
            await asyncio.sleep(0.004 * turn)
            await killer.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            for result in await asyncio.gather(*work, return_exceptions=True):
                assert isinstance(result, SanctionEvent | DatabaseUnavailable), repr(result)
        await carry_out(store, command(slug="after"))
        assert len(await ids_in_force(store, "after")) == 1
    finally:
        await killer.close()
        await database.close()


async def test_a_ban_that_replaces_another_goes_on_holding_for_its_addresses(store: Store) -> None:
    ban = command(Action.BAN, minutes=60)
    await carry_out(store, ban, frozenset({"10.0.0.1"}))
    (imposed,) = (await carry_out(store, ban, frozenset({"10.0.0.2"}), now_ms=2_000)).imposed
    assert imposed.addresses == {"10.0.0.1", "10.0.0.2"}
    (stored,) = await store.in_force(SanctionQuery(["live"]), now_ms=3_000)
    assert stored.addresses == {"10.0.0.1", "10.0.0.2"}


async def test_who_was_seen_is_forgotten_part_by_part_until_none_that_is_old_is_left(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderation.adapters.store.retention.ROWS_AT_ONCE", 2)
    seen = {LastSeen(n, "", "live", "10.0.0.1"): 1_000 + n for n in range(1, 8)}
    await store.write_last_seen(seen)
    await store.forget_last_seen(1_006)
    assert sorted(row.user_id for row in await SightingRow.all()) == [6, 7]
    await store.forget_last_seen(9_999)
    assert await SightingRow.all().count() == 0
