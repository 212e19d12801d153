"""Raids in the port Store, on SQLite and on PostgreSQL."""

import asyncio

import pytest

from chassis.database import Database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import AuditRow, FeedEventRow
from moderation.domain.erasures import LogRef
from moderation.domain.people import Moderator, Rank
from moderation.domain.policy import (
    SHIELD_PRESET,
    PolicyAction,
    PolicyChanges,
    PolicyCommand,
    PolicyOrder,
    ShieldCommand,
    ShieldOrder,
)
from moderation.domain.raids import LEFT_TO_MODERATORS_MS, SHOWN_FOR_MS, TOLD_AGAIN_AFTER_MS
from moderation.domain.undo import UndoCommand, UndoOrder, decide_undo
from moderation.ports import Store

pytestmark = pytest.mark.integration
LOG = LogRef(3, 7, 21)
NOBODY, CHAIR = Moderator(0, Rank.MODERATOR), Moderator(9, Rank.OWNER)
DATA = {"newcomers": 20, "sample": "be \0here"}
SHIELD_MS = 15 * 60_000


async def ask_for_shields(store: Store, *, now_ms: int, is_wanted: bool = True) -> None:
    command = PolicyCommand(CHAIR, "live", PolicyChanges(shield_automatic=is_wanted), "")
    await store.change_policy(PolicyOrder(command), now_ms=now_ms)


def shield(by: Moderator = NOBODY, minutes: int = 15, *, now_ms: int, log: LogRef | None = LOG) -> PolicyOrder:
    return ShieldOrder(ShieldCommand(by, "live", minutes, "Raid"), log).on_policy(SHIELD_PRESET, now_ms)


async def test_a_shield_comes_by_itself_where_the_policy_asks_for_it_as_one_of_a_moderator(store: Store) -> None:
    assert await store.shield_by_itself(shield(now_ms=1_000), now_ms=1_000) is None
    await ask_for_shields(store, now_ms=2_000)
    receipt = await store.shield_by_itself(shield(now_ms=3_000), now_ms=3_000)
    assert receipt is not None
    assert receipt.policy is not None
    kept = receipt.policy.policy
    assert kept.shield is not None
    assert (kept.shield.until_ms, kept.shield.preset, kept.shield_automatic) == (3_000 + SHIELD_MS, SHIELD_PRESET, True)
    assert receipt.work is not None
    assert receipt.work.change.log == LOG  # the room is told
    row = await AuditRow.get(id=receipt.action_id)
    assert (row.action, row.moderator_user_id, row.reason) == (int(PolicyAction.SHIELD), 0, "Raid")
    assert [policy.policy for policy in await store.policies_of(["live"])] == [kept]


async def test_one_comes_once_however_many_see_the_raid_and_again_when_it_is_over(store: Store) -> None:
    await ask_for_shields(store, now_ms=1_000)
    many = await asyncio.gather(*(store.shield_by_itself(shield(now_ms=2_000), now_ms=2_000) for _ in range(4)))
    assert sum(receipt is not None for receipt in many) == 1
    over_ms = 2_000 + SHIELD_MS
    assert await store.shield_by_itself(shield(now_ms=over_ms - 1), now_ms=over_ms - 1) is None
    assert await store.shield_by_itself(shield(now_ms=over_ms), now_ms=over_ms) is not None
    await ask_for_shields(store, now_ms=over_ms + SHIELD_MS, is_wanted=False)
    later_ms = over_ms + SHIELD_MS + 1
    assert await store.shield_by_itself(shield(now_ms=later_ms), now_ms=later_ms) is None


async def test_where_a_moderator_has_taken_one_away_it_is_left_to_them_for_half_an_hour(store: Store) -> None:
    await ask_for_shields(store, now_ms=1_000)
    await store.shield_by_itself(shield(now_ms=2_000), now_ms=2_000)
    await store.change_policy(shield(CHAIR, 0, now_ms=3_000), now_ms=3_000)
    until_ms = 3_000 + LEFT_TO_MODERATORS_MS
    assert await store.shield_by_itself(shield(now_ms=until_ms - 1), now_ms=until_ms - 1) is None
    assert await store.shield_by_itself(shield(now_ms=until_ms), now_ms=until_ms) is not None


async def test_while_nobody_wants_one_no_command_waits_for_the_question(database: Database) -> None:
    commanding = asyncio.Lock()
    store = TortoiseStore(database, commanding)
    async with commanding:
        assert await store.shield_by_itself(shield(now_ms=1_000), now_ms=1_000) is None


async def test_where_one_was_undone_it_is_left_to_them_as_well(store: Store) -> None:
    await ask_for_shields(store, now_ms=1_000)
    receipt = await store.shield_by_itself(shield(now_ms=2_000), now_ms=2_000)
    assert receipt is not None
    command = UndoCommand(CHAIR, "live", receipt.action_id, "")

    def decide(done):  # type: ignore[no-untyped-def]
        return decide_undo(command, done, now_ms=3_000, found={})

    undone = await store.undo(UndoOrder(command), decide, now_ms=3_000)
    assert undone.policy is not None
    assert (undone.policy.policy.shield, undone.policy.policy.shield_automatic) == (None, True)
    assert await store.shield_by_itself(shield(now_ms=4_000), now_ms=4_000) is None


async def test_moderators_are_told_once_in_five_minutes_over_all_replicas(store: Store) -> None:
    told = await asyncio.gather(*(store.suggest_raid("live", DATA, now_ms=1_000) for _ in range(4)))
    assert sum(told) == 1
    assert not await store.suggest_raid("live", DATA, now_ms=999 + TOLD_AGAIN_AFTER_MS)
    assert await store.suggest_raid("other", DATA, now_ms=2_000)
    assert await store.suggest_raid("live", DATA, now_ms=2_000 + TOLD_AGAIN_AFTER_MS)
    rows = await FeedEventRow.filter(slug="live").order_by("id")
    assert [(row.kind, row.data, row.action_id) for row in rows] == [
        ("raid", {"newcomers": 20, "sample": "be \N{REPLACEMENT CHARACTER}here", "shielded": False}, None)
    ] * 2


async def test_they_are_told_whether_there_is_a_shield_by_now_whoever_has_laid_it(store: Store) -> None:
    await ask_for_shields(store, now_ms=1_000)
    await store.shield_by_itself(shield(now_ms=2_000), now_ms=2_000)
    await store.suggest_raid("live", DATA, now_ms=2_001)
    later_ms = 2_000 + SHIELD_MS
    await store.suggest_raid("live", DATA, now_ms=later_ms)
    rows = await FeedEventRow.filter(slug="live", kind="raid").order_by("id")
    assert [(row.at_ms, row.data["shielded"]) for row in rows] == [(2_001, True), (later_ms, False)]


async def test_who_opens_the_feed_is_shown_the_last_one_for_ten_minutes(store: Store) -> None:
    async def shown(now_ms: int, owned_since_ms: int = 0) -> object:
        how = {"reader_id": 9, "with_everywhere": False}
        state = await store.feed_state("live", None, now_ms=now_ms, owned_since_ms=owned_since_ms, **how)  # type: ignore[arg-type]
        return None if state.raid is None else state.raid.at_ms

    assert await shown(1_000) is None
    await store.suggest_raid("live", DATA, now_ms=1_000_000)
    assert await shown(1_000_001) == 1_000_000
    assert await shown(1_000_001, owned_since_ms=1_000_001) is None
    assert await shown(999_999 + SHOWN_FOR_MS) == 1_000_000
    assert await shown(1_000_000 + SHOWN_FOR_MS) is None
