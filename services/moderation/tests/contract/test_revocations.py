"""Revoked tokens in the database, on SQLite and on PostgreSQL."""

import pytest

from moderation.adapters.store import revocations as module
from moderation.adapters.store.tables import AuditRow, RevocationRow
from moderation.domain.audit import EVERYWHERE
from moderation.domain.erasures import NO_ORIGIN, Origin
from moderation.domain.people import Moderator, Rank
from moderation.domain.revocations import Revocation, RevocationCommand, RevocationOrder
from moderation.errors import TooManyRevocations
from moderation.ports import Store

pytestmark = pytest.mark.integration
ORIGIN = Origin("e" * 32, 1, "n1")
LIFE_MS = 100_000


def order(user_id: int = 7, jti: str = "", before_ms: int = 0, *, origin: Origin = NO_ORIGIN) -> RevocationOrder:
    return RevocationOrder(RevocationCommand(Moderator(9, Rank.ADMIN), user_id, jti, "Stolen", before_ms), origin)


async def revoke(store: Store, wanted: RevocationOrder, *, now_ms: int) -> Revocation:
    revocation = wanted.command.revocation(now_ms=now_ms, token_life_ms=LIFE_MS)
    kept = (await store.revoke(wanted, revocation, now_ms=now_ms)).revocation
    assert kept is not None
    return kept


async def test_it_is_kept_with_its_audit_row_in_the_chain_of_what_holds_everywhere(store: Store) -> None:
    assert await revoke(store, order(origin=ORIGIN), now_ms=5_000) == Revocation(7, "", 5_000, 105_000, 5_000)
    assert await revoke(store, order(0, "a-1"), now_ms=5_000) == Revocation(0, "a-1", 0, 105_000, 5_001)
    of_user, of_one = await AuditRow.all().order_by("id")
    assert (of_user.action, of_user.target_user_id, of_user.details) == (38, 7, {"before_ms": 5_000})
    assert (of_user.scope, of_user.slug, of_user.reason, of_user.nonce) == (2, "", "Stolen", "n1")
    assert (of_one.action, of_one.target_user_id, of_one.details) == (39, 0, {"jti": "a-1"})
    checked = await store.verify_part(EVERYWHERE, 0, first=10)
    assert (checked.checked, checked.broken_id) == (2, None)


async def test_whoever_reads_on_from_the_last_version_misses_none_and_is_told_nothing_that_has_no_effect(
    store: Store,
) -> None:
    kept = [await revoke(store, order(user_id), now_ms=1_000 * user_id) for user_id in (1, 2, 3)]
    assert await store.revocations_after(0, first=10, now_ms=5_000) == kept
    assert await store.revocations_after(0, first=2, now_ms=5_000) == kept[:2]
    assert await store.revocations_after(kept[1].version, first=2, now_ms=5_000) == kept[2:]
    assert await store.revocations_after(0, first=10, now_ms=102_000) == kept[2:]


async def test_a_later_one_of_the_same_takes_its_place_and_never_reaches_less_far(store: Store) -> None:
    await revoke(store, order(), now_ms=5_000)
    assert await revoke(store, order(before_ms=3_000), now_ms=6_000) == Revocation(7, "", 5_000, 106_000, 6_000)
    later = await revoke(store, order(), now_ms=6_000)
    assert later == Revocation(7, "", 6_000, 106_000, 6_001)
    assert await store.revocations_after(0, first=10, now_ms=6_000) == [later]
    assert await RevocationRow.all().count() == 1


async def test_a_repeated_nonce_changes_nothing_and_is_answered_with_what_holds(store: Store) -> None:
    first = await store.revoke(order(origin=ORIGIN), Revocation(7, "", 5_000, 9_000), now_ms=5_000)
    again = await store.revoke(order(8, origin=ORIGIN), Revocation(8, "", 5_000, 9_000), now_ms=6_000)
    assert (again.action_id, again.repeated, again.revocation) == (first.action_id, True, first.revocation)
    one = await store.revoke(order(0, "a", origin=Origin("", 0, "n2")), Revocation(0, "a", 0, 9_000), now_ms=6_000)
    assert await store.earlier(order(0, "a", origin=Origin("", 0, "n2")), now_ms=6_500) is not None
    assert one.revocation is not None
    assert await RevocationRow.all().count() == 2


async def test_there_are_no_more_than_edges_hold_and_one_that_is_there_may_be_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_REVOCATIONS", 2)
    for user_id in (1, 2):
        await revoke(store, order(user_id), now_ms=1_000 * user_id)
    with pytest.raises(TooManyRevocations):
        await revoke(store, order(3), now_ms=3_000)
    assert await AuditRow.all().count() == 2
    assert (await revoke(store, order(2), now_ms=4_000)).before_ms == 4_000
    await revoke(store, order(3), now_ms=101_001)  # the first one has no effect any more


async def test_what_has_no_effect_any_more_is_deleted(store: Store) -> None:
    for user_id in (1, 2):
        await revoke(store, order(user_id), now_ms=1_000 * user_id)
    await store.forget_revocations(101_000)
    assert await RevocationRow.all().count() == 2
    await store.forget_revocations(101_001)
    assert [row.key for row in await RevocationRow.all()] == ["u:2"]
