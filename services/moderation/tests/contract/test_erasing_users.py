"""Erasing a user in the database, on SQLite and on PostgreSQL: what goes, what stays, and that the chain is whole."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # not typed
import pytest

from chassis.database import Database
from chassis.errors import DatabaseUnavailable
from moderation.adapters.store.database import moderation_database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import (
    AuditRow,
    NoteRow,
    OutboxRow,
    PinRow,
    ReportRow,
    RuleHitRow,
    SanctionAddressRow,
    SanctionRow,
    SightingRow,
    UnbanRequestRow,
    VisitRow,
    WarningRow,
)
from moderation.domain.audit import EVERYWHERE
from moderation.domain.commands import ErasureOrder, SanctionOrder
from moderation.domain.erasures import ErasureCommand, ErasureKind, LoggedMessage, LogRef, Origin
from moderation.domain.last_seen import LastSeen
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.rights import Change
from moderation.domain.sanctions import Action, Command, Sanction, Scope
from moderation.domain.undo import UndoCommand, UndoOrder, decide_undo
from moderation.domain.user_erasures import EraseUserCommand, EraseUserOrder, UserErasureAction
from moderation.domain.visits import Visit
from moderation.domain.warnings import WarningCommand, WarningOrder
from moderation.ports import SanctionQuery, Store

pytestmark = pytest.mark.integration
ADMIN = Moderator(9, Rank.ADMIN)
ANA, BOB = Target(7, ""), Target(8, "")
LOG = LogRef(0, 3, 4)
SAID = LoggedMessage(40, 5, 7, "ana", "my address is 5 Elm Street", "k")


def erase(*, nonce: str = "", rooms: tuple[tuple[str, LogRef], ...] = ()) -> EraseUserOrder:
    return EraseUserOrder(EraseUserCommand(ADMIN, 7, "Asked for it", rooms), Origin("", 0, nonce))


async def sanction(store: Store, target: Target, *, slug: str = "live") -> Sanction:
    command = Command(ADMIN, Action.MUTE, target, None, Scope.ROOM, slug, 0, "Spam")
    addresses = frozenset({f"10.0.0.{target.user_id}"})
    receipt = await store.change(
        SanctionOrder(command), addresses, lambda _: Change((), imposes=True, addresses=addresses), now_ms=1_000
    )
    assert receipt.event is not None
    return receipt.event.imposed[0]


async def fill(store: Store, target: Target) -> None:
    await sanction(store, target)
    message = SAID._replace(user_id=target.user_id)
    deletion = ErasureCommand(ErasureKind.DELETE, ADMIN, "live", None, "Doxing", message_id=40)
    await store.take_back(
        ErasureOrder(deletion, LOG),
        message,
        lambda _: replace(EraseUserCommand(ADMIN, target.user_id, "", (("live", LOG),)).purges()[0][1]),
        now_ms=1_000,
    )
    for slug in ("live", "other"):
        await store.warn(WarningOrder(WarningCommand(ADMIN, target, None, slug, "Ana Miller, stop")), now_ms=1_000)
    await store.write_last_seen({LastSeen(target.user_id, "", "live", "10.0.0.1"): 1_000})
    await store.write_visits({Visit(target.user_id, "live", "ana"): (1_000, 1_000)})
    for about, by in ((target.user_id, 9), (99, target.user_id)):
        await NoteRow(
            slug="live",
            target_user_id=about,
            target_username="",
            text="Ana Miller again",
            author_user_id=by,
            author_username="x",
            author_rank=4,
            created_at_ms=1,
        ).save()
    await ReportRow(
        slug="live",
        reporter_user_id=9,
        reporter_username="x",
        category=1,
        note="Ana Miller",
        target_user_id=target.user_id,
        target_username="ana",
        message_id=target.user_id,
        message_text="my address",
        before_ids=[],
        after_ids=[],
        created_at_ms=1,
        state=1,
        closed_by=0,
    ).save()
    await UnbanRequestRow(
        sanction_id=1,
        slug="live",
        user_id=target.user_id,
        username="ana",
        text="I am Ana Miller",
        created_at_ms=1,
        state=1,
        closed_by=0,
        note="",
    ).save()
    await RuleHitRow(
        rule_id=1,
        slug="live",
        at_ms=1,
        user_id=target.user_id,
        username="x",
        text="t",
        pattern="",
        action=1,
        acted=False,
    ).save()
    values = {"life": 4, "version": target.user_id, "moderator_user_id": 9, "changed_at_ms": 5}
    await PinRow(slug=f"pin-{target.user_id}", message=message._asdict(), **values).save(force_create=True)


async def test_names_addresses_and_texts_of_the_user_go_and_those_of_others_stay(store: Store) -> None:
    await fill(store, ANA)
    await fill(store, BOB)
    receipt = await store.erase_user(erase(rooms=(("live", LOG),)), now_ms=2_000)
    assert {row.address for row in await SanctionAddressRow.all()} == {"10.0.0.8"}
    assert [row.user_id for row in await SightingRow.all()] == [8]
    assert [row.user_id for row in await RuleHitRow.all()] == [8]
    assert [row.user_id for row in await VisitRow.all()] == [8]
    notes = await NoteRow.all().order_by("id")
    assert [(n.target_user_id, n.author_user_id, n.author_username) for n in notes] == [
        (99, 7, ""),
        (8, 9, "x"),
        (99, 8, "x"),
    ]
    reports = await ReportRow.all().order_by("id")
    assert [(r.target_username, r.note, r.message_text) for r in reports] == [
        ("", "", ""),
        ("ana", "Ana Miller", "my address"),
    ]
    assert [(u.username, u.text) for u in await UnbanRequestRow.all().order_by("id")] == [
        ("", ""),
        ("ana", "I am Ana Miller"),
    ]
    assert [row.slug for row in await PinRow.filter(message__isnull=False)] == ["pin-8"]
    of_ana = await WarningRow.filter(target_user_id=7)
    assert [(row.reason, row.closed_at_ms) for row in of_ana] == [("", 2_000), ("", 2_000)]
    assert {row.reason for row in await WarningRow.filter(target_user_id=8)} == {"Ana Miller, stop"}
    assert receipt.erased is not None
    assert [(w.reason, w.is_open) for w in receipt.erased.warnings] == [("", False), ("", False)]
    texts = {row.message_text for row in await AuditRow.filter(message_text__isnull=False)}
    assert texts == {"", SAID.text}


async def test_a_sanction_in_force_holds_on_by_the_number_without_addresses(store: Store) -> None:
    old = await sanction(store, ANA)
    receipt = await store.erase_user(erase(), now_ms=2_000)
    assert receipt.event is not None
    (new,) = await store.in_force(SanctionQuery(["live"]), now_ms=3_000)
    assert receipt.event.imposed == (new,)
    assert (receipt.event.lifted_ids, receipt.event.silent) == ((old.id,), True)
    assert (new.target, new.kind, new.reason, new.addresses) == (ANA, Action.MUTE, "Spam", frozenset())
    changed = await store.changed_after(receipt.action_id - 1, first=10, now_ms=3_000)
    assert changed is not None
    assert (list(changed.in_force), list(changed.ended_ids)) == ([new], [old.id])
    again = await store.erase_user(erase(), now_ms=4_000)
    assert (again.event, again.erased and again.erased.warnings) == (None, ())
    assert await SanctionRow.filter(lifted_at_ms__isnull=True).count() == 1


async def test_the_chain_stays_whole_and_the_row_holds_the_number_alone(store: Store) -> None:
    await fill(store, ANA)
    receipt = await store.erase_user(erase(nonce="n", rooms=(("live", LOG), ("more", LOG))), now_ms=2_000)
    for chain in (EVERYWHERE, "live", "more"):
        checked = await store.verify_part(chain, 0, first=50)
        assert (checked.broken_id, checked.checked > 0) == (None, True)
    row = await AuditRow.get(id=receipt.action_id)
    assert (row.action, row.target_user_id, row.target_username, row.slug) == (40, 7, "", "")
    repeated = await store.erase_user(erase(nonce="n", rooms=(("live", LOG),)), now_ms=3_000)
    assert (repeated.action_id, repeated.repeated, repeated.erased) == (receipt.action_id, True, None)


async def test_what_they_said_is_given_to_the_outbox_of_every_room_at_once(store: Store) -> None:
    await store.erase_user(erase(rooms=(("live", LOG), ("more", LogRef(1, 5, 6)))), now_ms=2_000)
    rows = await OutboxRow.all().order_by("action_id")
    assert [(row.life, row.log_partition, row.due_at_ms) for row in rows] == [(4, 0, 2_000), (6, 1, 2_000)]
    purges = await AuditRow.filter(slug__in=["live", "more"]).order_by("id")
    assert [(row.slug, row.target_user_id, row.nonce) for row in purges] == [("live", 7, None), ("more", 7, None)]
    assert [row.id for row in purges] == [row.action_id for row in rows]


async def test_a_sanction_of_before_is_lifted_by_undoing_it_all_the_same(store: Store) -> None:
    await sanction(store, ANA)
    (imposed,) = await AuditRow.filter(action=int(Action.MUTE))
    await store.erase_user(erase(), now_ms=2_000)
    assert len(await store.in_force(SanctionQuery(["live"]), now_ms=3_000)) == 1
    order = UndoOrder(UndoCommand(ADMIN, "live", imposed.id, ""))
    await store.undo(order, partial(decide_undo, order.command, now_ms=3_000), now_ms=3_000)
    assert await store.in_force(SanctionQuery(["live"]), now_ms=3_000) == []


ALL = (("live", LOG), *((f"room-{number}", LogRef(0, 10 + number, 20 + number)) for number in range(25)))


class Interrupted(TortoiseStore):
    """Fails before its `left`th transaction, as a replica that is killed there."""

    left = 10**9

    @property
    def _database(self) -> Any:
        self.left -= 1
        if self.left < 0:
            raise DatabaseUnavailable("killed")
        return self._known_database

    @_database.setter
    def _database(self, database: Database) -> None:
        self._known_database = database


async def test_interrupted_before_whatever_step_it_is_done_when_it_is_ordered_again(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderation.adapters.store.user_erasures.ROWS_AT_ONCE", 1)
    monkeypatch.setattr("moderation.adapters.store.pins._ROWS_AT_ONCE", 1)
    for _ in range(3):
        await sanction(store, ANA)
    await fill(store, ANA)
    await fill(store, BOB)
    interrupted = Interrupted(database)
    receipt = None
    for steps in range(1, 200):
        interrupted.left = steps
        try:
            receipt = await interrupted.erase_user(erase(nonce="n", rooms=ALL), now_ms=2_000)
            break
        except DatabaseUnavailable:
            assert await AuditRow.filter(action=int(UserErasureAction.ERASE)).count() == 0
    assert receipt is not None
    assert steps > 20
    assert receipt.event is not None
    assert len(receipt.event.imposed) == 4
    for table in (SightingRow, VisitRow, RuleHitRow):
        assert [row.user_id for row in await table.all()] == [8]
    assert [row.target_username for row in await ReportRow.all().order_by("id")] == ["", "ana"]
    assert [row.username for row in await UnbanRequestRow.all().order_by("id")] == ["", "ana"]
    assert {row.target_user_id for row in await NoteRow.all()} == {8, 99}
    texts = {row.message_text for row in await AuditRow.filter(target_user_id=7, message_text__isnull=False)}
    assert texts == {""}
    assert {row.address for row in await SanctionAddressRow.all()} == {"10.0.0.8"}
    assert [row.slug for row in await PinRow.filter(message__isnull=False)] == ["pin-8"]
    assert {row.reason for row in await WarningRow.filter(target_user_id=7)} == {""}
    assert {row.life for row in await OutboxRow.all()} >= {log.life for _, log in ALL}
    for chain in (EVERYWHERE, "live", *(slug for slug, _ in ALL)):
        assert (await store.verify_part(chain, 0, first=500)).broken_id is None
    repeated = await store.erase_user(erase(nonce="n", rooms=ALL), now_ms=3_000)
    assert (repeated.action_id, repeated.repeated) == (receipt.action_id, True)


async def test_other_commands_are_carried_out_while_much_is_erased(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderation.adapters.store.user_erasures.ROWS_AT_ONCE", 10)
    hit = {"rule_id": 1, "slug": "live", "at_ms": 1, "user_id": 7, "username": "x", "text": "t", "pattern": ""}
    await RuleHitRow.bulk_create([RuleHitRow(**hit, action=1, acted=False) for _ in range(100)])
    between: list[int] = []

    class Between(TortoiseStore):
        async def _run(self, part: Callable[[], Awaitable[bool]]) -> bool:
            """Another moderator's command, which would wait for ever if this held the lock, or a transaction."""
            await store.warn(WarningOrder(WarningCommand(ADMIN, BOB, None, "live", "stop")), now_ms=2_000)
            between.append(await RuleHitRow.all().count())
            return await super()._run(part)

    await Between(database).erase_user(erase(), now_ms=2_000)
    assert between.count(100) == 3
    assert between[3:13] == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]
    assert await WarningRow.filter(target_user_id=8).count() == len(between)


async def test_of_very_many_sanctions_in_force_each_part_has_its_row(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moderation.adapters.store.sanctions._SANCTIONS_MADE_ANEW", 2)
    old = [await sanction(store, ANA, slug=f"room-{number}") for number in range(5)]
    before = await store.last_action_id()
    receipt = await store.erase_user(erase(nonce="n"), now_ms=2_000)
    rows = await AuditRow.filter(action=int(UserErasureAction.ERASE)).order_by("id")
    assert [(len(row.lifted_ids), row.nonce) for row in rows] == [(2, None), (2, None), (1, "n")]
    assert receipt.action_id == rows[-1].id
    changed = await store.changed_after(before, first=10, now_ms=3_000)
    assert changed is not None
    assert set(changed.ended_ids) == {each.id for each in old}
    assert {each.slug for each in changed.in_force} == {each.slug for each in old}
    assert {each.addresses for each in changed.in_force} == {frozenset()}


async def test_of_very_many_warnings_all_are_closed_and_emptied(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moderation.adapters.store.warnings.WARNINGS_AT_ONCE", 2)
    for number in range(5):
        await store.warn(WarningOrder(WarningCommand(ADMIN, ANA, None, f"room-{number}", "Ana, stop")), now_ms=1_000)
    receipt = await store.erase_user(erase(), now_ms=2_000)
    assert receipt.erased is not None
    assert [(each.reason, each.is_open) for each in receipt.erased.warnings] == [("", False)] * 5
    assert {row.reason for row in await WarningRow.all()} == {""}


async def test_nothing_but_the_pins_is_read_from_end_to_end(
    postgres_url: str, postgres_socket: str, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL's plans of the very statements, where it takes an index wherever there is one. Pins, one a room, have
    the author in what they show."""
    database = moderation_database(postgres_url)
    name = postgres_url.partition("?")[0].rpartition("/")[2]
    other = await asyncpg.connect(host=postgres_socket, user="postgres", database=name)
    try:
        await database.open()
        await fill(TortoiseStore(database), ANA)
        await other.execute("SET enable_seqscan = off")
        caplog.set_level(logging.DEBUG, "tortoise.db_client")
        caplog.clear()
        await TortoiseStore(database).erase_user(erase(), now_ms=2_000)
        said: list[Any] = [record.args for record in caplog.records if isinstance(record.args, tuple)]
        plans = [str(await other.fetch(f"EXPLAIN {sql}", *values)) for sql, values in said if _is_by_rows(sql)]
        assert len(plans) > 20
        assert [plan for plan in plans if "Seq Scan" in plan and "Seq Scan on pin" not in plan] == []
    finally:
        await other.close()
        await database.close()


def _is_by_rows(sql: object) -> bool:
    return isinstance(sql, str) and sql.startswith(("SELECT", "DELETE", "UPDATE")) and "advisory" not in sql
