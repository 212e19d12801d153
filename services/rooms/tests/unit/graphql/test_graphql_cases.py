"""What moderators of a room know of one person, and their notes, over GraphQL."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from rooms.domain.cases import Case, KeptMessage, Note, PastWarning, WarningState
from rooms.domain.people import Slug, UserId
from rooms.errors import NotPermitted, TooManyNotes

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

CASE = """query($slug: String!, $userId: SafeInt, $username: String) {
  userCase(slug: $slug, userId: $userId, username: $username) {
    sanctions { id active } warnings { id reason moderatorUserId at state } reports { id }
    notes { id slug targetUserId targetUsername text authorUserId authorUsername at }
    names firstSeen lastSeen messages { id at text } } }"""
ADD = """mutation($slug: String!, $text: String!, $userId: SafeInt, $username: String) {
  addNote(slug: $slug, text: $text, userId: $userId, username: $username) { id text } }"""
DELETE = "mutation($id: SafeInt!) { deleteNote(id: $id) }"
AT = datetime(2025, 11, 27, 16, 30, tzinfo=UTC)
SHOWN_AT = "2025-11-27T16:30:00.000Z"
NOTE = Note(7, Slug("live"), UserId(11), None, "watch out", UserId(20), "mod", AT)


@pytest.fixture(autouse=True)
def _known(world: "World") -> None:
    world.put_room("live", owner=world.ana)
    warning = PastWarning(3, "No links", UserId(20), AT, WarningState.LAPSED)
    sanction = world.put_sanction("ban", user_id=11, slug="live")
    messages = [KeptMessage(773, AT, "hello")]
    world.moderation.notes = {7: NOTE}
    world.moderation.case = Case([sanction], [warning], [NOTE], [], ("ben", "benny"), AT, None, messages)


async def test_moderators_of_a_room_read_all_that_is_known_of_somebody_there(world: "World") -> None:
    case = (await world.data(CASE, world.mod, slug="live", userId=11))["userCase"]
    assert case == {
        "sanctions": [{"id": 1, "active": True}],
        "warnings": [{"id": 3, "reason": "No links", "moderatorUserId": 20, "at": SHOWN_AT, "state": "LAPSED"}],
        "reports": [],
        "notes": [
            {
                "id": 7,
                "slug": "live",
                "targetUserId": 11,
                "targetUsername": None,
                "text": "watch out",
                "authorUserId": 20,
                "authorUsername": "mod",
                "at": SHOWN_AT,
            }
        ],
        "names": ["ben", "benny"],
        "firstSeen": SHOWN_AT,
        "lastSeen": None,
        "messages": [{"id": 773, "at": SHOWN_AT, "text": "hello"}],
    }
    world.moderation.case = Case([], [], [], [], (), None, None, None)
    case = (await world.data(CASE, world.ana, slug="live", username="Anonymous_10.0.0.6"))["userCase"]
    assert case["messages"] is None
    asked = [each.partition(" RoomLog")[0] for each in world.moderation.asked if each.startswith("get_case")]
    assert asked == [
        "get_case MODERATOR by MODERATOR live 11 None",
        "get_case OWNER by USER live None Anonymous_10.0.0.6",
    ]


async def test_a_note_is_written_and_deleted_as_somebody_ranks_in_the_room(world: "World") -> None:
    added = await world.data(ADD, world.ana, slug="live", text="watch out", userId=11)
    assert added == {"addNote": {"id": 7, "text": "watch out"}}
    await world.data(ADD, world.mod, slug="live", text="x", username="Anonymous_10.0.0.6")
    assert await world.data(DELETE, world.ana, id=7) == {"deleteNote": True}
    assert [each for each in world.moderation.asked if "note" in each] == [
        "add_note OWNER live 11 None 'watch out'",
        "add_note MODERATOR live None Anonymous_10.0.0.6 'x'",
        "slug_of_note 7",
        "delete_note OWNER live 7",
    ]


async def test_what_is_refused_has_its_code(world: "World") -> None:
    for viewer, fields, code in (
        (None, {"text": "x", "userId": 11}, "UNAUTHENTICATED"),
        (world.mod, {"text": " ", "userId": 11}, "INVALID"),
        (world.mod, {"text": "x" * 1_001, "userId": 11}, "INVALID"),
        (world.mod, {"text": "x"}, "INVALID"),
        (world.mod, {"text": "x", "userId": 11, "username": "ben"}, "INVALID"),
        (world.mod, {"text": "x", "userId": 0}, "INVALID"),
    ):
        assert await world.refusal(ADD, viewer, slug="live", **fields) == code
    world.moderation.refusals = {0: TooManyNotes(), 7: NotPermitted()}
    assert await world.refusal(ADD, world.mod, slug="live", text="x" * 1_000, userId=11) == "FORBIDDEN"
    for viewer, number, code in (
        (None, 7, "UNAUTHENTICATED"),
        (world.mod, 7, "FORBIDDEN"),
        (world.ben, 7, "NOT_FOUND"),  # strangers are not told what there is
        (world.ben, 8, "NOT_FOUND"),
        (world.mod, 8, "NOT_FOUND"),
        (world.mod, 0, "NOT_FOUND"),
    ):
        assert await world.refusal(DELETE, viewer, id=number) == code
    assert await world.refusal(CASE, None, slug="live", userId=11) == "UNAUTHENTICATED"
    assert await world.refusal(CASE, world.mod, slug="live") == "INVALID"
