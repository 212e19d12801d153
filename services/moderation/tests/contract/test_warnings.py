"""Warnings in the database, on SQLite and on PostgreSQL."""

import asyncio

import pytest

from moderation.adapters.store import warnings
from moderation.adapters.store.tables import AuditRow, WarningRow
from moderation.domain.erasures import NO_ORIGIN, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.warnings import (
    MOST_OPEN,
    RoomWarning,
    WarningCommand,
    WarningOrder,
    WarningReport,
    WarningState,
    WarningStep,
)
from moderation.errors import WarningNotFound
from moderation.ports import Kept, Store

pytestmark = pytest.mark.integration
ANA, BOB, GUEST = Target(5, ""), Target(6, ""), Target(0, "Anonymous_10.0.0.6")
ORIGIN = Origin("e" * 32, 2**64 - 1, "n1")


def order(target: Target = ANA, slug: str = "live", *, origin: Origin = NO_ORIGIN) -> WarningOrder:
    return WarningOrder(WarningCommand(Moderator(9, Rank.MODERATOR), target, None, slug, "No links"), origin)


async def warn(store: Store, target: Target = ANA, slug: str = "live", *, now_ms: int = 1_000) -> RoomWarning:
    warning = (await store.warn(order(target, slug), now_ms=now_ms)).warning
    assert warning is not None
    return warning


async def step(
    store: Store, warning: RoomWarning, what: WarningStep, *, now_ms: int = 2_000, by: Target | None = None
) -> RoomWarning:
    report = WarningReport(warning.id, warning.target if by is None else by, what)
    changed = (await store.report_warning(report, now_ms=now_ms)).warning
    assert changed is not None
    return changed


async def test_a_warning_is_kept_by_slug_with_its_audit_row_whose_id_it_has(store: Store) -> None:
    receipt = await store.warn(order(GUEST, origin=ORIGIN), now_ms=1_000)
    expected = RoomWarning(
        receipt.action_id, "live", GUEST, "No links", 9, Rank.MODERATOR, 1_000, WarningState.ISSUED, 1_000
    )
    assert (receipt.warning, receipt.superseded, receipt.work) == (expected, (), None)
    assert await store.open_warnings(["live", "other"]) == [expected]
    assert await store.open_warnings(["other"]) == await store.open_warnings([]) == []
    assert await store.kept_of(["other", "live"], holds_since_ms=0, now_ms=1_000) == {Kept.WARNINGS}
    assert await store.kept_of(["other"], holds_since_ms=0, now_ms=1_000) == set()
    audit = await AuditRow.get(id=receipt.action_id)
    assert (audit.action, audit.slug, audit.reason, audit.nonce) == (20, "live", "No links", "n1")
    assert (audit.target_user_id, audit.target_username) == GUEST


async def test_a_repeated_nonce_changes_nothing_and_is_answered_with_the_warning_as_it_is_since(store: Store) -> None:
    first = await store.warn(order(origin=ORIGIN), now_ms=1_000)
    assert first.warning is not None
    acknowledged = await step(store, first.warning, WarningStep.ACKNOWLEDGE)
    again = await store.warn(order(BOB, origin=ORIGIN), now_ms=2_000)
    assert (again.action_id, again.repeated, again.warning) == (first.action_id, True, acknowledged)
    assert await store.earlier(order(origin=ORIGIN), now_ms=2_000) == again
    assert await WarningRow.all().count() == 1


async def test_it_is_delivered_then_acknowledged_and_nothing_changes_afterwards(store: Store) -> None:
    issued = await warn(store)
    delivered = await step(store, issued, WarningStep.DELIVER)
    assert (delivered.state, delivered.is_open) == (WarningState.DELIVERED, True)
    assert await step(store, issued, WarningStep.DELIVER, now_ms=3_000) == delivered
    acknowledged = await step(store, issued, WarningStep.ACKNOWLEDGE, now_ms=4_000)
    assert acknowledged.state is WarningState.ACKNOWLEDGED
    assert await store.open_warnings(["live"]) == []
    assert await store.kept_of(["live"], holds_since_ms=0, now_ms=4_000) == set()
    for late in (WarningStep.ACKNOWLEDGE, WarningStep.LAPSE, WarningStep.DELIVER):
        assert await step(store, issued, late, now_ms=5_000) == acknowledged
    row = await WarningRow.get(id=issued.id)
    assert (row.delivered_at_ms, row.closed_at_ms, row.state) == (2_000, 4_000, 3)
    assert await AuditRow.all().count() == 1


@pytest.mark.parametrize("somebody", [BOB, GUEST, Target(0, "ana")])
async def test_somebody_elses_warning_is_not_found_and_stays_as_it_is(store: Store, somebody: Target) -> None:
    issued = await warn(store)
    with pytest.raises(WarningNotFound):
        await step(store, issued, WarningStep.ACKNOWLEDGE, by=somebody)
    with pytest.raises(WarningNotFound):
        await store.report_warning(WarningReport(issued.id + 1, ANA, WarningStep.ACKNOWLEDGE), now_ms=2_000)
    assert await store.open_warnings(["live"]) == [issued]


async def test_at_most_five_wait_for_one_target_in_one_room_and_the_oldest_gives_way(store: Store) -> None:
    elsewhere, other = await warn(store, slug="other"), await warn(store, BOB)
    kept = [await warn(store) for _ in range(MOST_OPEN)]
    receipt = await store.warn(order(), now_ms=1_000)
    assert receipt.warning is not None
    assert [(old.id, old.state) for old in receipt.superseded] == [(kept[0].id, WarningState.SUPERSEDED)]
    assert receipt.superseded[0].version > receipt.warning.version
    assert await store.open_warnings(["live"]) == [other, *kept[1:], receipt.warning]
    assert await store.open_warnings(["other"]) == [elsewhere]


async def test_versions_rise_over_all_warnings_and_replicas_so_that_who_reads_on_misses_no_change(store: Store) -> None:
    issued = await asyncio.gather(*(warn(store, Target(n % 3 + 1, ""), f"s{n % 2}") for n in range(12)))
    await asyncio.gather(*(step(store, each, WarningStep.ACKNOWLEDGE, now_ms=1_000) for each in issued[:6]))
    read: list[RoomWarning] = []
    while part := await store.warnings_after(read[-1].version if read else 0, first=5):
        read += part
    assert sorted(each.id for each in read) == sorted(each.id for each in issued)
    assert len({each.version for each in read}) == len(read)
    assert {each.id for each in read if not each.is_open} == {each.id for each in issued[:6]}


async def test_a_state_of_a_later_version_is_told_by_whether_it_closed_and_one_of_a_later_rank_is_left_out(
    store: Store,
) -> None:
    open_, closed, ranked = [await warn(store) for _ in range(3)]
    await WarningRow.filter(id=open_.id).update(state=99)
    await WarningRow.filter(id=closed.id).update(state=99, closed_at_ms=2_000)
    await WarningRow.filter(id=ranked.id).update(moderator_rank=99)
    assert [(each.id, each.is_open) for each in await store.warnings_after(0, first=9)] == [
        (open_.id, True),
        (closed.id, False),
    ]
    assert [each.id for each in await store.open_warnings(["live"]) or ()] == [open_.id]


async def test_what_nobody_acknowledges_expires_and_what_is_over_loses_its_anonymous_name_and_goes(
    store: Store,
) -> None:
    old, guests, new = await warn(store), await warn(store, GUEST), await warn(store, now_ms=9_000)
    await step(store, guests, WarningStep.ACKNOWLEDGE)
    await store.expire_warnings(5_000, anonymous_before_ms=5_000, now_ms=10_000)
    assert await store.open_warnings(["live"]) == [new]
    assert (await store.warnings_after(new.version, first=9))[-1].state is WarningState.EXPIRED
    await store.erase_evidence(5_000, now_ms=10_000)
    assert (await WarningRow.get(id=guests.id)).target_username == "Anonymous"
    await store.delete_history(1_000)
    assert {row.id for row in await WarningRow.all()} == {old.id, guests.id, new.id}
    await store.delete_history(10_001)
    assert [row.id for row in await WarningRow.all()] == [new.id]


async def test_the_name_of_an_anonymous_target_goes_by_when_the_warning_was_issued_acknowledged_or_not(
    store: Store,
) -> None:
    """Who has that address by then is not to read of it, or to acknowledge it."""
    late = await warn(store, GUEST, now_ms=1_000)
    await warn(store, GUEST, now_ms=2_000)
    user = await warn(store, now_ms=2_000)
    await step(store, late, WarningStep.ACKNOWLEDGE, now_ms=20_000)
    await store.expire_warnings(1_000, anonymous_before_ms=5_000, now_ms=20_000)
    assert [each.id for each in await store.open_warnings(["live"]) or ()] == [user.id]
    await store.erase_evidence(5_000, now_ms=20_000)
    assert {row.target_username for row in await WarningRow.filter(target_user_id=0)} == {"Anonymous"}
    await store.delete_history(5_000)
    assert [row.id for row in await WarningRow.all()] == [user.id], "not so long after they were closed"


async def test_at_most_so_many_wait_in_one_room_and_everywhere_and_the_oldest_give_way(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "MOST_OPEN_OF_SLUG", 3)
    monkeypatch.setattr(warnings, "MOST_OPEN_EVERYWHERE", 5)
    monkeypatch.setattr(warnings, "MOST_TOLD", 3)
    people = [Target(number, "") for number in range(1, 6)]
    here = [await warn(store, who, now_ms=1_000 + number) for number, who in enumerate(people[:3])]
    receipt = await store.warn(order(people[3]), now_ms=1_010)
    assert [(old.id, old.state) for old in receipt.superseded] == [(here[0].id, WarningState.SUPERSEDED)]
    for number, slug in enumerate(("a", "b")):
        await warn(store, slug=slug, now_ms=1_020 + number)
    receipt = await store.warn(order(slug="c"), now_ms=1_030)
    assert [old.id for old in receipt.superseded] == [here[1].id]
    assert await store.open_warnings(["live", "a", "b", "c"]) is None, "too many for one answer"
    assert [each.id for each in await store.open_warnings(["live", "a"]) or ()] == [
        here[2].id,
        here[2].id + 1,
        here[2].id + 2,
    ]
