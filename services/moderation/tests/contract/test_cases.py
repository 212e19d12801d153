"""Notes, visits and cases in the database, on SQLite and on PostgreSQL."""

from functools import partial

import pytest

from moderation.adapters.store.tables import AuditRow, NoteRow, VisitRow
from moderation.domain.audit import AuditQuery
from moderation.domain.cases import (
    AddNote,
    DeleteNote,
    Note,
    NoteOrder,
    Seen,
    demand_deletable,
    demand_room_for_note,
)
from moderation.domain.commands import SanctionOrder
from moderation.domain.erasures import NO_ORIGIN, LoggedMessage, LogRef, Origin
from moderation.domain.last_seen import LastSeen
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.reports import Neighbours, ReportCategory, ReportOrder
from moderation.domain.rights import decide
from moderation.domain.sanctions import Action, Command, Scope
from moderation.domain.visits import MOST_VISITS, Visit
from moderation.domain.warnings import WarningCommand, WarningOrder, WarningReport, WarningState, WarningStep
from moderation.errors import NoteNotFound, NotPermitted, TooManyNotes
from moderation.ports import Store

pytestmark = pytest.mark.integration
MODERATOR, ADMIN = Moderator(9, Rank.MODERATOR), Moderator(1, Rank.ADMIN)
ANA, GUEST = Target(5, ""), Target(0, "Anonymous_10.0.0.6")


def adding(target: Target = ANA, *, slug: str = "live", origin: Origin = NO_ORIGIN) -> NoteOrder:
    return NoteOrder(AddNote(MODERATOR, "mo\0", slug, target, "watch out"), origin=origin)


async def add(store: Store, order: NoteOrder, *, now_ms: int = 1_000) -> Note:
    receipt = await store.change_note(order, lambda count, _: demand_room_for_note(count), now_ms=now_ms)
    assert receipt.note is not None
    return receipt.note


async def delete(store: Store, note: Note, by: Moderator = MODERATOR, *, origin: Origin = NO_ORIGIN) -> None:
    command = DeleteNote(by, note.slug, note.id)
    order = NoteOrder(command, origin=origin)
    await store.change_note(order, lambda _, known: demand_deletable(command, known), now_ms=2_000)


async def test_of_a_user_who_was_in_very_many_rooms_the_oldest_visits_go(store: Store) -> None:
    everywhere = {Visit(5, f"room-{number}", "ana"): (number, number + 1_000) for number in range(MOST_VISITS)}
    await store.write_visits(everywhere | {Visit(6, "room-0", "bob"): (1, 1)})
    await store.write_visits({Visit(5, "room-0", "ana"): (5_000, 5_000), Visit(5, "room-0", "anna"): (5_001, 5_001)})
    kept = await VisitRow.filter(user_id=5).order_by("last_seen_ms")
    assert [(row.slug, row.first_seen_ms) for row in (*kept[:2], *kept[-2:])] == [
        ("room-2", 2),
        ("room-3", 3),
        ("room-0", 0),
        ("room-0", 5_001),
    ]
    assert (len(kept), await VisitRow.filter(user_id=6).count()) == (MOST_VISITS, 1)


async def test_a_note_is_kept_and_deleted_with_audit_rows_that_do_not_have_its_text(store: Store) -> None:
    order = adding(origin=Origin("", 0, "n1"))
    kept = await add(store, order)
    assert kept == Note(kept.id, "live", ANA, "watch out", 9, "mo\N{REPLACEMENT CHARACTER}", Rank.MODERATOR, 1_000)
    assert await store.find_note(kept.id) == kept == await add(store, order, now_ms=2_000)
    with pytest.raises(NotPermitted):
        await delete(store, kept, Moderator(8, Rank.MODERATOR))
    await delete(store, kept, origin=Origin("", 0, "n2"))
    await delete(store, kept, origin=Origin("", 0, "n2"))
    assert await store.find_note(kept.id) is None
    with pytest.raises(NoteNotFound):
        await delete(store, kept)
    rows = [row for row, _ in await store.audit_log(AuditQuery("live"), first=9, before_id=None)]
    assert [(row.action, row.target_user_id, row.details) for row in rows] == [
        (31, 5, {"note_id": kept.id}),
        (30, 5, {"note_id": kept.id}),
    ]
    assert "watch out" not in str(rows)
    assert (await store.verify_part("live", 0, first=9)).problem is None


async def test_there_are_at_most_so_many_of_somebody_in_a_room(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moderation.domain.cases.MOST_NOTES", 2)
    for _ in range(2):
        await add(store, adding())
    with pytest.raises(TooManyNotes):
        await add(store, adding())
    for other in (adding(GUEST), adding(slug="other")):
        await add(store, other)
    assert await AuditRow.all().count() == 4


async def test_a_visit_keeps_the_first_time_and_the_last_of_each_name(store: Store) -> None:
    await store.write_visits({Visit(5, "live", "ana"): (10, 20), Visit(5, "other", "ana"): (1, 99)})
    await store.write_visits({Visit(5, "live", "ana"): (30, 40), Visit(5, "live", "anna"): (50, 60)})
    assert (await store.case_of("live", ANA, with_reports=True, with_everywhere=True)).seen == Seen(
        ("anna", "ana"), 10, 60
    )
    assert (await store.case_of("live", Target(6, ""), with_reports=True, with_everywhere=True)).seen == Seen()
    await store.erase_evidence(50, now_ms=100)
    assert {(row.slug, row.name) for row in await VisitRow.all()} == {("live", "anna"), ("other", "ana")}


async def test_somebody_anonymous_was_seen_as_long_as_sightings_are_kept(store: Store) -> None:
    name = GUEST.username
    await store.write_last_seen({LastSeen(0, name, "live", "10.0.0.6"): 10, LastSeen(0, name, "live", "10.0.0.7"): 30})
    assert (await store.case_of("live", GUEST, with_reports=True, with_everywhere=True)).seen == Seen((name,), 10, 30)
    assert (await store.case_of("other", GUEST, with_reports=True, with_everywhere=True)).seen == Seen((name,))


async def test_a_case_has_all_of_the_person_in_the_room_and_everywhere_newest_first(store: Store) -> None:
    bans = []
    for target, slug in ((ANA, "live"), (ANA, None), (ANA, "other"), (GUEST, "live")):
        scope = Scope.EVERYWHERE if slug is None else Scope.ROOM
        command = Command(ADMIN, Action.BAN, target, None, scope, slug or "live", 1, "spam")
        decision = partial(decide, command, addresses=frozenset({"10.0.0.5"}))
        event = (await store.change(SanctionOrder(command), frozenset(), decision, now_ms=1_000)).event
        assert event is not None
        bans.append(event.imposed[0].id)
    warned = await store.warn(WarningOrder(WarningCommand(MODERATOR, ANA, None, "live", "No")), now_ms=1_000)
    assert warned.warning is not None
    await store.report_warning(WarningReport(warned.warning.id, ANA, WarningStep.ACKNOWLEDGE), now_ms=2_000)
    notes = [await add(store, adding()) for _ in range(2)]
    await add(store, adding(slug="other"))
    reported = ReportOrder(Moderator(6, Rank.USER), "bob", "live", LogRef(3, 7, 21), 773, None, ReportCategory.SPAM, "")
    message = LoggedMessage(773, 900, 5, "ana", "buy", "key")
    report = (await store.file_report(reported, message, Neighbours(), now_ms=1_000)).report
    found = await store.case_of("live", ANA, with_reports=True, with_everywhere=True)
    assert [sanction.id for sanction in found.sanctions] == [bans[1], bans[0]]
    in_room = await store.case_of("live", ANA, with_reports=True, with_everywhere=False)
    assert [sanction.id for sanction in in_room.sanctions] == [bans[0]]
    assert all(not sanction.addresses for sanction in found.sanctions)
    assert [(warning.id, warning.state) for warning in found.warnings] == [
        (warned.warning.id, WarningState.ACKNOWLEDGED)
    ]
    assert found.notes == notes[::-1]
    assert found.reports == [report]
    assert (await store.case_of("live", ANA, with_reports=False, with_everywhere=True)).reports == []
    assert [s.id for s in (await store.case_of("live", GUEST, with_reports=True, with_everywhere=True)).sanctions] == [
        bans[3]
    ]


async def test_notes_go_with_the_history_and_one_of_a_later_rank_is_deleted_by_nobody_below(store: Store) -> None:
    old, new = await add(store, adding()), await add(store, adding(), now_ms=9_000)
    await NoteRow.filter(id=new.id).update(author_rank=99, author_user_id=7)
    with pytest.raises(NotPermitted):
        await delete(store, new, ADMIN)
    await store.delete_history(5_000)
    assert [row.id for row in await NoteRow.all()] == [new.id]
    assert await store.find_note(old.id) is None
