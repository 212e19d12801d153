"""The moderators' feed in the port Store, on SQLite and on PostgreSQL."""

import asyncio

import pytest

from chassis.database import Database
from moderation.adapters.store import feed_pages
from moderation.adapters.store.database import COMMAND_LOCK
from moderation.adapters.store.feed import append_feed_event
from moderation.adapters.store.tables import AuditRow, FeedEventRow, SanctionRow
from moderation.domain.commands import Receipt, SanctionOrder
from moderation.domain.feed import ACTION, DELETED_AFTER_MS, KEPT_MS, FeedHead, FeedPart, FeedState
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.policy import PolicyCommand, PolicyOrder
from moderation.domain.rights import Change
from moderation.domain.rule_flags import FlagBatch, Flagged
from moderation.domain.rules import RuleAction
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


async def begin(store: Store, since: int | None = None, *, with_everywhere: bool = False, now_ms: int) -> FeedState:
    return await store.feed_state("live", since, reader_id=9, with_everywhere=with_everywhere, now_ms=now_ms)


async def test_every_action_is_an_event_with_its_row_in_the_order_of_the_rows(store: Store) -> None:
    first = await ban(store, 5, now_ms=1_000)
    await ban(store, 6, now_ms=1_000, slug="other")
    everywhere = await ban(store, 7, now_ms=900, scope=Scope.EVERYWHERE)
    events = (await store.feed_after(["live"], 0, first=10)).events
    assert [(e.id, e.previous_id, e.kind, e.at_ms, e.data) for e in events] == [
        (1_000, 0, ACTION, 1_000, {}),
        (1_002, 1_000, ACTION, 900, {}),
    ]
    rows = [event.action for event in events]
    assert [row.id for row in rows if row] == [first.action_id, everywhere.action_id]
    assert [(row.target_user_id, row.reason) for row in rows if row] == [(5, "spam"), (7, "spam")]
    assert await store.feed_after(["live"], 1_000, first=10) == FeedPart(events[1:], 1_002)


async def test_who_reads_on_from_where_the_last_part_ended_misses_nothing_of_these_slugs(store: Store) -> None:
    assert await store.feed_after(["live"], 7, first=10) == FeedPart((), 7)
    for user_id, slug in enumerate(["live", "other", "live", "third", "other"], start=1):
        await ban(store, user_id, now_ms=1_000, slug=slug)
    first = await store.feed_after(["live", "other"], 0, first=2)
    assert ([(e.id, e.slug) for e in first.events], first.up_to_id) == ([(1_000, "live"), (1_001, "other")], 1_001)
    second = await store.feed_after(["live", "other"], first.up_to_id, first=3)
    assert ([(e.id, e.slug) for e in second.events], second.up_to_id) == ([(1_002, "live"), (1_004, "other")], 1_004)
    assert await store.feed_after(["live"], 1_002, first=3) == FeedPart([], 1_004)


async def test_a_moderator_begins_with_what_is_in_force_and_what_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_reports(slug: str, first: int, since_ms: int, *, not_about: int) -> list[dict[str, object]]:
        return [{"report_id": 3, "slug": slug, "first": first, "not_about": not_about}]

    monkeypatch.setattr(feed_pages, "open_reports", open_reports)
    assert (await begin(store, now_ms=10)).event_id == 0
    receipt = await ban(store, 5, now_ms=1_000)
    await ban(store, 6, now_ms=1_000, slug="other")
    everywhere = await ban(store, 7, now_ms=1_000, scope=Scope.EVERYWHERE)
    state = await begin(store, with_everywhere=True, now_ms=2_000)
    assert (state.event_id, state.events, state.recovered, state.has_more_sanctions) == (1_002, [], True, False)
    assert receipt.event is not None
    assert everywhere.event is not None
    assert [s.id for s in state.sanctions] == [everywhere.event.imposed[0].id, receipt.event.imposed[0].id]
    items = [{"report_id": 3, "slug": "live", "first": 50, "not_about": 9}]
    assert [list(each) for each in state.items] == [[], items, []]


async def test_what_holds_everywhere_is_shown_only_to_whom_it_may_be(store: Store) -> None:
    here = await ban(store, 5, now_ms=1_000)
    await ban(store, 7, now_ms=1_000, scope=Scope.EVERYWHERE)
    state = await begin(store, now_ms=2_000)
    assert here.event is not None
    assert [s.id for s in state.sanctions] == [here.event.imposed[0].id]


async def test_what_holds_everywhere_hides_nothing_of_the_room(store: Store) -> None:
    await ban(store, 5, now_ms=1_000)
    row = {"kind": 1, "target_username": "", "slug": None, "reason": "", "moderator_user_id": 1, "moderator_rank": 4}
    rows = [SanctionRow(target_user_id=n, created_at_ms=1, **row) for n in range(1_001, 1_202)]
    await SanctionRow.bulk_create(rows)
    state = await begin(store, with_everywhere=True, now_ms=2_000)
    assert [s.target.user_id for s in state.sanctions] == [*range(1_201, 1_001, -1), 5]
    assert state.has_more_sanctions


async def test_of_more_than_200_sanctions_the_newest_are_shown(store: Store) -> None:
    row = {"kind": 1, "target_username": "", "slug": "live", "reason": "", "moderator_user_id": 1, "moderator_rank": 4}
    rows = [SanctionRow(target_user_id=n, created_at_ms=1, **row) for n in range(1, 202)]
    await SanctionRow.bulk_create(rows)
    state = await begin(store, now_ms=2_000)
    assert ([s.target.user_id for s in state.sanctions], state.has_more_sanctions) == (list(range(201, 1, -1)), True)


async def test_who_comes_back_is_given_what_they_missed_or_told_that_it_is_not_all(store: Store) -> None:
    await ban(store, 5, now_ms=1_000)
    await ban(store, 6, now_ms=1_500, slug="other")
    await ban(store, 7, now_ms=2_000)
    state = await begin(store, 1_000, now_ms=3_000)
    assert ([e.id for e in state.events], state.recovered) == ([2_000], True)
    state = await begin(store, 2_000, now_ms=3_000)
    assert ([e.id for e in state.events], state.recovered) == ([], True)
    state = await begin(store, 2_000, now_ms=2_001 + KEPT_MS)
    assert ([e.id for e in state.events], state.recovered) == ([], False)
    row = {"kind": "hold", "data": {}, "at_ms": 1, "slug": "live"}
    await FeedEventRow.bulk_create(
        [FeedEventRow(id=3_000 + n, number=n, previous_id=3_000 + n - 1 if n else 2_000, **row) for n in range(501)]
    )
    state = await begin(store, 2_000, now_ms=4_000)
    assert (len(state.events), state.events[0].id, state.recovered) == (500, 3_001, False)
    assert (await begin(store, 3_000, now_ms=4_000)).recovered


async def test_of_several_events_of_a_slug_that_are_told_at_once_each_follows_the_one_before(store: Store) -> None:
    await store.append_flags(
        [FlagBatch("live", (), 1), FlagBatch("other", (), 2), FlagBatch("live", (), 3)], now_ms=1_000
    )
    events = (await store.feed_after(["live", "other"], 0, first=10)).events
    assert [(event.slug, event.id, event.previous_id) for event in events] == [
        ("live", 1_000, 0),
        ("other", 1_001, 0),
        ("live", 1_002, 1_000),
    ]


async def test_what_rules_flag_has_its_place_in_the_same_order(store: Store) -> None:
    await ban(store, 5, now_ms=1_000)
    flagged = Flagged(3, "spam", RuleAction.FLAG, 5, "ana", "buy")
    await store.append_flags([FlagBatch("live", (flagged,), 7), FlagBatch("other", (), 1)], now_ms=1_000)
    (_, event) = (await store.feed_after(["live"], 0, first=10)).events
    hit = {"rule_id": 3, "rule": "spam", "action": "flag", "user_id": 5, "username": "ana", "message": "buy"}
    assert (event.id, event.previous_id, event.kind, event.data) == (
        1_001,
        1_000,
        "rule_hits",
        {"hits": [hit], "count": 7},
    )
    assert await store.last_feed_event_id() == 1_002
    await FeedEventRow.filter(id=1_002).update(number=599)
    await FeedEventRow(id=5, slug="other", number=100, previous_id=0, kind="hold", data={}, at_ms=1).save(
        force_create=True
    )
    await store.append_flags([FlagBatch("other", (), 2), FlagBatch("third", (), 3)], now_ms=1_000)
    rows = await FeedEventRow.filter(slug__in=["other", "third"]).order_by("id")
    assert [(row.id, row.slug, row.previous_id, row.number) for row in rows] == [
        (1_002, "other", 0, 599),
        (1_003, "other", 1_002, 600),
        (1_004, "third", 0, 1),
    ]


async def test_an_address_that_a_sanction_followed_to_is_no_event(store: Store) -> None:
    receipt = await ban(store, 5, now_ms=1_000)
    assert receipt.event is not None
    assert await store.follow(receipt.event.imposed[0].id, "10.0.0.1", now_ms=2_000) is not None
    assert len((await store.feed_after(["live"], 0, first=10)).events) == 1


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
    (_, hold) = (await store.feed_after(["live"], 0, first=10)).events
    assert (hold.kind, hold.previous_id, hold.action) == ("hold", 1_000, None)
    assert hold.data == {"hold_id": 4, "message": "a \ufffd b", "user": {"user_id": 5, "names": ["x\ufffd"]}}


async def test_a_change_of_the_policy_is_an_event_too(store: Store) -> None:
    command = PolicyCommand(ADMIN, "live", {"slow_mode_seconds": 5}, "")
    await store.change_policy(PolicyOrder(command, None), now_ms=1_000)
    (event,) = (await store.feed_after(["live"], 0, first=10)).events
    assert event.action is not None
    assert event.action.details is not None
    assert event.action.details["after"] == {"slow_mode_seconds": 5}


async def test_ids_rise_as_events_are_committed_however_many_come_at_once(store: Store) -> None:
    await asyncio.gather(*(ban(store, user_id, now_ms=1_000) for user_id in range(1, 9)))
    events = (await store.feed_after(["live"], 0, first=100)).events
    assert [event.id for event in events] == list(range(1_000, 1_008))
    assert [event.previous_id for event in events] == [0, *range(1_000, 1_007)]
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
    assert [e.id for e in (await store.feed_after(["live"], 0, first=1)).events] == [101]


async def test_events_go_after_a_day(store: Store) -> None:
    await ban(store, 5, now_ms=1_000)
    await ban(store, 6, now_ms=2_000)
    await store.prune_feed(now_ms=1_001 + DELETED_AFTER_MS)
    (event,) = (await store.feed_after(["live"], 0, first=10)).events
    assert (event.id, event.previous_id) == (2_000, 1_000)


async def test_a_text_that_was_erased_is_shown_no_more(store: Store) -> None:
    """What the event shows of it is in the audit row alone."""
    await ban(store, 0, now_ms=1_000)
    await AuditRow.all().update(target_username="Anonymous_10.0.0.1")
    await store.erase_evidence(1_001, now_ms=5_000)
    (event,) = (await store.feed_after(["live"], 0, first=10)).events
    assert event.action is not None
    assert event.action.target_username == "Anonymous"
