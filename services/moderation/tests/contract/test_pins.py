"""Pins in the port Store, on SQLite and on PostgreSQL."""

import asyncio
from functools import partial
from operator import attrgetter

import pytest

from chassis.database import Database
from moderation.adapters.store.outbox import TortoiseOutbox
from moderation.adapters.store.tables import AuditRow, OutboxRow, PinRow
from moderation.domain.commands import ErasureOrder, Receipt, SanctionOrder
from moderation.domain.erasures import NO_ORIGIN, ErasureCommand, ErasureKind, LoggedMessage, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.pins import PinAction, PinChange, PinCommand, PinOrder, RoomPin, demand_change
from moderation.domain.rights import decide, erasure_of, still_there
from moderation.domain.sanctions import Action, Command, Scope
from moderation.errors import MessageNotFound
from moderation.ports import Kept, Store

pytestmark = pytest.mark.integration
LOG, LATER = LogRef(3, 7, 21), LogRef(3, 7, 22)
ORIGIN = Origin("e" * 32, 2**64 - 1, "n1")
CHAIR, ADMIN = Moderator(9, Rank.MODERATOR), Moderator(1, Rank.ADMIN)
ANA = Target(5, "")
SAID = LoggedMessage(1_027, 900, 5, "ana", "be \0nice", "k", "user", 515)
STORED = SAID._replace(text="be \N{REPLACEMENT CHARACTER}nice")
OTHER = LoggedMessage(1_283, 950, 0, "Anonymous_10.0.0.5", "or not", "")


async def pin(
    store: Store, message: LoggedMessage, *, now_ms: int, log: LogRef = LOG, origin: Origin = NO_ORIGIN
) -> Receipt:
    order = PinOrder(PinCommand(PinAction.PIN, CHAIR, "live", message.id, "rules"), log, origin)
    return await store.change_pin(order, message, partial(demand_change, order=order, message=message), now_ms=now_ms)


async def unpin(store: Store, message: LoggedMessage, *, now_ms: int) -> Receipt:
    order = PinOrder(PinCommand(PinAction.UNPIN, CHAIR, "live", message.id, ""), LOG)
    return await store.change_pin(order, None, partial(demand_change, order=order, message=None), now_ms=now_ms)


async def take_back(
    store: Store,
    kind: ErasureKind,
    *,
    now_ms: int,
    log: LogRef = LOG,
    message_id: int = 0,
    target: Target | None = None,
) -> Receipt:
    command = ErasureCommand(kind, ADMIN, "live", None, "spam", message_id=message_id, target=target)
    order = ErasureOrder(command, log)
    known = SAID if message_id == SAID.id else None
    erasure = erasure_of(order) if known is None else erasure_of(order).of(known)
    return await store.take_back(order, known, partial(still_there, erasure=erasure, message=known), now_ms=now_ms)


async def current(store: Store) -> LoggedMessage | None:
    (known,) = await store.pins_of(["live"])
    return known.message


async def test_a_pin_is_kept_with_its_message_its_audit_row_and_what_the_outbox_has_to_tell(
    store: Store, database: Database
) -> None:
    receipt = await pin(store, SAID, now_ms=1_000, origin=ORIGIN)
    assert await store.pins_of(["live", "other"]) == [RoomPin("live", 21, 1_000, STORED, 9, 1_000)]
    assert receipt.work is not None
    assert receipt.work.change == PinChange(PinAction.PIN, LOG, 9, ORIGIN, 1_027, 1_000)
    audit = await AuditRow.get(id=receipt.action_id)
    assert (audit.action, audit.slug, audit.reason, audit.nonce, audit.moderator_rank) == (21, "live", "rules", "n1", 3)
    assert (audit.message_id, audit.target_user_id, audit.message_text) == (1_027, 5, None)
    assert audit.details == {"version": 1_000, "life": 21, "before": None, "after": 1_027}
    (item,) = await TortoiseOutbox(database).claim(first=9, now_ms=100_000)
    assert item.change == receipt.work.change
    assert "nice" not in str(await OutboxRow.all().values())


async def test_a_new_pin_replaces_the_old_one_and_its_row_says_which(store: Store) -> None:
    await pin(store, SAID, now_ms=1_000)
    receipt = await pin(store, OTHER, now_ms=1_000)
    assert await store.pins_of(["live"]) == [RoomPin("live", 21, 1_001, OTHER, 9, 1_000)]
    assert (await AuditRow.get(id=receipt.action_id)).details == {
        "version": 1_001,
        "life": 21,
        "before": 1_027,
        "after": 1_283,
    }
    assert "nice" not in str(await PinRow.all().values())


async def test_what_is_unpinned_is_kept_nowhere(store: Store) -> None:
    await pin(store, SAID, now_ms=1_000)
    receipt = await unpin(store, SAID, now_ms=2_000)
    assert await store.pins_of(["live"]) == [RoomPin("live", 21, 2_000, None, 9, 2_000)]
    assert await store.kept_of(["other", "live"], holds_since_ms=0, now_ms=2_000) == {Kept.PIN}
    audit = await AuditRow.get(id=receipt.action_id)
    assert (audit.action, audit.message_id, audit.target_user_id) == (22, 1_027, 5)
    assert audit.details == {"version": 2_000, "life": 21, "before": 1_027, "after": None}
    with pytest.raises(MessageNotFound):
        await unpin(store, SAID, now_ms=3_000)
    assert await AuditRow.all().count() == 2


async def test_a_repeated_nonce_changes_nothing_and_is_answered_with_what_the_first_one_brought(store: Store) -> None:
    first = await pin(store, SAID, now_ms=1_000, origin=ORIGIN)
    again = await pin(store, OTHER, now_ms=2_000, origin=ORIGIN)
    assert (again.action_id, again.repeated, again.work) == (first.action_id, True, None)
    assert await current(store) == STORED


@pytest.mark.parametrize(
    ("kind", "more", "ends"),
    [
        (ErasureKind.DELETE, {"message_id": 1_027}, True),
        (ErasureKind.DELETE, {"message_id": 1_283}, False),
        (ErasureKind.PURGE, {"target": ANA}, True),
        (ErasureKind.PURGE, {"target": Target(6, "")}, False),
        (ErasureKind.CLEAR, {}, True),
        (ErasureKind.CLEAR, {"log": LATER}, False),
    ],
)
async def test_what_takes_the_message_back_ends_its_pin_in_the_same_step_and_its_text_is_gone(
    store: Store, kind: ErasureKind, more: dict[str, object], ends: bool
) -> None:
    await pin(store, SAID, now_ms=1_000)
    await take_back(store, kind, now_ms=2_000, **more)  # type: ignore[arg-type]
    (known,) = await store.pins_of(["live"])
    assert (known.message, known.version) == ((None, 2_000) if ends else (STORED, 1_000))
    assert ("nice" in str(await PinRow.all().values())) is not ends


@pytest.mark.parametrize("action", [Action.BAN, Action.MUTE])
async def test_a_sanction_with_purge_ends_the_pin_of_its_target_s_message(store: Store, action: Action) -> None:
    command = Command(ADMIN, action, ANA, None, Scope.ROOM, "live", 0, "spam")
    decision = partial(decide, command, addresses=frozenset())
    await pin(store, SAID, now_ms=1_000)
    await store.change(SanctionOrder(command, LOG), frozenset(), decision, now_ms=2_000)
    assert await current(store) == STORED
    await store.change(SanctionOrder(command, LOG, purges=True), frozenset(), decision, now_ms=3_000)
    assert await current(store) is None


@pytest.mark.parametrize("is_done", [False, True])
async def test_what_was_taken_back_since_the_message_was_read_is_not_pinned(
    store: Store, database: Database, is_done: bool
) -> None:
    receipt = await take_back(store, ErasureKind.DELETE, now_ms=1_000_000, message_id=SAID.id)
    assert receipt.work is not None
    if is_done:
        await TortoiseOutbox(database).done(receipt.work, now_ms=1_000_100)
    with pytest.raises(MessageNotFound):
        await pin(store, SAID, now_ms=1_000_200)
    assert (await store.pins_of(["live"]), await AuditRow.all().count()) == ([], 1)


async def test_a_pin_belongs_to_a_life_and_one_of_an_earlier_life_comes_too_late(store: Store) -> None:
    await pin(store, SAID, now_ms=1_000)
    receipt = await pin(store, OTHER, now_ms=2_000, log=LATER)
    assert (await AuditRow.get(id=receipt.action_id)).details == {
        "version": 2_000,
        "life": 22,
        "before": None,
        "after": 1_283,
    }
    with pytest.raises(MessageNotFound):
        await pin(store, SAID, now_ms=3_000)
    with pytest.raises(MessageNotFound):
        await unpin(store, OTHER, now_ms=4_000)
    assert await store.pins_of(["live"]) == [RoomPin("live", 22, 2_000, OTHER, 9, 2_000)]


async def test_many_at_once_leave_one_pin_and_versions_that_rise(store: Store) -> None:
    messages = [SAID._replace(id=256 * number + 3) for number in range(1, 9)]
    receipts = await asyncio.gather(*(pin(store, message, now_ms=1_000) for message in messages))
    changes = [r.work.change for r in sorted(receipts, key=attrgetter("action_id")) if r.work is not None]
    versions = [change.version for change in changes if isinstance(change, PinChange)]
    assert versions == list(range(1_000, 1_008))
    (known,) = await store.pins_of(["live"])
    assert (known.version, known.message and known.message.id) == (1_007, changes[-1].last_id)


async def test_an_entry_waits_for_those_of_earlier_changes_of_the_same_pin(store: Store, database: Database) -> None:
    outbox = TortoiseOutbox(database)
    first, second = await pin(store, SAID, now_ms=1_000), await pin(store, OTHER, now_ms=1_000)
    elsewhere = PinOrder(PinCommand(PinAction.PIN, CHAIR, "else", OTHER.id, ""), LogRef(3, 8, 30))
    third = await store.change_pin(elsewhere, OTHER, lambda *_: None, now_ms=1_000)
    assert first.work is not None
    assert second.work is not None
    assert third.work is not None
    preceded = [await outbox.is_preceded(item) for item in (first.work, second.work, third.work)]
    assert preceded == [False, True, False]
    await outbox.appended(first.work, 1_539, now_ms=1_100)
    assert not await outbox.is_preceded(second.work)


async def test_pins_end_when_their_evidence_does_and_what_is_known_of_them_when_history_does(store: Store) -> None:
    await pin(store, SAID, now_ms=1_000)
    await store.erase_evidence(1_000, now_ms=5_000)
    assert await current(store) == STORED
    await store.erase_evidence(1_001, now_ms=5_000)
    assert await store.pins_of(["live"]) == [RoomPin("live", 21, 5_000, None, 9, 5_000)]
    await store.delete_history(5_000)
    assert len(await store.pins_of(["live"])) == 1
    await store.delete_history(5_001)
    assert await store.pins_of(["live"]) == []


async def test_a_message_that_a_later_version_kept_otherwise_hides_no_other_pin(store: Store) -> None:
    """It may have more, which is left out, or less, and is not shown then; and it can be taken back."""
    await pin(store, SAID, now_ms=1_000)
    (row,) = await PinRow.all()
    assert row.message is not None
    await PinRow.all().update(message={**row.message, "mood": "fine"})
    assert await current(store) == STORED
    await PinRow.all().update(message={"id": 1_027, "mood": "fine"})
    assert await current(store) is None
    await PinRow.all().update(message={**row.message, "mood": "fine"})
    await take_back(store, ErasureKind.DELETE, message_id=1_027, now_ms=2_000)
    assert (await PinRow.get()).message is None
