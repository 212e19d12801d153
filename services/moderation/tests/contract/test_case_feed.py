"""Reports and unban requests in the moderators' feed, on SQLite and on PostgreSQL."""

from functools import partial

import pytest

from chassis.database import Database
from moderation.adapters.store.feed_pages import open_items
from moderation.domain.commands import SanctionOrder
from moderation.domain.erasures import LoggedMessage, LogRef
from moderation.domain.people import Moderator, Rank, Target
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
from moderation.ports import Store

pytestmark = pytest.mark.integration
ADMIN = Moderator(9, Rank.ADMIN)
SAID = LoggedMessage(773, 900, 5, "ana", "buy now", "key")
REPORT = ReportOrder(Moderator(6, Rank.USER), "bob", "live", LogRef(3, 7, 21), 773, None, ReportCategory.HATE, "again")


async def test_a_report_is_told_without_who_filed_it_waits_and_is_resolved_in_the_same_order(
    store: Store, database: Database
) -> None:
    report = (await store.file_report(REPORT, SAID, Neighbours(), now_ms=1_000)).report
    assert report is not None
    await store.file_report(REPORT, SAID, Neighbours(), now_ms=2_000)
    shown = {
        "report_id": report.id,
        "category": "hate",
        "note": "again",
        "target_user_id": 5,
        "target_username": "ana",
        "message_id": 773,
        "message": "buy now",
        "reported_at": "1970-01-01T00:00:01.000Z",
    }
    async with database.transaction():
        assert list((await open_items("live", 8)).reports) == [shown]
        assert list((await open_items("live", 5)).reports) == []  # it is about them
    command = ResolveCommand(ADMIN, "live", report.id, ReportState.DISMISSED, "")
    decision = partial(decide_report, command, now_ms=3_000)
    receipt = await store.resolve_report(ResolveOrder(command), decision, now_ms=3_000)
    filed, resolved = (await store.feed_after(["live"], 0, first=9)).events
    assert (filed.kind, dict(filed.data), filed.action) == ("report", shown, None)
    assert resolved.kind == "report_resolved"
    assert resolved.data == {"report_id": report.id, "resolution": "dismissed"}
    assert resolved.action is not None
    assert resolved.action.id == receipt.action_id
    async with database.transaction():
        assert list((await open_items("live", 8)).reports) == []


@pytest.mark.parametrize(
    ("decided", "word", "action"), [(RequestState.APPROVED, "approved", 3), (RequestState.DENIED, "denied", 29)]
)
async def test_an_unban_request_is_told_waits_and_is_decided(
    store: Store, database: Database, decided: RequestState, word: str, action: int
) -> None:
    ban = Command(ADMIN, Action.BAN, Target(5, ""), None, Scope.ROOM, "live", 0, "")
    decision = partial(decide, ban, addresses=frozenset())
    event = (await store.change(SanctionOrder(ban), frozenset(), decision, now_ms=1_000)).event
    assert event is not None
    order = UnbanOrder(5, "ana", event.imposed[0].id, "sorry")
    demand = partial(demand_may_request, 5, now_ms=2_000)
    asked = (await store.request_unban(order, demand, now_ms=2_000)).unban_request
    assert asked is not None
    shown = {
        "unban_request_id": asked.id,
        "sanction_id": order.sanction_id,
        "user_id": 5,
        "username": "ana",
        "text": "sorry",
        "requested_at": "1970-01-01T00:00:02.000Z",
    }
    async with database.transaction():
        assert list((await open_items("live", 8)).unban_requests) == [shown]
    command = DecideCommand(ADMIN, "live", asked.id, decided, "")
    settle = partial(decide_request, command, now_ms=3_000)
    await store.decide_unban_request(DecideOrder(command), settle, now_ms=3_000)
    _, told, answered = (await store.feed_after(["live"], 0, first=9)).events
    assert (told.kind, dict(told.data)) == ("unban_request", shown)
    assert (answered.kind, answered.data) == (
        "unban_request_decided",
        {"unban_request_id": asked.id, "decision": word},
    )
    assert answered.action is not None
    assert answered.action.action == action


async def test_what_is_asked_about_a_ban_everywhere_is_told_to_no_room(store: Store) -> None:
    ban = Command(ADMIN, Action.BAN, Target(5, ""), None, Scope.EVERYWHERE, "live", 0, "")
    decision = partial(decide, ban, addresses=frozenset())
    event = (await store.change(SanctionOrder(ban), frozenset(), decision, now_ms=1_000)).event
    assert event is not None
    order = UnbanOrder(5, "ana", event.imposed[0].id, "sorry")
    await store.request_unban(order, partial(demand_may_request, 5, now_ms=2_000), now_ms=2_000)
    assert [each.kind for each in (await store.feed_after(["live"], 0, first=9)).events] == ["action"]
