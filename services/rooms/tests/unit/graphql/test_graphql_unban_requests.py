"""What banned users ask, over GraphQL: who asks, who reads it, and who decides."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from rooms.domain.people import Slug, UserId
from rooms.domain.unban_requests import UnbanRequest, UnbanRequestState
from rooms.errors import AlreadyDecided, AlreadyRequested, NotPermitted, RequestedTooSoon, SanctionNotFound

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

ASK = "mutation($id: SafeInt!, $text: String!) { requestUnban(sanctionId: $id, text: $text) { id state } }"
LIST = """query($slug: String, $state: UnbanRequestState, $mine: Boolean, $after: String) {
  unbanRequests(slug: $slug, state: $state, mine: $mine, after: $after) {
    id sanctionId slug userId username text at state closedAt closedBy note cursor } }"""
DECIDE = """mutation($id: SafeInt!, $decision: UnbanDecision!, $note: String) {
  decideUnbanRequest(id: $id, decision: $decision, note: $note) { id state } }"""
AT = datetime(2025, 11, 27, 16, 30, tzinfo=UTC)


def request(number: int = 7, slug: str | None = "live") -> UnbanRequest:
    state = UnbanRequestState.DENIED if slug is None else UnbanRequestState.OPEN
    where = None if slug is None else Slug(slug)
    open_ = UnbanRequest(number, 3, where, UserId(11), "ben", "sorry", AT, state, None, None, None)
    return open_ if slug else replace(open_, closed_at=AT, closed_by=UserId(30), note="no")


@pytest.fixture(autouse=True)
def _asked(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    world.moderation.unban_requests = {7: request(), 8: request(8, None)}


async def test_a_banned_user_asks(world: "World") -> None:
    assert (await world.data(ASK, world.ben, id=3, text="sorry"))["requestUnban"] == {"id": 7, "state": "OPEN"}
    assert world.moderation.asked == ["request_unban 11 3 'sorry'"]


async def test_what_is_asked_in_vain_has_its_code(world: "World") -> None:
    world.moderation.refusals = {3: AlreadyRequested(), 4: RequestedTooSoon.again_in(90_000), 5: SanctionNotFound()}
    for viewer, sanction, text, code in (
        (None, 3, "sorry", "UNAUTHENTICATED"),
        (world.ben, 3, "sorry", "CONFLICT"),
        (world.ben, 4, "sorry", "CONFLICT"),
        (world.ben, 5, "sorry", "NOT_FOUND"),
        (world.ben, 0, "sorry", "NOT_FOUND"),
        (world.ben, 6, " ", "INVALID"),
        (world.ben, 6, "x" * 501, "INVALID"),
    ):
        assert await world.refusal(ASK, viewer, id=sanction, text=text) == code
    assert str(RequestedTooSoon.again_in(90_000)) == "You may ask again in 2 minutes"


async def test_moderators_read_those_of_a_room_admins_all_and_everybody_their_own(world: "World") -> None:
    here, everywhere = (await world.data(LIST, world.mod, slug="live"))["unbanRequests"]
    assert here == {
        "id": 7,
        "sanctionId": 3,
        "slug": "live",
        "userId": 11,
        "username": "ben",
        "text": "sorry",
        "at": "2025-11-27T16:30:00.000Z",
        "state": "OPEN",
        "closedAt": None,
        "closedBy": None,
        "note": None,
        "cursor": here["cursor"],
    }
    assert (everywhere["slug"], everywhere["closedBy"], everywhere["note"]) == (None, 30, "no")
    await world.data(LIST, world.ana, slug="live", state="DENIED", after=here["cursor"])
    await world.data(LIST, world.admin)
    await world.data(LIST, world.ben, mine=True, state=None)
    assert [asked for asked in world.moderation.asked if asked.startswith("list_unban")] == [
        "list_unban_requests MODERATOR live OPEN False 50 None",
        "list_unban_requests OWNER live DENIED False 50 7",
        "list_unban_requests ADMIN None OPEN False 50 None",
        "list_unban_requests USER None None True 50 None",
    ]
    assert await world.refusal(LIST, None, mine=True) == "UNAUTHENTICATED"


async def test_who_decides_has_the_rank_that_they_have_where_the_ban_holds(world: "World") -> None:
    await world.data(DECIDE, world.ana, id=7, decision="APPROVE", note="fine")
    await world.data(DECIDE, world.mod, id=8, decision="DENY")
    assert [asked for asked in world.moderation.asked if asked.startswith("decide")] == [
        "decide_unban_request OWNER live 7 APPROVE 'fine'",
        "decide_unban_request MODERATOR None 8 DENY ''",
    ]
    world.moderation.refusals = {7: AlreadyDecided.by(30), 8: NotPermitted()}
    for viewer, number, note, code in (
        (None, 7, "", "UNAUTHENTICATED"),
        (world.admin, 7, "", "CONFLICT"),
        (world.mod, 8, "", "FORBIDDEN"),
        (world.ben, 7, "", "NOT_FOUND"),  # strangers are not told what there is
        (world.ana, 8, "", "NOT_FOUND"),
        (world.ben, 9, "", "NOT_FOUND"),
        (world.admin, 9, "", "NOT_FOUND"),
        (world.admin, 0, "", "NOT_FOUND"),
        (world.admin, 7, "x" * 501, "INVALID"),
    ):
        assert await world.refusal(DECIDE, viewer, id=number, decision="DENY", note=note) == code
