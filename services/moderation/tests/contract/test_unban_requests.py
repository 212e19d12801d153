"""Unban requests in the database, on SQLite and on PostgreSQL."""

import asyncio
import logging
from dataclasses import replace
from functools import partial

import pytest

from moderation.adapters.store.tables import AuditRow, UnbanRequestRow
from moderation.domain.audit import AuditQuery
from moderation.domain.commands import Receipt, SanctionOrder
from moderation.domain.erasures import NO_ORIGIN, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.rights import Change, decide
from moderation.domain.sanctions import Action, Command, Sanction, Scope
from moderation.domain.unban_decisions import decide_request
from moderation.domain.unban_requests import (
    DecideCommand,
    DecideOrder,
    RequestQuery,
    RequestState,
    UnbanOrder,
    UnbanRequest,
    demand_may_request,
)
from moderation.domain.undo import UndoCommand, UndoOrder, decide_undo
from moderation.errors import AlreadyDecided, AlreadyRequested, NotPermitted, RequestedTooSoon, SanctionNotFound
from moderation.ports import Store

pytestmark = pytest.mark.integration
ADMIN = Moderator(9, Rank.ADMIN)
ANA, BOB = Target(5, ""), Target(6, "")
DAY_MS = 86_400_000


async def change(
    store: Store, action: Action = Action.BAN, target: Target = ANA, *, slug: str | None = "live", minutes: int = 0
) -> Receipt:
    scope = Scope.EVERYWHERE if slug is None else Scope.ROOM
    command = Command(ADMIN, action, target, None, scope, slug or "live", minutes, "spam")
    decision = partial(decide, command, addresses=frozenset())
    return await store.change(SanctionOrder(command), frozenset(), decision, now_ms=1_000)


async def ban(store: Store, target: Target = ANA, *, slug: str | None = "live", minutes: int = 0) -> Sanction:
    receipt = await change(store, target=target, slug=slug, minutes=minutes)
    assert receipt.event is not None
    return receipt.event.imposed[0]


async def ask(
    store: Store, sanction: Sanction, *, by: int = 5, text: str = "sorry", now_ms: int = 2_000
) -> UnbanRequest:
    order = UnbanOrder(by, "ana\0", sanction.id, text)
    receipt = await store.request_unban(order, partial(demand_may_request, by, now_ms=now_ms), now_ms=now_ms)
    assert receipt.unban_request is not None
    return receipt.unban_request


def decision(
    request: UnbanRequest,
    state: RequestState = RequestState.APPROVED,
    *,
    by: Moderator = ADMIN,
    origin: Origin = NO_ORIGIN,
) -> DecideOrder:
    return DecideOrder(DecideCommand(by, request.slug, request.id, state, "fine"), origin=origin)


async def settle(store: Store, order: DecideOrder, *, now_ms: int = 3_000) -> Receipt:
    decide = partial(decide_request, order.command, now_ms=now_ms)
    return await store.decide_unban_request(order, decide, now_ms=now_ms)


async def state_of(store: Store, request: UnbanRequest) -> RequestState:
    found = await store.find_unban_request(request.id)
    assert found is not None
    return found.state


async def test_a_request_is_kept_with_the_room_of_its_ban_and_one_is_open_a_ban(store: Store) -> None:
    here, everywhere, others = await ban(store), await ban(store, slug=None), await ban(store, BOB)
    asked = await ask(store, here)
    expected = UnbanRequest(asked.id, here.id, "live", 5, "ana\N{REPLACEMENT CHARACTER}", "sorry", 2_000)
    assert asked == expected == await store.find_unban_request(asked.id)
    assert await ask(store, here, now_ms=3_000) == expected
    with pytest.raises(AlreadyRequested):
        await ask(store, here, text="please")
    assert (await ask(store, everywhere)).slug is None
    with pytest.raises(SanctionNotFound):
        await ask(store, others)
    assert await store.find_unban_request(999) is None
    assert await AuditRow.all().count() == 3


async def test_an_approval_lifts_that_ban_alone_in_the_same_step_as_an_unban_does(store: Store) -> None:
    here, everywhere = await ban(store), await ban(store, slug=None)
    asked = await ask(store, here)
    order = decision(asked, origin=Origin("", 0, "n1"))
    receipt = await settle(store, order)
    decided = replace(asked, state=RequestState.APPROVED, closed_at_ms=3_000, closed_by=9, note="fine")
    assert receipt.unban_request == decided == await store.find_unban_request(asked.id)
    assert receipt.event is not None
    assert (receipt.event.action, receipt.event.lifted_ids, receipt.event.slug) == (Action.UNBAN, (here.id,), "live")
    assert [found.id for found, _ in await store.bans_of(5, "live", now_ms=4_000)] == [everywhere.id]
    again = await settle(store, order)
    assert (again.repeated, again.unban_request, again.action_id) == (True, decided, receipt.action_id)
    with pytest.raises(AlreadyDecided):
        await settle(store, decision(asked, RequestState.DENIED))
    row, _ = (await store.audit_log(AuditQuery("live"), first=1, before_id=None))[0]
    assert (row.action, row.actor_user_id, row.target_user_id, row.reason) == (Action.UNBAN, 9, 5, "fine")
    assert row.details == {"unban_request_id": asked.id}
    assert (await store.verify_part("live", 0, first=9)).problem is None


async def test_an_approval_may_be_undone_like_any_unban(store: Store) -> None:
    receipt = await settle(store, decision(await ask(store, await ban(store))))
    undo = UndoOrder(UndoCommand(ADMIN, "live", receipt.action_id, ""))
    await store.undo(undo, partial(decide_undo, undo.command, now_ms=4_000), now_ms=4_000)
    ((again, latest),) = await store.bans_of(5, "live", now_ms=5_000)
    assert (again.expires_at_ms, latest) == (None, None)


async def test_a_denial_leaves_the_ban_with_a_row_of_its_own_and_a_day_later_one_may_ask_again(store: Store) -> None:
    for sanction, scope in ((await ban(store), Scope.ROOM), (await ban(store, slug=None), Scope.EVERYWHERE)):
        asked = await ask(store, sanction)
        order = decision(asked, RequestState.DENIED, origin=Origin("", 0, f"n{scope}"))
        receipt = await settle(store, order)
        assert (receipt.event, await state_of(store, asked)) == (None, RequestState.DENIED)
        again = await settle(store, order)
        assert (again.repeated, again.unban_request) == (True, receipt.unban_request)
        row = await AuditRow.get(id=receipt.action_id)
        assert (row.action, row.scope, row.target_user_id, row.reason) == (29, scope, 5, "fine")
        with pytest.raises(RequestedTooSoon):
            await ask(store, sanction, now_ms=DAY_MS)
        assert (await ask(store, sanction, text="again", now_ms=DAY_MS + 3_000)).id != asked.id


async def test_of_two_decisions_at_once_one_holds(store: Store) -> None:
    asked = await ask(store, await ban(store))
    orders = [decision(asked, state) for state in (RequestState.APPROVED, RequestState.DENIED)]
    answers = await asyncio.gather(*(settle(store, order) for order in orders), return_exceptions=True)
    (receipt,) = [answer for answer in answers if isinstance(answer, Receipt)]
    assert receipt.unban_request == await store.find_unban_request(asked.id)
    is_banned = bool(await store.bans_of(5, "live", now_ms=4_000))
    assert is_banned is (receipt.event is None)


async def test_what_is_refused_changes_nothing(store: Store) -> None:
    asked = await ask(store, await ban(store))
    for by in (Moderator(8, Rank.MODERATOR), Moderator(8, Rank.OWNER), Moderator(5, Rank.ADMIN)):
        with pytest.raises(NotPermitted):
            await settle(store, decision(asked, by=by))
    assert await store.find_unban_request(asked.id) == asked


@pytest.mark.parametrize("how", ["unban", "banned again", "undone"])
async def test_a_request_lapses_where_its_ban_ends_otherwise(store: Store, how: str) -> None:
    imposed = await change(store)
    assert imposed.event is not None
    asked = await ask(store, imposed.event.imposed[0])
    if how == "undone":
        undo = UndoOrder(UndoCommand(ADMIN, "live", imposed.action_id, ""))
        await store.undo(undo, partial(decide_undo, undo.command, now_ms=4_000), now_ms=4_000)
    else:
        await change(store, Action.UNBAN if how == "unban" else Action.BAN)
    assert await state_of(store, asked) is RequestState.LAPSED


async def test_and_where_its_time_is_over(store: Store) -> None:
    ending, lasting = await ban(store, minutes=1), await ban(store, slug=None)
    asked, kept = await ask(store, ending), await ask(store, lasting)
    with pytest.raises(AlreadyDecided):
        await settle(store, decision(asked), now_ms=61_001)
    await store.end_expired(70_000)
    assert (await state_of(store, asked), await state_of(store, kept)) == (RequestState.LAPSED, RequestState.OPEN)


async def test_bans_are_found_with_what_was_last_asked_about_them(store: Store) -> None:
    await ban(store, BOB)
    await ban(store, slug="other")
    await change(store, Action.MUTE)
    here, everywhere = await ban(store), await ban(store, slug=None)
    asked = await ask(store, here)
    found = await store.bans_of(5, "live", now_ms=3_000)
    assert [(sanction.id, latest) for sanction, latest in found] == [(everywhere.id, None), (here.id, asked)]


async def test_however_many_bans_there_are_two_questions_tell_what_was_last_asked_about_each(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever is turned away comes back again and again."""
    bans = [await ban(store)]
    order = SanctionOrder(Command(ADMIN, Action.BAN, ANA, None, Scope.ROOM, "live", 0, "spam"))
    for now_ms in range(1_001, 1_006):
        receipt = await store.change(order, frozenset(), lambda _: Change((), imposes=True), now_ms=now_ms)
        assert receipt.event is not None
        bans += receipt.event.imposed
    for each in bans[:3]:
        await settle(store, decision(await ask(store, each), RequestState.DENIED))
    again = [await ask(store, each, now_ms=2 * DAY_MS) for each in bans[:2]]
    caplog.set_level(logging.DEBUG, "tortoise.db_client")
    caplog.clear()
    found = dict(await store.bans_of(5, "live", now_ms=2 * DAY_MS))
    said = [record.args for record in caplog.records if isinstance(record.args, tuple)]
    assert len([sql for sql, *_ in said if str(sql).startswith("SELECT")]) == 2
    assert [found[each] for each in bans[:2]] == again
    assert [state and state.state for state in found.values()].count(RequestState.DENIED) == 1
    assert [found[each] for each in bans[3:]] == [None] * 3


async def test_requests_are_listed_newest_first_by_room_state_and_user(store: Store) -> None:
    first = await ask(store, await ban(store))
    everywhere = await ask(store, await ban(store, slug=None))
    bobs = await ask(store, await ban(store, BOB), by=6)
    await settle(store, decision(first, RequestState.DENIED))

    async def listed(query: RequestQuery, *, before_id: int | None = None) -> list[int]:
        return [each.id for each in await store.list_unban_requests(query, first=9, before_id=before_id)]

    assert await listed(RequestQuery()) == [bobs.id, everywhere.id, first.id]
    assert await listed(RequestQuery(), before_id=bobs.id) == [everywhere.id, first.id]
    assert await listed(RequestQuery("live")) == [bobs.id, first.id]
    assert await listed(RequestQuery(state=RequestState.OPEN)) == [bobs.id, everywhere.id]
    assert await listed(RequestQuery(user_id=5)) == [everywhere.id, first.id]


async def test_what_was_said_goes_with_the_evidence_and_the_request_with_the_history(store: Store) -> None:
    old, new = await ask(store, await ban(store)), await ask(store, await ban(store, slug=None), now_ms=9_000)
    await store.erase_evidence(5_000, now_ms=10_000)
    bare = replace(old, text="", username="", state=RequestState.EXPIRED, closed_at_ms=10_000)
    assert await store.find_unban_request(old.id) == bare
    assert await store.find_unban_request(new.id) == new
    await store.delete_history(5_000)
    assert [row.id for row in await UnbanRequestRow.all()] == [new.id]


async def test_a_state_of_a_later_version_is_over(store: Store) -> None:
    asked = await ask(store, await ban(store))
    await UnbanRequestRow.filter(id=asked.id).update(state=99)
    assert await state_of(store, asked) is RequestState.LAPSED
