"""The moderators' feed in the port Store, on SQLite and on PostgreSQL."""

import asyncio

import pytest

from chassis.database import Database
from moderation.adapters.store.database import COMMAND_LOCK
from moderation.adapters.store.feed import append_feed_event
from moderation.adapters.store.tables import AuditRow, FeedEventRow
from moderation.domain.commands import Receipt, SanctionOrder
from moderation.domain.feed import ACTION, DELETED_AFTER_MS, FeedHead
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.policy import PolicyCommand, PolicyOrder
from moderation.domain.rights import Change
from moderation.domain.sanctions import Action, Command, Scope
from moderation.ports import Store

pytestmark = pytest.mark.integration
ADMIN = Moderator(1, Rank.ADMIN)


async def ban(store: Store, user_id: int, *, now_ms: int, slug: str = "live", scope: Scope = Scope.ROOM) -> Receipt:
    command = Command(ADMIN, Action.BAN, Target(user_id, ""), None, scope, slug, 0, "spam")
    return await store.change(SanctionOrder(command), frozenset(), lambda _: Change((), imposes=True), now_ms=now_ms)


async def append(database: Database, slug: str, kind: str, data: dict[str, object], *, now_ms: int) -> int:
    async with database.transaction() as session:
        await session.lock(COMMAND_LOCK)
        return await append_feed_event(slug, kind, data, now_ms=now_ms)


async def test_every_action_is_an_event_with_its_row_in_the_order_of_the_rows(store: Store) -> None:
    first = await ban(store, 5, now_ms=1_000)
    await ban(store, 6, now_ms=1_000, slug="other")
    everywhere = await ban(store, 7, now_ms=900, scope=Scope.EVERYWHERE)
    events = await store.feed_after("live", 0, first=10)
    assert [(e.id, e.previous_id, e.kind, e.at_ms, e.data) for e in events] == [
        (1_000, 0, ACTION, 1_000, {}),
        (1_002, 1_000, ACTION, 900, {}),
    ]
    rows = [event.action for event in events]
    assert [row.id for row in rows if row] == [first.action_id, everywhere.action_id]
    assert [(row.target_user_id, row.reason) for row in rows if row] == [(5, "spam"), (7, "spam")]
    assert await store.feed_after("live", 1_000, first=10) == events[1:]
    assert await store.feed_after("live", 0, first=1) == events[:1]


async def test_an_address_that_a_sanction_followed_to_is_no_event(store: Store) -> None:
    receipt = await ban(store, 5, now_ms=1_000)
    assert receipt.event is not None
    assert await store.follow(receipt.event.imposed[0].id, "10.0.0.1", now_ms=2_000) is not None
    assert len(await store.feed_after("live", 0, first=10)) == 1


async def test_what_fails_is_no_event(store: Store, database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            await session.lock(COMMAND_LOCK)
            await append_feed_event("live", "hold", {}, now_ms=1_000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await store.last_feed_event_id() == 0


async def test_what_is_no_row_of_the_audit_log_has_its_place_in_the_same_order(
    store: Store, database: Database
) -> None:
    await ban(store, 5, now_ms=1_000)
    data = {"hold_id": 4, "message": "a \0 b", "user": {"user_id": 5, "names": ["x\0"]}}
    assert await append(database, "live", "hold", data, now_ms=1_000) == 1_001
    (_, hold) = await store.feed_after("live", 0, first=10)
    assert (hold.kind, hold.previous_id, hold.action) == ("hold", 1_000, None)
    assert hold.data == {"hold_id": 4, "message": "a \ufffd b", "user": {"user_id": 5, "names": ["x\ufffd"]}}


async def test_a_change_of_the_policy_is_an_event_too(store: Store) -> None:
    command = PolicyCommand(ADMIN, "live", {"slow_mode_seconds": 5}, "")
    await store.change_policy(PolicyOrder(command, None), now_ms=1_000)
    (event,) = await store.feed_after("live", 0, first=10)
    assert event.action is not None
    assert event.action.details is not None
    assert event.action.details["after"] == {"slow_mode_seconds": 5}


async def test_ids_rise_as_events_are_committed_however_many_come_at_once(store: Store) -> None:
    await asyncio.gather(*(ban(store, user_id, now_ms=1_000) for user_id in range(1, 21)))
    events = await store.feed_after("live", 0, first=100)
    assert [event.id for event in events] == list(range(1_000, 1_020))
    assert [event.previous_id for event in events] == [0, *range(1_000, 1_019)]
    rows = [event.action.id for event in events if event.action]
    assert rows == sorted(rows)


async def test_heads_tell_how_far_each_feed_has_come(store: Store) -> None:
    assert await store.feed_heads_after(0, first=10) == []
    await ban(store, 5, now_ms=1_000)
    await ban(store, 6, now_ms=1_000, slug="other")
    heads = [FeedHead("live", 1_000), FeedHead("other", 1_001)]
    assert await store.feed_heads_after(0, first=10) == heads
    assert await store.feed_heads_after(0, first=1) == heads[:1]
    assert await store.feed_heads_after(1_000, first=10) == heads[1:]
    assert await store.last_feed_event_id() == 1_001


async def test_no_more_than_600_events_of_a_slug_are_kept(store: Store, database: Database) -> None:
    row = {"previous_id": 0, "kind": "hold", "data": {}, "at_ms": 1}
    await FeedEventRow.bulk_create([FeedEventRow(id=n, slug="live", number=n, **row) for n in range(1, 599)])
    await FeedEventRow.bulk_create([FeedEventRow(id=1_000 + n, slug="other", number=n, **row) for n in (1, 2)])
    await append(database, "live", "hold", {}, now_ms=2_000)
    assert await FeedEventRow.filter(slug="live").count() == 599
    await append(database, "live", "hold", {}, now_ms=2_000)
    assert await FeedEventRow.filter(slug="live").count() == 500
    assert await FeedEventRow.filter(slug="other").count() == 2
    assert [e.id for e in await store.feed_after("live", 0, first=1)] == [101]


async def test_events_go_after_a_day(store: Store) -> None:
    await ban(store, 5, now_ms=1_000)
    await ban(store, 6, now_ms=2_000)
    await store.prune_feed(now_ms=1_001 + DELETED_AFTER_MS)
    (event,) = await store.feed_after("live", 0, first=10)
    assert (event.id, event.previous_id) == (2_000, 1_000)


async def test_a_text_that_was_erased_is_shown_no_more(store: Store) -> None:
    """What the event shows of it is in the audit row alone."""
    await ban(store, 0, now_ms=1_000)
    await AuditRow.all().update(target_username="Anonymous_10.0.0.1")
    await store.erase_evidence(1_001, now_ms=5_000)
    (event,) = await store.feed_after("live", 0, first=10)
    assert event.action is not None
    assert event.action.target_username == "Anonymous"
