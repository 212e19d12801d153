"""The port Outbox, on SQLite and on PostgreSQL."""

import asyncio
from dataclasses import replace

import pytest

from chassis.database import Database
from moderation.adapters.store.outbox import LEASE_MS, TortoiseOutbox, put
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import AuditRow, OutboxRow
from moderation.domain.commands import ErasureOrder, LogChange, OutboxItem
from moderation.domain.erasures import (
    NO_ORIGIN,
    Erasure,
    ErasureCommand,
    ErasureKind,
    LoggedMessage,
    LogRef,
    Origin,
)
from moderation.domain.holds import HeldMessage, Publication
from moderation.domain.people import Moderator, Rank, Speaker, Target
from moderation.errors import ClaimLost
from moderation.ports import Backlog

pytestmark = pytest.mark.integration
LOG = LogRef(255, 2**53 - 1, 21)
ANA = Target(5, "")
NOW_MS = 1_800_000_000_000
UNREAD = Erasure(ErasureKind.DELETE, LOG, 9, Origin("e" * 32, 2**64 - 1, "n\0"), message_id=2**53 - 1)
MESSAGE = LoggedMessage(2**53 - 1, NOW_MS, 0, "Anonymous_10.0.0.5", "words\0", "k")
PURGE = Erasure(ErasureKind.PURGE, LOG, 9, Origin("", 0, ""), author=ANA, up_to_id=7, message_keys=("a", "b"))


@pytest.fixture
def outbox(database: Database) -> TortoiseOutbox:
    return TortoiseOutbox(database)


async def given(database: Database, *erasures: LogChange) -> list[OutboxItem]:
    async with database.transaction():
        return [await put(number, erasure, now_ms=NOW_MS + number) for number, erasure in enumerate(erasures, 1)]


async def test_an_item_comes_back_as_it_was_given(database: Database, outbox: TortoiseOutbox) -> None:
    await given(database, UNREAD, PURGE)
    unread, purge = await outbox.claim(first=9, now_ms=NOW_MS + 2 + LEASE_MS)
    assert unread.change == replace(UNREAD, origin=Origin("e" * 32, 2**64 - 1, "n\N{REPLACEMENT CHARACTER}"))
    assert purge.change == PURGE
    assert (purge.entry_id, purge.attempts, purge.made_at_ms, purge.resolved_at_ms) == (0, 1, NOW_MS + 2, NOW_MS + 2)
    assert unread.resolved_at_ms is None


async def test_what_somebody_works_on_is_claimed_by_nobody_else(database: Database, outbox: TortoiseOutbox) -> None:
    (item,) = await given(database, PURGE)
    assert await outbox.claim(first=9, now_ms=NOW_MS + LEASE_MS) == []
    await outbox.renew(item, now_ms=NOW_MS + 5_000)
    assert await outbox.claim(first=9, now_ms=NOW_MS + LEASE_MS + 4_999) == []
    (taken,) = await outbox.claim(first=9, now_ms=NOW_MS + LEASE_MS + 5_000)
    assert taken.claim != item.claim


async def test_of_some_partitions_or_of_all_but_some_is_claimed_where_that_is_wanted(
    database: Database, outbox: TortoiseOutbox
) -> None:
    elsewhere = replace(PURGE, log=LogRef(3, 4, 5))
    await given(database, PURGE, elsewhere, PURGE)
    now_ms = NOW_MS + 3 + LEASE_MS
    assert await outbox.claim(first=9, now_ms=now_ms, not_of={3, 255}) == []
    assert [item.action_id for item in await outbox.claim(first=9, now_ms=now_ms, not_of={255})] == [2]
    assert [item.action_id for item in await outbox.claim(first=1, now_ms=now_ms, of={255})] == [1]
    assert await outbox.claim(first=9, now_ms=now_ms, of={3}) == []
    assert [item.action_id for item in await outbox.claim(first=9, now_ms=now_ms)] == [3]


async def test_replicas_that_claim_at_once_share_what_there_is(database: Database, outbox: TortoiseOutbox) -> None:
    await given(database, *[PURGE] * 20)
    other = TortoiseOutbox(database)
    parts = await asyncio.gather(*(o.claim(first=15, now_ms=NOW_MS + 2 * LEASE_MS) for o in (outbox, other, outbox)))
    assert sorted(item.action_id for part in parts for item in part) == list(range(1, 21))


async def test_whoever_lost_its_claim_can_write_nothing(database: Database, outbox: TortoiseOutbox) -> None:
    (late,) = await given(database, UNREAD)
    (item,) = await outbox.claim(first=1, now_ms=NOW_MS + 1 + LEASE_MS)
    for write in (
        outbox.renew(late, now_ms=NOW_MS),
        outbox.resolved(late, UNREAD.of(MESSAGE), MESSAGE, now_ms=NOW_MS),
        outbox.appended(late, 7, now_ms=NOW_MS),
        outbox.postpone(late, until_ms=0),
        outbox.done(late, now_ms=NOW_MS),
    ):
        with pytest.raises(ClaimLost):
            await write
    await outbox.done(item, now_ms=NOW_MS)
    with pytest.raises(ClaimLost):
        await outbox.appended(item, 7, now_ms=NOW_MS)
    assert (await OutboxRow.get(action_id=1)).entry_id is None


async def test_what_was_read_is_kept_with_its_evidence(database: Database, outbox: TortoiseOutbox) -> None:
    command = ErasureCommand(ErasureKind.DELETE, Moderator(9, Rank.ADMIN), "live", None, "spam", message_id=7)
    store = TortoiseStore(database)
    receipt = await store.take_back(ErasureOrder(command, LOG), None, lambda _: UNREAD, now_ms=NOW_MS)
    assert receipt.work is not None
    await outbox.resolved(receipt.work, UNREAD.of(MESSAGE), MESSAGE, now_ms=NOW_MS + 5)
    await outbox.appended(receipt.work, 2**53 - 1, now_ms=NOW_MS + 6)
    deletion, row = await AuditRow.all().order_by("id")
    assert (deletion.id, deletion.message_text, deletion.target_username) == (receipt.action_id, None, "")
    assert (row.message_text, row.target_username) == ("words\N{REPLACEMENT CHARACTER}", "Anonymous_10.0.0.5")
    assert (row.action, row.moderator_user_id, row.details) == (5, 9, {"completes": deletion.id})
    assert (await store.verify_part("live", 0, first=9)).problem is None
    (item,) = await outbox.claim(first=9, now_ms=NOW_MS + 6 + LEASE_MS)
    assert isinstance(item.change, Erasure)
    assert (item.change.author, item.change.username) == (MESSAGE.author, MESSAGE.username)
    assert (item.entry_id, item.resolved_at_ms) == (2**53 - 1, NOW_MS + 5)
    await store.erase_evidence(NOW_MS + 6, now_ms=NOW_MS + 9)
    row = await AuditRow.get(id=row.id)
    assert (row.message_text, row.target_username, row.reason, row.message_id) == ("", "Anonymous", "spam", 7)
    assert (await store.verify_part("live", 0, first=9)).checked == 2


def said(author: Speaker, log: LogRef = LOG) -> Publication:
    return Publication(log, Origin("e" * 32, 1, ""), 17, HeldMessage(author, "words", "n", 1))


@pytest.mark.parametrize(
    ("erasure", "ended", "left"),
    [
        (replace(PURGE, up_to_id=None), [2, 4], [1, 3, 5, 6]),
        (Erasure(ErasureKind.PURGE, LOG, 9, NO_ORIGIN, author=Target(0, "Anonymous_10.0.0.5")), [3], [1, 2, 4, 5, 6]),
        (Erasure(ErasureKind.CLEAR, LOG, 9, NO_ORIGIN), [2, 3, 4], [1, 5, 6]),
        (UNREAD, [], [1, 2, 3, 4, 5, 6]),
    ],
    ids=["purge", "purge of somebody anonymous", "clear", "delete"],
)
async def test_what_is_to_be_taken_back_ends_what_was_allowed_there_before_and_is_not_stored(
    database: Database, outbox: TortoiseOutbox, erasure: Erasure, ended: list[int], left: list[int]
) -> None:
    ana, nobody = Speaker(5, "ana", "", Rank.USER, "e:1"), Speaker(0, "Anonymous_10.0.0.5", "", Rank.ANONYMOUS, "e:2")
    elsewhere = LOG._replace(life=22)
    items = await given(database, PURGE, said(ana), said(nobody), said(ana), said(ana, elsewhere), said(ana))
    await outbox.appended(items[5], 7, now_ms=NOW_MS)
    async with database.transaction():
        item = await put(7, erasure, now_ms=NOW_MS + 7)
    assert isinstance(item.change, Erasure)
    assert item.change.ended_keys == tuple(f"{number}.{NOW_MS + number}" for number in ended)
    assert sorted([row.action_id for row in await OutboxRow.all()]) == [*left, 7]
    claimed = await outbox.claim(first=9, now_ms=NOW_MS + 7 + LEASE_MS)
    assert item.change in [each.change for each in claimed]
    for number in ended:
        with pytest.raises(ClaimLost):
            await outbox.renew(items[number - 1], now_ms=NOW_MS)


async def test_what_a_replica_of_before_gave_has_ended_nothing(database: Database, outbox: TortoiseOutbox) -> None:
    await given(database, PURGE)
    row = await OutboxRow.get(action_id=1)
    del row.details["ended_keys"]
    await row.save()
    (item,) = await outbox.claim(first=9, now_ms=NOW_MS + 1 + LEASE_MS)
    assert item.change == PURGE


async def test_what_was_postponed_is_claimed_when_its_time_has_come(database: Database, outbox: TortoiseOutbox) -> None:
    (item,) = await given(database, PURGE)
    await outbox.postpone(item, until_ms=NOW_MS + 2)
    assert await outbox.claim(first=9, now_ms=NOW_MS + 1) == []
    (again,) = await outbox.claim(first=9, now_ms=NOW_MS + 2)
    assert again.attempts == 1


async def test_the_backlog_is_what_is_not_done(database: Database, outbox: TortoiseOutbox) -> None:
    assert await outbox.backlog() == Backlog(0, None)
    first, _ = await given(database, UNREAD, PURGE)
    assert await outbox.backlog() == Backlog(2, NOW_MS + 1)
    await outbox.done(first, now_ms=NOW_MS)
    assert await outbox.backlog() == Backlog(1, NOW_MS + 2)


async def test_what_is_done_goes_after_a_while_and_what_is_not_stays(
    database: Database, outbox: TortoiseOutbox
) -> None:
    first, second, _ = await given(database, PURGE, PURGE, PURGE)
    await outbox.done(first, now_ms=NOW_MS)
    await outbox.done(second, now_ms=NOW_MS + 10)
    assert not await outbox.forget_done(NOW_MS + 10)
    assert sorted([row.action_id for row in await OutboxRow.all()]) == [2, 3]


async def test_what_a_later_version_gave_is_left_to_it(database: Database, outbox: TortoiseOutbox) -> None:
    await given(database, PURGE)
    await OutboxRow.all().update(kind=99)
    assert await outbox.claim(first=9, now_ms=NOW_MS + 10 * LEASE_MS) == []
