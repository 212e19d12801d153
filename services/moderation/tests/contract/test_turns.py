"""Who may keep a command of a moderator waiting, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Literal

import pytest

from chassis.database import Database
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.domain.cases import DeleteNote, NoteOrder, demand_deletable
from moderation.domain.commands import Receipt, SanctionOrder
from moderation.domain.erasures import LogRef, Origin
from moderation.domain.holds import (
    DecideHeldCommand,
    DecideHeldOrder,
    HeldMessage,
    HoldAction,
    HoldOrder,
    decide_hold,
)
from moderation.domain.people import Moderator, Rank, Speaker, Target
from moderation.domain.reports import (
    Neighbours,
    ReportCategory,
    ReportOrder,
    ReportState,
    ResolveCommand,
    ResolveOrder,
    decide_report,
)
from moderation.domain.rights import decide
from moderation.domain.sanctions import Action, Command, Scope
from moderation.domain.unban_decisions import decide_request
from moderation.domain.unban_requests import (
    DecideCommand,
    DecideOrder,
    RequestState,
    UnbanOrder,
    demand_may_request,
)
from moderation.domain.undo import UndoCommand, UndoOrder, decide_undo
from moderation.domain.warnings import WarningCommand, WarningOrder, WarningReport, WarningState, WarningStep
from moderation.errors import (
    ActionNotFound,
    AlreadyRequested,
    AlreadyUndone,
    HoldNotFound,
    ModerationError,
    NoteNotFound,
    NotPermitted,
    ReportNotFound,
    SanctionNotFound,
    UnbanRequestNotFound,
    WarningNotFound,
)

pytestmark = pytest.mark.integration
ADMIN, CHAIR, STRANGER = Moderator(1, Rank.ADMIN), Moderator(9, Rank.MODERATOR), Moderator(8, Rank.USER)
LOG = LogRef(3, 7, 21)
NOW_MS = 2_000
AT_ONCE = 5


class Turn(asyncio.Lock):
    """Knows how many wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = self.most = 0

    async def acquire(self) -> Literal[True]:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            return await super().acquire()
        finally:
            self.waiting -= 1


@pytest.fixture(autouse=True)
def a_patient_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked at once waits in turn, on a busy machine longer than people would."""
    monkeypatch.setattr("moderation.adapters.store.database.DEADLINE_S", 60.0)


@pytest.fixture
def turn() -> Turn:
    return Turn()


@pytest.fixture
def store(database: Database, turn: Turn) -> TortoiseStore:
    return TortoiseStore(database, turn)


async def ban(store: TortoiseStore, user_id: int) -> int:
    target = Target(user_id, "")
    command = Command(ADMIN, Action.BAN, target, None, Scope.ROOM, "live", 0, "spam")
    decision = partial(decide, command, addresses=frozenset())
    event = (await store.change(SanctionOrder(command), frozenset(), decision, now_ms=1_000)).event
    assert event is not None
    return event.imposed[0].id


async def ask(store: TortoiseStore, sanction_id: int, by: int, text: str = "sorry") -> int:
    demand = partial(demand_may_request, by, now_ms=NOW_MS)
    asked = (await store.request_unban(UnbanOrder(by, "ana", sanction_id, text), demand, now_ms=NOW_MS)).unban_request
    assert asked is not None
    return asked.id


async def answer(store: TortoiseStore, request_id: int, by: Moderator = ADMIN) -> None:
    order = DecideOrder(DecideCommand(by, "live", request_id, RequestState.DENIED, ""))
    await store.decide_unban_request(order, partial(decide_request, order.command, now_ms=NOW_MS), now_ms=NOW_MS)


async def report(store: TortoiseStore, by: int) -> int:
    order = ReportOrder(Moderator(by, Rank.USER), "bob", "live", LOG, 0, Target(5, ""), ReportCategory.SPAM, "")
    filed = (await store.file_report(order, None, Neighbours(), now_ms=NOW_MS)).report
    assert filed is not None
    return filed.id


async def resolve(store: TortoiseStore, report_id: int, by: Moderator = CHAIR) -> None:
    order = ResolveOrder(ResolveCommand(by, "live", report_id, ReportState.DISMISSED, ""))
    await store.resolve_report(order, partial(decide_report, order.command, now_ms=NOW_MS), now_ms=NOW_MS)


async def hold(store: TortoiseStore, author: int) -> int:
    message = HeldMessage(Speaker(author, f"user_{author}", "", Rank.USER, "e:1"), "hello", "", 17, "user", 515)
    held = (await store.hold(HoldOrder("live", LOG, message), now_ms=NOW_MS)).hold
    assert held is not None
    return held.id


async def reject(store: TortoiseStore, hold_id: int) -> None:
    order = DecideHeldOrder(DecideHeldCommand(HoldAction.DENY, CHAIR, "live", hold_id, ""), LOG)
    await store.decide_hold(order, partial(decide_hold, order, now_ms=NOW_MS), now_ms=NOW_MS)


async def forget(store: TortoiseStore, note_id: int) -> None:
    command = DeleteNote(CHAIR, "live", note_id)
    await store.change_note(NoteOrder(command), lambda _, known: demand_deletable(command, known), now_ms=NOW_MS)


async def warn(store: TortoiseStore, user_id: int) -> int:
    order = WarningOrder(WarningCommand(CHAIR, Target(user_id, ""), None, "live", "No links"))
    return (await store.warn(order, now_ms=1_000)).action_id


async def acknowledge(store: TortoiseStore, warning_id: int, user_id: int) -> WarningState | None:
    report = WarningReport(warning_id, Target(user_id, ""), WarningStep.ACKNOWLEDGE)
    warning = (await store.report_warning(report, now_ms=NOW_MS)).warning
    return None if warning is None else warning.state


async def undo(store: TortoiseStore, action_id: int, by: Moderator = ADMIN, nonce: str = "") -> Receipt:
    order = UndoOrder(UndoCommand(by, "live", action_id, ""), origin=Origin("e" * 32, 4, nonce))
    return await store.undo(order, partial(decide_undo, order.command, now_ms=NOW_MS), now_ms=NOW_MS)


async def test_what_is_refused_is_refused_before_it_waits_for_any_command(store: TortoiseStore, turn: Turn) -> None:
    mine, others = await ban(store, 5), await ban(store, 6)
    asked, filed = await ask(store, mine, 5), await report(store, 7)
    warned, undone = await warn(store, 5), await warn(store, 6)
    await undo(store, undone)
    refusals: list[tuple[type[ModerationError], Coroutine[Any, Any, Any]]] = [
        (SanctionNotFound, ask(store, others, 5)),
        (SanctionNotFound, ask(store, 999, 5)),
        (AlreadyRequested, ask(store, mine, 5, "please")),
        (NotPermitted, answer(store, asked, STRANGER)),
        (UnbanRequestNotFound, answer(store, 999)),
        (NotPermitted, resolve(store, filed, STRANGER)),
        (ReportNotFound, resolve(store, 999)),
        (HoldNotFound, reject(store, 999)),
        (NoteNotFound, forget(store, 999)),
        (WarningNotFound, acknowledge(store, warned, 6)),
        (WarningNotFound, acknowledge(store, 999, 5)),
        (NotPermitted, undo(store, warned, CHAIR)),
        (AlreadyUndone, undo(store, undone)),
        (ActionNotFound, undo(store, 999)),
    ]
    turn.most = 0
    async with asyncio.timeout(60):
        await turn.acquire()
        for expected, refused in refusals:
            with pytest.raises(expected):
                await refused
        turn.release()
    assert turn.most == 1


async def test_what_has_an_effect_no_more_is_answered_before_it_waits_for_any_command(
    store: TortoiseStore, turn: Turn
) -> None:
    warned, taken_back = await warn(store, 5), await warn(store, 6)
    assert await acknowledge(store, warned, 5) is WarningState.ACKNOWLEDGED
    first = await undo(store, taken_back, nonce="n")
    turn.most = 0
    async with asyncio.timeout(60):
        await turn.acquire()
        assert await acknowledge(store, warned, 5) is WarningState.ACKNOWLEDGED
        again = await undo(store, taken_back, nonce="n")
        turn.release()
    assert (again.action_id, again.repeated) == (first.action_id, True)
    assert turn.most == 1


async def test_of_what_many_ask_at_once_one_of_a_kind_waits_among_the_commands(
    store: TortoiseStore,
    turn: Turn,
    eventually: Callable[..., Awaitable[None]],
) -> None:
    bans = {user_id: await ban(store, user_id) for user_id in range(10, 10 + 2 * AT_ONCE)}
    asking, asked_before = list(bans)[:AT_ONCE], list(bans)[AT_ONCE:]
    requests = [await ask(store, bans[user_id], user_id) for user_id in asked_before]
    reports = [await report(store, user_id) for user_id in range(50, 50 + AT_ONCE)]
    work = [
        *(ask(store, bans[user_id], user_id) for user_id in asking),
        *(report(store, user_id) for user_id in range(60, 60 + AT_ONCE)),
        *(hold(store, user_id) for user_id in range(70, 70 + AT_ONCE)),
        *(answer(store, request_id) for request_id in requests),
        *(resolve(store, report_id) for report_id in reports),
    ]
    turn.most = 0

    async def three_wait() -> bool:
        return turn.waiting >= 3

    await turn.acquire()
    running = asyncio.gather(*work)
    await eventually(three_wait)
    turn.release()
    await running
    assert turn.most == 3
