"""Undoing actions in the database, on SQLite and on PostgreSQL."""

import asyncio
import random
from functools import partial

import pytest
from tortoise.expressions import Q

from chassis.database import Database
from moderation.adapters.store import sanctions, undoing
from moderation.adapters.store.database import migrate_moderation, moderation_database
from moderation.adapters.store.outbox import TortoiseOutbox
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import AuditRow, PolicyRow, SanctionRow
from moderation.domain.commands import NONCES_KNOWN_MS, Receipt, SanctionOrder, Undone
from moderation.domain.erasures import NO_ORIGIN, LoggedMessage, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.pins import PinAction, PinChange, PinCommand, PinOrder, demand_change
from moderation.domain.policy import Policy, PolicyChange, PolicyChanges, PolicyCommand, PolicyOrder
from moderation.domain.rights import Change, decide
from moderation.domain.roles import RoleCommand, RoleHolder, RoleOrder, RoomRole, RoomRoles
from moderation.domain.sanctions import Action, Command, Scope
from moderation.domain.undo import UndoCommand, UndoOrder, decide_undo
from moderation.domain.warnings import WarningCommand, WarningOrder, WarningReport, WarningState, WarningStep
from moderation.errors import AlreadyUndone, CannotUndo, MessageWanted, ModerationError, NonceTaken, NothingToUndo
from moderation.ports import SanctionQuery, Store

pytestmark = pytest.mark.integration
ADMIN, OTHER = Moderator(9, Rank.ADMIN), Moderator(8, Rank.SUPERUSER)
ANA, BOB, NAMELESS = Target(123, ""), Target(124, ""), Target(0, "Anonymous_10.0.0.1")
LOG = LogRef(3, 7, 21)
ORIGIN = Origin("e" * 32, 4, "n1")
MINUTE_MS = 60_000
ADDRESSES = frozenset({"10.0.0.1"})


async def act(
    store: Store,
    action: Action,
    target: Target = ANA,
    *,
    at_ms: int,
    minutes: int = 0,
    slug: str = "live",
    scope: Scope = Scope.ROOM,
    origin: Origin = NO_ORIGIN,
    by: Moderator = ADMIN,
) -> Receipt:
    command = Command(by, action, target, None, scope, slug, minutes, "spam")
    decision = partial(decide, command, addresses=ADDRESSES)
    return await store.change(SanctionOrder(command, None, origin), ADDRESSES, decision, now_ms=at_ms)


async def change(store: Store, *, at_ms: int, by: Moderator = ADMIN, slug: str = "live", **changes: object) -> Receipt:
    command = PolicyCommand(by, slug, PolicyChanges(**changes), "")  # type: ignore[typeddict-item]
    return await store.change_policy(PolicyOrder(command), now_ms=at_ms)


async def undo(
    store: Store,
    action_id: int,
    *,
    at_ms: int,
    log: LogRef | None = None,
    origin: Origin = NO_ORIGIN,
    since_ms: int | None = None,
    found: dict[int, LoggedMessage | None] | None = None,
) -> Receipt:
    command = UndoCommand(OTHER, "", action_id, "a mistake", since_ms)
    order = UndoOrder(command, log, origin)
    return await store.undo(order, partial(decide_undo, command, now_ms=at_ms, found=found), now_ms=at_ms)


async def undo_all(store: Store, actor: Moderator, *, at_ms: int, since_ms: int = 0) -> list[int]:
    """As rooms does; the ids of what was undone."""
    found, _, _ = await store.undoable(actor.user_id, since_ms, None, first=99)
    undone = []
    for record in found:
        try:
            await undo(store, record.id, at_ms=at_ms, since_ms=since_ms)
        except (NothingToUndo, CannotUndo):
            continue
        undone.append(record.id)
    return undone


async def in_force(store: Store, now_ms: int) -> list[tuple[Action, int | None, int, Rank, frozenset[str]]]:
    found = await store.in_force(SanctionQuery(["live"]), now_ms=now_ms)
    return [(s.kind, s.expires_at_ms, s.moderator_user_id, s.moderator_rank, s.addresses) for s in found]


async def test_an_undone_ban_is_lifted_with_a_row_that_names_it_and_an_event(store: Store) -> None:
    ban = await act(store, Action.BAN, at_ms=1_000)
    receipt = await undo(store, ban.action_id, at_ms=2_000, origin=ORIGIN)
    assert await in_force(store, 2_000) == []
    event = receipt.event
    assert event is not None
    assert ban.event is not None
    assert (event.event_id, event.action, event.target, event.slug) == (receipt.action_id, Action.UNBAN, ANA, "live")
    assert (event.moderator_user_id, event.duration_minutes, event.imposed) == (8, 0, ())
    assert event.lifted_ids == (ban.event.imposed[0].id,)
    assert (event.edge, event.token) == (ORIGIN.edge, 4)
    assert receipt.undone == Undone(ban.action_id)
    row = await AuditRow.get(id=receipt.action_id)
    assert (row.action, row.undoes_id, row.reason, row.moderator_user_id) == (23, ban.action_id, "a mistake", 8)
    with pytest.raises(AlreadyUndone):
        await undo(store, ban.action_id, at_ms=3_000)
    assert await AuditRow.all().count() == 2


async def test_an_undone_unban_holds_again_for_what_is_left_of_its_time_as_its_author_imposed_it(store: Store) -> None:
    ban = await act(store, Action.BAN, at_ms=1_000, minutes=10)
    unban = await act(store, Action.UNBAN, at_ms=2_000)
    receipt = await undo(store, unban.action_id, at_ms=3 * MINUTE_MS + 1_000)
    ends = 1_000 + 10 * MINUTE_MS
    assert await in_force(store, ends - 1) == [(Action.BAN, ends, 9, Rank.ADMIN, ADDRESSES)]
    event = receipt.event
    assert event is not None
    assert (event.action, event.duration_minutes, event.lifted_ids) == (Action.BAN, 7, ())
    assert ban.event is not None
    assert event.imposed[0].id > ban.event.imposed[0].id, "edges know the first one as lifted"
    again = await undo(store, receipt.action_id, at_ms=4 * MINUTE_MS)
    assert await in_force(store, 4 * MINUTE_MS) == []
    assert again.event is not None
    assert again.event.lifted_ids == (event.imposed[0].id,)


async def test_a_ban_that_replaced_a_longer_one_gives_way_to_that_again(store: Store) -> None:
    await act(store, Action.BAN, at_ms=1_000)
    shorter = await act(store, Action.BAN, at_ms=2_000, minutes=10)
    receipt = await undo(store, shorter.action_id, at_ms=3_000)
    assert await in_force(store, 3_000) == [(Action.BAN, None, 9, Rank.ADMIN, ADDRESSES)]
    assert receipt.event is not None
    assert (receipt.event.action, receipt.event.duration_minutes) == (Action.BAN, 0)
    assert len(receipt.event.lifted_ids) == len(receipt.event.imposed) == 1


async def test_an_undone_unban_of_everywhere_holds_again_wherever_it_held(store: Store) -> None:
    for slug in ("live", "other"):
        await act(store, Action.MUTE, slug=slug, at_ms=1_000)
    await act(store, Action.MUTE, scope=Scope.EVERYWHERE, at_ms=1_000)
    lifted = await act(store, Action.UNMUTE, scope=Scope.EVERYWHERE, at_ms=2_000)
    assert await SanctionRow.filter(lifted_at_ms__isnull=True).count() == 0
    receipt = await undo(store, lifted.action_id, at_ms=3_000)
    rows = await SanctionRow.filter(lifted_at_ms__isnull=True)
    assert sorted(str(row.slug) for row in rows) == ["None", "live", "other"]
    assert receipt.event is not None
    assert (receipt.event.scope, len(receipt.event.imposed)) == (Scope.EVERYWHERE, 3)
    await undo(store, receipt.action_id, at_ms=4_000)
    assert await SanctionRow.filter(lifted_at_ms__isnull=True).count() == 0


async def test_a_ban_upon_a_ban_is_undone_whole_in_either_order(store: Store) -> None:
    """A second click is enough for it."""
    first = await act(store, Action.BAN, at_ms=1_000)
    second = await act(store, Action.BAN, at_ms=2_000, minutes=10)
    with pytest.raises(NothingToUndo):
        await undo(store, first.action_id, at_ms=3_000)  # the second stands instead
    back = await undo(store, second.action_id, at_ms=3_000)
    row = await AuditRow.get(id=back.action_id)
    assert first.event is not None
    assert row.details is not None
    assert row.details["again_of"] == [first.event.imposed[0].id]
    await undo(store, first.action_id, at_ms=4_000)
    assert await in_force(store, 4_000) == []
    assert (await store.verify_part("live", 0, first=9)).problem is None


async def test_a_ban_that_somebody_got_rid_of_by_a_short_one_holds_again(store: Store) -> None:
    await act(store, Action.BAN, at_ms=1_000, by=Moderator(7, Rank.ADMIN))
    short = await act(store, Action.BAN, at_ms=2_000, minutes=1)
    unban = await act(store, Action.UNBAN, at_ms=3_000)
    later = 3 * MINUTE_MS
    for action_id in (unban.action_id, short.action_id):
        with pytest.raises(NothingToUndo):
            await undo(store, action_id, at_ms=later)  # the one is over, and the other was lifted
    assert await undo_all(store, ADMIN, at_ms=later) == [short.action_id]
    assert await in_force(store, later) == [(Action.BAN, None, 7, Rank.ADMIN, ADDRESSES)]


async def test_changes_of_a_field_are_undone_one_by_one_back_to_what_it_was(store: Store) -> None:
    changes = [await change(store, at_ms=n, slow_mode_seconds=n) for n in (30, 600)]
    same = await change(store, at_ms=700, slow_mode_seconds=600)
    assert await undo_all(store, ADMIN, at_ms=800) == [change.action_id for change in reversed(changes)]
    assert [known.policy for known in await store.policies_of(["live"])] == [Policy()]
    with pytest.raises(NothingToUndo):
        await undo(store, same.action_id, at_ms=900)
    (newest,) = await AuditRow.filter(undoes_id=changes[0].action_id)
    again = await undo(store, newest.id, at_ms=1_000)
    assert [known.policy for known in await store.policies_of(["live"])] == [Policy(30)]
    await undo(store, again.action_id, at_ms=1_100)
    assert [known.policy for known in await store.policies_of(["live"])] == [Policy()]


ANY_ACTS = [
    ("ban", 0),
    ("ban", 1),
    ("ban", 30),
    ("unban", 0),
    ("everywhere", 0),
    ("slow", 30),
    ("slow", 60),
    ("slow", 0),
]


@pytest.mark.parametrize("seed", range(4))
async def test_when_all_is_undone_that_somebody_did_it_is_as_if_they_had_done_nothing(store: Store, seed: int) -> None:
    """Beside the same without them: of another target, in another room. More in unit/test_undo_history.py."""
    chance, now_ms, rogue = random.Random(seed), 1_000, Moderator(66, Rank.SUPERUSER)
    for _ in range(8):
        by, (what, value) = chance.choice([rogue, OTHER]), chance.choice(ANY_ACTS)
        now_ms += chance.choice([1, 1, 3 * MINUTE_MS])
        for slug, target in [("live", ANA)] if by is rogue else [("live", ANA), ("other", BOB)]:
            if what == "slow":
                await change(store, by=by, slug=slug, slow_mode_seconds=value, at_ms=now_ms)
                continue
            action = Action.UNBAN if what == "unban" else Action.BAN
            scope = Scope.EVERYWHERE if what == "everywhere" else Scope.ROOM
            await act(store, action, target, by=by, scope=scope, slug=slug, minutes=value, at_ms=now_ms)
    await undo_all(store, rogue, at_ms=now_ms + 1)
    states = []
    for slug, target in (("live", ANA), ("other", BOB)):
        held = await store.in_force(SanctionQuery([slug], targets=[target]), now_ms=now_ms + 1)
        policies = [known.policy for known in await store.policies_of([slug])] or [Policy()]
        states.append((sorted((s.scope, s.expires_at_ms or 0, s.moderator_user_id) for s in held), policies))
    assert states[0] == states[1]


async def test_an_undone_unban_of_all_names_behind_one_address_brings_all_of_them_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sanctions, "_IDS_AT_ONCE", 2)
    names = [Target(0, f"Anonymous_{number}") for number in range(5)]
    for name in names:
        command = Command(ADMIN, Action.BAN, name, None, Scope.ROOM, "live", 0, "spam")
        await store.change(SanctionOrder(command), ADDRESSES, lambda _: Change((), True, ADDRESSES), now_ms=1_000)
    unban = await act(store, Action.UNBAN, names[2], at_ms=2_000)
    assert await in_force(store, 2_000) == []
    receipt = await undo(store, unban.action_id, at_ms=3_000)
    assert receipt.event is not None
    assert sorted(sanction.target for sanction in receipt.event.imposed) == names
    await undo(store, receipt.action_id, at_ms=4_000)
    assert await in_force(store, 4_000) == []


async def test_rows_of_before_that_say_less_are_undone_as_far_as_they_tell(store: Store) -> None:
    """Undos without what came back, pins without their life, undone roles."""
    first = await act(store, Action.BAN, at_ms=1_000)
    second = await act(store, Action.BAN, at_ms=2_000)
    back = await undo(store, second.action_id, at_ms=3_000)
    row = await AuditRow.get(id=back.action_id)
    details = {name: value for name, value in (row.details or {}).items() if name != "again_of"}
    await AuditRow.filter(id=row.id).update(details=details)
    with pytest.raises(NothingToUndo):
        await undo(store, first.action_id, at_ms=4_000)
    await undo(store, back.action_id, at_ms=4_000)
    assert len(await in_force(store, 4_000)) == 1


async def test_where_too_much_was_done_since_what_an_action_imposed_is_lifted_and_nothing_else_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undoing, "LATER_AT_MOST", 2)
    await act(store, Action.BAN, at_ms=1_000)
    shorter = await act(store, Action.BAN, at_ms=2_000, minutes=90)
    slow = await change(store, slow_mode_seconds=30, at_ms=2_000)
    for n in range(3):
        await act(store, Action.MUTE, at_ms=3_000 + n)
        await change(store, emote_only=True, at_ms=3_000 + n)
    receipt = await undo(store, shorter.action_id, at_ms=4_000)
    assert receipt.undone == Undone(shorter.action_id, ("sanctions",))
    assert [kind for kind, *_ in await in_force(store, 4_000)] == [Action.MUTE]
    with pytest.raises(NothingToUndo):
        await undo(store, slow.action_id, at_ms=4_000)


def said(number: int) -> LoggedMessage:
    return LoggedMessage(number, 900, 5, "ana", f"text {number}", "k")


async def pin(store: Store, action: PinAction, message: LoggedMessage, *, at_ms: int) -> Receipt:
    order = PinOrder(PinCommand(action, ADMIN, "live", message.id, ""), LOG)
    demand = partial(demand_change, order=order, message=message)
    return await store.change_pin(order, message if action is PinAction.PIN else None, demand, now_ms=at_ms)


async def pinned(store: Store) -> LoggedMessage | None:
    (known,) = await store.pins_of(["live"])
    return known.message


async def test_an_undone_pin_gives_way_to_the_one_before_which_is_told_in_the_log(
    store: Store, database: Database
) -> None:
    await pin(store, PinAction.PIN, said(257), at_ms=1_000)
    over = await pin(store, PinAction.PIN, said(513), at_ms=2_000)
    with pytest.raises(MessageWanted):
        await undo(store, over.action_id, at_ms=3_000, log=LOG)
    receipt = await undo(store, over.action_id, at_ms=3_000, log=LOG, origin=ORIGIN, found={257: said(257)})
    assert await pinned(store) == said(257)
    assert receipt.undone == Undone(over.action_id, (), brings_entry=True)
    assert receipt.work is not None
    assert receipt.work.change == PinChange(PinAction.PIN, LOG, 8, ORIGIN, 257, 3_000)
    row = await AuditRow.get(id=receipt.action_id)
    wanted = {"version": 3_000, "life": 21, "before": 513, "after": 257}
    assert row.details == {"not_undone": [], "pin": wanted}
    assert "text 257" not in str(await AuditRow.all().values())
    again = await undo(store, receipt.action_id, at_ms=4_000, log=LOG, found={513: said(513)})
    assert await pinned(store) == said(513)
    await undo(store, again.action_id, at_ms=5_000, log=LOG, found={257: said(257)})
    assert len(await TortoiseOutbox(database).claim(first=9, now_ms=100_000)) == 5
    assert (await store.verify_part("live", 0, first=9)).problem is None


async def test_an_undone_unpin_pins_again_and_an_undone_pin_over_nothing_unpins(store: Store) -> None:
    first = await pin(store, PinAction.PIN, said(257), at_ms=1_000)
    unpin = await pin(store, PinAction.UNPIN, said(257), at_ms=2_000)
    with pytest.raises(NothingToUndo):
        await undo(store, unpin.action_id, at_ms=3_000, log=LOG, found={257: None})
    with pytest.raises(NothingToUndo):
        await undo(store, unpin.action_id, at_ms=3_000, log=None)
    await undo(store, unpin.action_id, at_ms=3_000, log=LOG, found={257: said(257)})
    assert await pinned(store) == said(257)
    receipt = await undo(store, first.action_id, at_ms=4_000, log=LOG)
    assert await pinned(store) is None
    assert receipt.work is not None
    assert receipt.work.change == PinChange(PinAction.UNPIN, LOG, 8, NO_ORIGIN, 257, 4_000)


async def test_a_pin_of_before_lives_were_noted_is_undone_where_nothing_has_changed_since(store: Store) -> None:
    first = await pin(store, PinAction.PIN, said(257), at_ms=1_000)
    row = await AuditRow.get(id=first.action_id)
    old = {name: value for name, value in (row.details or {}).items() if name != "life"}
    await AuditRow.filter(id=row.id).update(details=old)
    with pytest.raises(NothingToUndo):
        await undo(store, first.action_id, at_ms=2_000, log=LOG._replace(life=22))
    await undo(store, first.action_id, at_ms=2_000, log=LOG)
    assert await pinned(store) is None


async def test_an_undone_warning_is_taken_back_under_a_version_of_its_own(store: Store) -> None:
    command = WarningCommand(ADMIN, ANA, None, "live", "calm down")
    warned = await store.warn(WarningOrder(command), now_ms=1_000)
    receipt = await undo(store, warned.action_id, at_ms=2_000)
    assert (receipt.event, receipt.work, receipt.undone) == (None, None, Undone(warned.action_id))
    assert receipt.warning is not None
    assert (receipt.warning.id, receipt.warning.state) == (warned.action_id, WarningState.WITHDRAWN)
    assert await store.warnings_after(1_000, first=9) == [receipt.warning]
    assert await store.open_warnings(["live"]) == []
    with pytest.raises(NothingToUndo):
        await undo(store, receipt.action_id, at_ms=3_000)
    closed = await store.warn(WarningOrder(command), now_ms=4_000)
    await store.report_warning(WarningReport(closed.action_id, ANA, WarningStep.ACKNOWLEDGE), now_ms=5_000)
    with pytest.raises(NothingToUndo):
        await undo(store, closed.action_id, at_ms=6_000)


async def test_an_undone_ban_of_somebody_whose_row_was_forgotten_is_told_under_the_name_that_it_holds_for(
    store: Store,
) -> None:
    ban = await act(store, Action.BAN, NAMELESS, at_ms=1_000)
    await store.erase_evidence(5_000, now_ms=6_000)
    receipt = await undo(store, ban.action_id, at_ms=7_000)
    assert receipt.event is not None
    assert receipt.event.target == NAMELESS


async def test_a_sanction_whose_target_was_forgotten_is_not_imposed_again(store: Store) -> None:
    await act(store, Action.BAN, NAMELESS, at_ms=1_000)
    unban = await act(store, Action.UNBAN, NAMELESS, at_ms=2_000)
    await store.erase_evidence(5_000, now_ms=6_000)
    with pytest.raises(NothingToUndo):
        await undo(store, unban.action_id, at_ms=7_000)


async def test_a_field_is_restored_where_nobody_named_it_since_and_the_others_stay(
    store: Store, database: Database
) -> None:
    first = await change(store, slow_mode_seconds=30, emote_only=True, max_length=100, at_ms=1_000)
    await change(store, slow_mode_seconds=60, at_ms=2_000)
    await change(store, slow_mode_seconds=30, at_ms=3_000)
    receipt = await undo(store, first.action_id, log=LOG, origin=ORIGIN, at_ms=4_000)
    assert receipt.undone == Undone(first.action_id, ("slow_mode_seconds",), brings_entry=True)
    assert [known.policy for known in await store.policies_of(["live"])] == [Policy(30)]
    assert receipt.policy is not None
    assert receipt.event is None
    assert receipt.work is not None
    assert receipt.work.change == PolicyChange(LOG, 8, ORIGIN, 4_000, Policy(30))
    (item,) = await TortoiseOutbox(database).claim(first=9, now_ms=100_000)
    assert item.action_id == receipt.action_id
    again = await undo(store, receipt.action_id, at_ms=5_000)
    assert [known.policy for known in await store.policies_of(["live"])] == [
        Policy(30, emote_only=True, max_length=100)
    ]
    assert (again.work, again.undone) == (None, Undone(receipt.action_id))


async def test_where_it_was_not_noted_who_named_a_field_last_its_value_tells(store: Store) -> None:
    first = await change(store, slow_mode_seconds=30, max_length=100, at_ms=1_000)
    await PolicyRow.all().update(field_versions=None, policy={"slow_mode_seconds": 30, "max_length": 7})
    receipt = await undo(store, first.action_id, at_ms=2_000)
    assert receipt.undone == Undone(first.action_id, ("max_length",))
    assert [known.policy for known in await store.policies_of(["live"])] == [Policy(0, max_length=7)]


async def set_role(store: Store, role: RoomRole | None, *, at_ms: int, owner: int = 4) -> Receipt:
    command = RoleCommand(Moderator(4, Rank.OWNER), "live", ANA, None, role, owner, "")
    return await store.set_role(RoleOrder(command), now_ms=at_ms)


async def test_an_undone_role_is_the_one_of_before_told_with_all_of_the_room_and_in_the_chain(store: Store) -> None:
    first = await set_role(store, RoomRole.MODERATOR, at_ms=1_000)
    second = await set_role(store, RoomRole.VIP, at_ms=2_000)
    with pytest.raises(NothingToUndo):
        await undo(store, first.action_id, at_ms=3_000)
    back = await undo(store, second.action_id, at_ms=3_000)
    held = RoomRoles("live", 3_000, 4, (RoleHolder(123, RoomRole.MODERATOR, 8, 3_000),))
    assert (back.roles, back.undone, back.event) == (held, Undone(second.action_id), None)
    assert await store.roles_of(["live"]) == [held]
    row = await AuditRow.get(id=back.action_id)
    assert (row.action, row.undoes_id, row.target_user_id) == (23, second.action_id, 123)
    wanted = {"not_undone": [], "version": 3_000, "owner": 4, "before": "vip", "after": "moderator"}
    assert row.details == wanted
    again = await undo(store, back.action_id, at_ms=4_000)
    assert again.undone == Undone(back.action_id)
    assert again.roles is not None
    assert [holder.role for holder in again.roles.holders] == [RoomRole.VIP]
    await undo(store, again.action_id, at_ms=5_000)
    gone = await undo(store, first.action_id, at_ms=6_000)
    assert gone.roles == RoomRoles("live", 6_000, 4, ())
    had = await undo(store, gone.action_id, at_ms=7_000)
    assert had.roles is not None
    assert ([holder.role for holder in had.roles.holders], had.undone) == ([RoomRole.MODERATOR], Undone(gone.action_id))
    found = await store.verify_part("live", 0, first=50)
    assert (found.checked, found.broken_id, found.unchained) == (7, None, 0)


async def test_a_role_that_somebody_gave_or_took_since_or_of_another_owner_stays(store: Store) -> None:
    given = await set_role(store, RoomRole.VIP, at_ms=1_000)
    taken = await set_role(store, None, at_ms=2_000)
    await set_role(store, RoomRole.VIP, at_ms=3_000)
    for action_id in (given.action_id, taken.action_id):
        with pytest.raises(NothingToUndo):
            await undo(store, action_id, at_ms=4_000)
    last = await set_role(store, None, at_ms=5_000)
    await set_role(store, None, at_ms=6_000, owner=6)
    with pytest.raises(NothingToUndo):
        await undo(store, last.action_id, at_ms=7_000)
    await AuditRow.filter(id=last.action_id).update(details={"version": 1, "owner": 6, "before": "lord", "after": None})
    with pytest.raises(NothingToUndo):
        await undo(store, last.action_id, at_ms=7_000)


async def test_of_a_role_to_which_too_much_was_done_since_it_is_not_said_what_it_was(store: Store) -> None:
    given = await set_role(store, RoomRole.VIP, at_ms=1_000)
    (kept,) = await AuditRow.filter(id=given.action_id).values()
    del kept["id"]
    kept |= {"action": 23, "details": {}}
    await AuditRow.bulk_create([AuditRow(**kept) for _ in range(99)])
    assert (await undo(store, given.action_id, at_ms=2_000)).roles is not None
    again = await set_role(store, RoomRole.VIP, at_ms=3_000)
    await AuditRow.bulk_create([AuditRow(**kept) for _ in range(100)])
    with pytest.raises(NothingToUndo):
        await undo(store, again.action_id, at_ms=4_000)


async def test_a_repeated_nonce_is_answered_with_what_the_first_undo_brought(store: Store) -> None:
    ban = await act(store, Action.BAN, at_ms=1_000)
    unban = await act(store, Action.UNBAN, at_ms=1_001)
    first = await undo(store, unban.action_id, at_ms=2_000, origin=ORIGIN)
    again = await undo(store, ban.action_id, at_ms=3_000, origin=ORIGIN)
    assert (again.repeated, again.action_id, again.undone) == (True, first.action_id, Undone(unban.action_id))
    assert again.event is not None
    assert first.event is not None
    assert (again.event.action, again.event.imposed) == (Action.BAN, first.event.imposed)
    assert await AuditRow.all().count() == 3


async def test_a_nonce_that_was_given_to_another_action_or_room_is_answered_with_neither(store: Store) -> None:
    await act(store, Action.BAN, at_ms=1_000, origin=ORIGIN)
    attempts = (
        act(store, Action.BAN, BOB, slug="other", at_ms=2_000, origin=ORIGIN),
        act(store, Action.MUTE, at_ms=2_000, origin=ORIGIN),
        store.warn(WarningOrder(WarningCommand(ADMIN, ANA, None, "live", "calm down"), ORIGIN), now_ms=2_000),
        store.earlier(WarningOrder(WarningCommand(ADMIN, ANA, None, "live", "calm down"), ORIGIN), now_ms=2_000),
    )
    for attempt in attempts:
        with pytest.raises(NonceTaken):
            await attempt
    assert await AuditRow.all().count() == 1
    assert (await act(store, Action.BAN, at_ms=3_000, origin=ORIGIN)).repeated
    later = 1_000 + NONCES_KNOWN_MS
    assert not (await act(store, Action.MUTE, at_ms=later, origin=ORIGIN)).repeated


async def test_of_undos_at_the_same_time_one_is_done_and_the_others_change_nothing(store: Store) -> None:
    ban = await act(store, Action.BAN, at_ms=1_000)
    results = await asyncio.gather(
        *(undo(store, ban.action_id, at_ms=2_000 + n) for n in range(4)), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == [*["AlreadyUndone"] * 3, "Receipt"]
    assert await AuditRow.all().count() == 2
    assert (await store.verify_part("live", 0, first=9)).problem is None


async def test_an_undo_that_another_replica_carries_out_between_two_questions_was_undone_before(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = moderation_database(postgres_url)
    await migrate_moderation(database.url)
    await database.open()
    try:
        store = TortoiseStore(database)
        ban = await act(store, Action.BAN, at_ms=1_000)
        ask_later = undoing.later_of_targets
        others: list[Receipt] = []

        async def overtaken(row_id: int, of_targets: Q) -> undoing.Later:
            if not others:
                monkeypatch.undo()
                others.append(await asyncio.create_task(undo(TortoiseStore(database), ban.action_id, at_ms=2_000)))
            return await ask_later(row_id, of_targets)

        monkeypatch.setattr(sanctions, "later_of_targets", overtaken)
        with pytest.raises(AlreadyUndone):
            await undo(store, ban.action_id, at_ms=2_001)
        assert len(others) == 1
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("action", "refusal"), [(5, CannotUndo), (6, CannotUndo), (7, CannotUndo), (20, NothingToUndo)]
)
async def test_what_is_refused_changes_nothing(store: Store, action: int, refusal: type[ModerationError]) -> None:
    ban = await act(store, Action.BAN, at_ms=1_000)
    await AuditRow.all().update(action=action, imposed_id=None)
    with pytest.raises(refusal):
        await undo(store, ban.action_id, at_ms=2_000)
    assert await AuditRow.all().count() == 1
    assert len(await in_force(store, 2_000)) == 1
