"""The policies of rooms in the database, on SQLite and on PostgreSQL."""

import asyncio

import pytest

from chassis.database import Database
from moderation.adapters.store import policies, retention
from moderation.adapters.store.outbox import TortoiseOutbox
from moderation.adapters.store.tables import AuditRow, OutboxRow, PolicyRow
from moderation.domain.erasures import NO_ORIGIN, LogRef, Origin
from moderation.domain.people import Moderator, Rank
from moderation.domain.policy import (
    SHIELD_PRESET,
    Links,
    Policy,
    PolicyAction,
    PolicyChange,
    PolicyChanges,
    PolicyCommand,
    PolicyOrder,
    ReadOnly,
    RoomPolicy,
    Shield,
)
from moderation.errors import TooManyPolicies
from moderation.ports import Kept, Store

pytestmark = pytest.mark.integration
LOG = LogRef(3, 7, 21)
ORIGIN = Origin("e" * 32, 2**64 - 1, "n1")


def order(
    slug: str = "live", *, log: LogRef | None = None, origin: Origin = NO_ORIGIN, **changes: object
) -> PolicyOrder:
    command = PolicyCommand(Moderator(9, Rank.ADMIN), slug, PolicyChanges(**changes), "raid")  # type: ignore[typeddict-item]
    return PolicyOrder(command, log, origin)


async def test_a_change_is_kept_by_slug_with_its_audit_row_and_what_the_outbox_has_to_tell(
    store: Store, database: Database
) -> None:
    receipt = await store.change_policy(order(log=LOG, origin=ORIGIN, slow_mode_seconds=30), now_ms=1_000)
    assert receipt.policy == RoomPolicy("live", 1_000, Policy(30))
    assert receipt.work is not None
    assert receipt.work.change == PolicyChange(LOG, 9, ORIGIN, 1_000, Policy(30))
    assert receipt.work.resolved_at_ms == 1_000
    audit = await AuditRow.get(id=receipt.action_id)
    assert (audit.action, audit.slug, audit.reason, audit.nonce, audit.moderator_rank) == (11, "live", "raid", "n1", 4)
    assert audit.details == {
        "version": 1_000,
        "before": {"slow_mode_seconds": 0},
        "after": {"slow_mode_seconds": 30},
    }
    (item,) = await TortoiseOutbox(database).claim(first=9, now_ms=100_000)
    assert item.change == receipt.work.change


async def test_a_change_leaves_other_fields_and_those_of_a_later_version_as_they_are(store: Store) -> None:
    await store.change_policy(order(slow_mode_seconds=30), now_ms=1_000)
    await PolicyRow.filter(slug="live").update(policy={"slow_mode_seconds": 30, "of_a_later_version": 7})
    await store.change_policy(order(read_only=ReadOnly.EVERYONE), now_ms=2_000)
    assert await store.policies_of(["live"]) == [RoomPolicy("live", 2_000, Policy(30, ReadOnly.EVERYONE))]
    kept = (await PolicyRow.get(slug="live")).policy
    assert kept == {"slow_mode_seconds": 30, "of_a_later_version": 7, "read_only": "everyone"}
    await store.change_policy(order(max_shown_per_second=5), now_ms=3_000)
    (known,) = await store.policies_of(["live"])
    assert known.policy == Policy(30, ReadOnly.EVERYONE, max_shown_per_second=5)


async def test_a_value_of_a_later_version_is_taken_for_the_strictest_and_keeps_nobody_from_what_stands_behind_it(
    store: Store, database: Database
) -> None:
    await store.change_policy(order(log=LOG, read_only=ReadOnly.ANONYMOUS), now_ms=1_000)
    await store.change_policy(order("other", slow_mode_seconds=30), now_ms=2_000)
    await PolicyRow.filter(slug="live").update(policy={"read_only": "subscribers", "links": "ask"})
    strictest, other = (
        RoomPolicy("live", 1_000, Policy(read_only=ReadOnly.EVERYONE, links=Links.REFUSE)),
        RoomPolicy("other", 2_000, Policy(30)),
    )
    assert await store.policies_after(0, first=9) == [strictest, other]
    assert await store.policies_of(["live"]) == [strictest]
    (waiting,) = await OutboxRow.all()
    await OutboxRow.filter(action_id=waiting.action_id).update(
        details={**waiting.details, "policy": {"read_only": "subscribers", "links": "ask"}}
    )
    (item,) = await TortoiseOutbox(database).claim(first=9, now_ms=100_000)
    assert item.change == PolicyChange(LOG, 9, NO_ORIGIN, 1_000, strictest.policy)
    await store.change_policy(order(slow_mode_seconds=5), now_ms=3_000)
    assert (await PolicyRow.get(slug="live")).policy == {
        "read_only": "subscribers",
        "links": "ask",
        "slow_mode_seconds": 5,
    }


async def test_an_action_on_a_slug_without_a_life_changes_what_is_kept_and_has_no_entry(store: Store) -> None:
    receipt = await store.change_policy(order(read_only=ReadOnly.ANONYMOUS), now_ms=1_000)
    assert receipt.work is None
    assert await OutboxRow.all().count() == 0
    assert [known.policy for known in await store.policies_of(["live"])] == [Policy(0, ReadOnly.ANONYMOUS)]
    assert await store.kept_of(["other", "live"], holds_since_ms=0, now_ms=1_000) == {Kept.POLICY}


async def test_a_repeated_nonce_changes_nothing_and_is_answered_with_what_the_first_one_brought(store: Store) -> None:
    first = await store.change_policy(order(log=LOG, origin=ORIGIN, slow_mode_seconds=30), now_ms=1_000)
    again = await store.change_policy(order(log=LOG, origin=ORIGIN, slow_mode_seconds=60), now_ms=2_000)
    assert (again.action_id, again.repeated) == (
        first.action_id,
        True,
    )
    assert (again.policy, again.at_ms, again.work) == (first.policy, 1_000, None)
    assert await store.earlier(order(origin=ORIGIN, slow_mode_seconds=1), now_ms=2_000) == again
    assert [known.policy for known in await store.policies_of(["live"])] == [Policy(30)]
    later = await store.change_policy(order(log=LOG, origin=ORIGIN, slow_mode_seconds=60), now_ms=121_001)
    assert later.policy == RoomPolicy("live", 121_001, Policy(60))


async def test_versions_rise_over_all_slugs_and_replicas_so_that_who_reads_on_misses_none(store: Store) -> None:
    changes = [store.change_policy(order(f"s{n % 5}", slow_mode_seconds=n), now_ms=1_000) for n in range(20)]
    receipts = await asyncio.gather(*changes)
    assert sorted(r.policy.version for r in receipts if r.policy) == list(range(1_000, 1_020))
    read, after = [], 0
    while part := await store.policies_after(after, first=2):
        read += part
        after = part[-1].version
    made = sorted((r.policy for r in receipts if r.policy), key=lambda known: known.version)
    newest = {known.slug: known for known in made}
    assert read == sorted(newest.values(), key=lambda known: known.version)


def shield_order(shield: Shield | None, *, log: LogRef | None = None, origin: Origin = NO_ORIGIN) -> PolicyOrder:
    changes = PolicyChanges(shield=shield)
    command = PolicyCommand(Moderator(9, Rank.MODERATOR), "live", changes, "raid", PolicyAction.SHIELD)
    return PolicyOrder(command, log, origin)


async def test_a_shield_is_kept_beside_the_policy_with_its_audit_row_and_what_the_outbox_has_to_tell(
    store: Store, database: Database
) -> None:
    shield = Shield(900_000, SHIELD_PRESET)
    await store.change_policy(order(slow_mode_seconds=5), now_ms=1_000)
    receipt = await store.change_policy(shield_order(shield, log=LOG, origin=ORIGIN), now_ms=2_000)
    known = RoomPolicy("live", 2_000, Policy(5, shield=shield))
    assert receipt.policy == known
    assert await store.policies_of(["live"]) == await store.policies_after(1_000, first=9) == [known]
    audit = await AuditRow.get(id=receipt.action_id)
    assert audit.action == 27
    assert audit.details is not None
    assert (audit.details["before"], audit.details["after"]["shield"]["until_ms"]) == ({"shield": None}, 900_000)
    (item,) = await TortoiseOutbox(database).claim(first=9, now_ms=100_000)
    assert item.change == PolicyChange(LOG, 9, ORIGIN, 2_000, known.policy)
    again = await store.change_policy(shield_order(None, log=LOG, origin=ORIGIN), now_ms=3_000)
    assert (again.action_id, again.repeated) == (receipt.action_id, True)
    changed = await store.change_policy(order(slow_mode_seconds=7), now_ms=3_000)
    assert changed.policy == RoomPolicy("live", 3_000, Policy(7, shield=shield))
    off = await store.change_policy(shield_order(None), now_ms=4_000)
    assert off.policy == RoomPolicy("live", 4_000, Policy(7))


async def test_a_shield_of_a_later_version_is_read_as_far_as_it_is_known(store: Store) -> None:
    await store.change_policy(order(slow_mode_seconds=5), now_ms=1_000)
    later = {"of_later": 1, "preset": {"read_only": "subscribers", "of_later": 2}}
    await PolicyRow.filter(slug="live").update(policy={"shield": later})
    strict = Policy(read_only=ReadOnly.EVERYONE)
    assert await store.policies_of(["live"]) == [RoomPolicy("live", 1_000, Policy(shield=Shield(0, strict)))]


async def test_a_policy_under_a_shield_is_not_forgotten_before_that_was_over_for_as_long(store: Store) -> None:
    await store.change_policy(shield_order(Shield(900_000, SHIELD_PRESET)), now_ms=1_000)
    await store.change_policy(order("newest", slow_mode_seconds=0), now_ms=2_000)
    await store.forget_policies(899_999)
    assert {row.slug for row in await PolicyRow.all()} == {"live", "newest"}
    await store.forget_policies(900_000)
    assert {row.slug for row in await PolicyRow.all()} == {"newest"}


async def test_of_no_slugs_there_are_no_policies(store: Store) -> None:
    await store.change_policy(order(slow_mode_seconds=30), now_ms=1_000)
    assert await store.policies_of([]) == []
    assert await store.policies_of(["other"]) == []


async def test_a_policy_that_asks_for_nothing_is_forgotten_after_its_time_and_any_other_never(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    for number in range(5):
        await store.change_policy(order(f"nothing{number}", slow_mode_seconds=0), now_ms=1_000)
    await store.change_policy(order("slow", slow_mode_seconds=5), now_ms=1_100)
    await store.change_policy(order("later", members_only=False), now_ms=1_200)
    await PolicyRow.filter(slug="later").update(policy={"members_only": False, "of_a_later_version": 7})
    await store.change_policy(order("young", slow_mode_seconds=0), now_ms=5_000)
    await store.change_policy(order("newest", slow_mode_seconds=0), now_ms=6_000)
    await store.forget_policies(5_000)
    assert {row.slug for row in await PolicyRow.all()} == {"slow", "later", "young", "newest"}
    await store.forget_policies(9_000)
    assert {row.slug for row in await PolicyRow.all()} == {"slow", "later", "newest"}
    changed = await store.change_policy(order("nothing1", slow_mode_seconds=7), now_ms=1_000)
    assert changed.policy == RoomPolicy("nothing1", 6_001, Policy(7))


async def test_so_many_slugs_have_a_policy_and_no_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "MOST_POLICIES", 1)
    await store.change_policy(order(slow_mode_seconds=5), now_ms=1_000)
    with pytest.raises(TooManyPolicies):
        await store.change_policy(order("other", slow_mode_seconds=5), now_ms=1_000)
    assert await AuditRow.all().count() == 1
    await store.change_policy(order(slow_mode_seconds=6), now_ms=1_000)
