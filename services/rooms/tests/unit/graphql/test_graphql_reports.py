"""What viewers reported, over GraphQL: who reads it, and who decides."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from rooms.domain.people import Rank, Slug, UserId
from rooms.domain.reports import Report, ReportCategory, ReportState
from rooms.domain.roles import RoleHolder, RolePage, RoomRole
from rooms.errors import AlreadyDecided, NotPermitted

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

LIST = """query($slug: String, $state: ReportState, $first: Int, $after: String) {
  reports(slug: $slug, state: $state, first: $first, after: $after) {
    id slug at category note reporterUserId reporterUsername targetUserId targetUsername messageId messageText messageAt
    beforeIds afterIds state closedAt closedBy cursor } }"""
RESOLVE = """mutation($id: SafeInt!, $resolution: ReportResolution!, $reason: String) {
  resolveReport(id: $id, resolution: $resolution, reason: $reason) { id state closedAt closedBy } }"""
AT = datetime(2025, 11, 27, 16, 30, tzinfo=UTC)


def report(number: int = 7, *, target: int | None = 11, message_id: int | None = 773) -> Report:
    return Report(
        id=number,
        slug=Slug("live"),
        at=AT,
        category=ReportCategory.HATE,
        note="again",
        reporter_user_id=UserId(10),
        reporter_username="ana",
        target_user_id=None if target is None else UserId(target),
        target_username="ben",
        message_id=message_id,
        message_text=None if message_id is None else "buy now",
        message_at=None if message_id is None else AT,
        before_ids=(515,),
        after_ids=(),
        state=ReportState.OPEN,
        closed_at=None,
        closed_by=None,
    )


@pytest.fixture(autouse=True)
def _reported(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    world.moderation.reports = {7: report(), 8: report(8, target=None, message_id=None)}


async def test_moderators_of_a_room_read_what_was_reported_there(world: "World") -> None:
    first, second = (await world.data(LIST, world.mod, slug="live"))["reports"]
    assert first == {
        "id": 7,
        "slug": "live",
        "at": "2025-11-27T16:30:00.000Z",
        "category": "HATE",
        "note": "again",
        "reporterUserId": 10,
        "reporterUsername": "ana",
        "targetUserId": 11,
        "targetUsername": "ben",
        "messageId": 773,
        "messageText": "buy now",
        "messageAt": "2025-11-27T16:30:00.000Z",
        "beforeIds": [515],
        "afterIds": [],
        "state": "OPEN",
        "closedAt": None,
        "closedBy": None,
        "cursor": first["cursor"],
    }
    assert (second["targetUserId"], second["messageId"], second["messageAt"]) == (None, None, None)
    await world.data(LIST, world.mod, slug="live", state=None, first=1, after=first["cursor"])
    await world.data(LIST, world.admin, state="EXPIRED")
    assert [asked for asked in world.moderation.asked if asked.startswith("list_reports")] == [
        "list_reports MODERATOR live OPEN 50 None",
        "list_reports MODERATOR live None 1 7",
        "list_reports ADMIN None EXPIRED 50 None",
    ]


async def test_the_rank_is_that_in_the_room_of_the_report(world: "World") -> None:
    role = RoleHolder(world.ben.user_id, RoomRole.MODERATOR, world.ana.user_id, AT)
    world.moderation.roles[Slug("live")] = RolePage(world.ana.user_id, [role])
    await world.data(RESOLVE, world.ana, id=7, resolution="ACTIONED")
    await world.data(RESOLVE, world.ben, id=7, resolution="ACTIONED")
    assert [asked for asked in world.moderation.asked if asked.startswith("resolve_report")] == [
        "resolve_report OWNER live 7 ''",
        "resolve_report MODERATOR live 7 ''",
    ]


@pytest.mark.parametrize("resolution", ["ACTIONED", "DISMISSED"])
async def test_a_report_is_resolved(world: "World", resolution: str) -> None:
    found = await world.data(RESOLVE, world.mod, id=7, resolution=resolution, reason="muted")
    at = "2025-11-27T16:30:00.123Z"
    assert found["resolveReport"] == {"id": 7, "state": resolution, "closedAt": at, "closedBy": world.mod.user_id}
    assert world.moderation.asked[-1] == "resolve_report MODERATOR live 7 'muted'"


async def test_what_is_refused_has_its_code(world: "World") -> None:
    world.moderation.refusals = {8: AlreadyDecided.by(20)}
    for viewer, variables, code in (
        (None, {"id": 7}, "UNAUTHENTICATED"),
        (world.mod, {"id": 9}, "NOT_FOUND"),
        (world.mod, {"id": 0}, "NOT_FOUND"),
        (world.ben, {"id": 7}, "NOT_FOUND"),  # strangers are not told what there is
        (world.ben, {"id": 9}, "NOT_FOUND"),
        (world.mod, {"id": 8}, "CONFLICT"),
        (world.mod, {"id": 7, "reason": "x" * 501}, "INVALID"),
    ):
        assert await world.refusal(RESOLVE, viewer, resolution="ACTIONED", **variables) == code
    world.moderation.refusals = {7: NotPermitted()}
    assert await world.refusal(RESOLVE, world.mod, id=7, resolution="ACTIONED") == "FORBIDDEN"
    assert await world.refusal(LIST, None, slug="live") == "UNAUTHENTICATED"
    assert await world.refusal(LIST, world.mod, slug="live", after="x") == "INVALID"


def test_who_decided_is_told() -> None:
    assert str(AlreadyDecided.by(20)) == "User 20 has decided already"
    assert str(AlreadyDecided.by(0)) == "Its time was over before anybody decided"
    assert Rank.OWNER > Rank.MODERATOR
