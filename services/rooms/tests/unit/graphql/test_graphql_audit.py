"""auditLog(), verifyAudit(), undoAction and undoAll: for moderators, and for admins; moderation decides the rest."""

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from rooms.domain.audit import AuditEntry, AuditQuery, PolicyFieldChange, Undoable, Verification
from rooms.domain.people import Rank, Slug, UserId
from rooms.domain.roles import RoleHolder, RolePage, RoomRole
from rooms.errors import (
    AlreadyUndone,
    CannotUndo,
    ModerationUnavailable,
    NothingToUndo,
    NotPermitted,
    TooManyRoles,
)
from rooms.usecases import audit as usecases

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

LOG = """query($slug: String, $actor: SafeInt, $target: SafeInt, $name: String, $action: String, $first: Int,
              $after: String) {
  auditLog(slug: $slug, actor: $actor, target: $target, targetUsername: $name, action: $action, first: $first,
           after: $after) {
    actionId at actorUserId actorRole action targetUserId targetUsername scope slug reason rule durationMinutes
    messageId messageText address policyChanges { field before after } undoes undoneBy completes digest cursor } }"""
VERIFY = """query($slug: String, $after: String) { verifyAudit(slug: $slug, after: $after) {
    whole checked unchained brokenActionId problem lastActionId lastDigest cursor } }"""
UNDO = "mutation($id: SafeInt!) { undoAction(id: $id) { actionId undoes notUndone } }"
UNDO_IN = "mutation($id: SafeInt!, $slug: String) { undoAction(id: $id, slug: $slug) { actionId undoes notUndone } }"
UNDO_ALL = """mutation($actorId: SafeInt!, $since: DateTime!, $after: String) {
  undoAll(actorId: $actorId, since: $since, after: $after) { undone notUndone left cursor } }"""
SINCE = "2025-11-27T16:30:00.123Z"
NO_SUCH_TIME = ("yesterday", "2025-11-27T16:30:00", 7)


def entry(world: "World", action_id: int = 7, **other: object) -> AuditEntry:
    made = AuditEntry(
        action_id,
        world.ports.clock(),
        UserId(30),
        Rank.ADMIN,
        "ban",
        UserId(10),
        None,
        is_everywhere=False,
        slug=Slug("room"),
        reason="spam",
        rule=None,
        duration_minutes=60,
        message_id=None,
        message_text=None,
        address=None,
        policy_changes=(),
        undoes=None,
        undone_by=None,
        completes=None,
        digest="ab" * 32,
    )
    return replace(made, **other)  # type: ignore[arg-type]


async def test_a_row_shows_who_did_what_to_whom_where_with_its_evidence_and_what_it_undoes(world: "World") -> None:
    changes = (PolicyFieldChange("slow_mode_seconds", "0", "30"),)
    everywhere = {"is_everywhere": True, "slug": None, "reason": None, "actor_rank": None, "digest": None}
    world.moderation.audit = [
        entry(world, 7, undone_by=9, policy_changes=changes),
        entry(
            world,
            6,
            target_user_id=None,
            target_username="Anonymous_1",
            message_id=5,
            message_text="words",
            rule="insults",
        ),
        entry(world, 5, undoes=4, completes=3, address="10.0.0.1", **everywhere),
    ]
    first, second, third = (await world.data(LOG, world.admin))["auditLog"]
    assert first == {
        "actionId": 7,
        "at": "2025-11-27T16:30:00.123Z",
        "actorUserId": 30,
        "actorRole": "admin",
        "action": "ban",
        "targetUserId": 10,
        "targetUsername": None,
        "scope": "room",
        "slug": "room",
        "reason": "spam",
        "rule": None,
        "durationMinutes": 60,
        "messageId": None,
        "messageText": None,
        "address": None,
        "policyChanges": [{"field": "slow_mode_seconds", "before": "0", "after": "30"}],
        "undoes": None,
        "undoneBy": 9,
        "completes": None,
        "digest": "ab" * 32,
        "cursor": "YXVkaXQ6Nw",
    }
    assert (second["targetUsername"], second["messageId"], second["messageText"]) == ("Anonymous_1", 5, "words")
    assert second["rule"] == "insults"
    assert (third["undoes"], third["completes"], third["address"]) == (4, 3, "10.0.0.1")
    assert (third["scope"], third["slug"], third["actorRole"], third["digest"]) == ("everywhere", None, None, None)


async def test_moderators_read_the_log_of_a_slug_and_admins_all_of_it(world: "World") -> None:
    assert await world.refusal(LOG, None, slug="room") == "UNAUTHENTICATED"
    assert await world.refusal(LOG, world.ana, slug="room") == "FORBIDDEN"
    assert await world.refusal(LOG, world.mod) == "FORBIDDEN"
    assert world.moderation.asked == ["list_roles room 1 None 10"]
    world.moderation.asked.clear()
    await world.data(LOG, world.mod, slug="room")
    await world.data(LOG, world.admin)
    assert world.moderation.asked == ["list_audit MODERATOR room None 50 None", "list_audit ADMIN None None 50 None"]


async def test_the_log_of_a_room_is_read_and_its_actions_are_undone_by_the_rank_there(world: "World") -> None:
    world.put_room("room", owner=world.ana)
    world.put_room("other")
    world.moderation.audit = [entry(world, 7)]
    world.moderation.roles[Slug("room")] = RolePage(
        world.ana.user_id, [RoleHolder(world.ben.user_id, RoomRole.MODERATOR, UserId(30), world.ports.clock())]
    )
    await world.data(LOG, world.ben, slug="room")
    await world.data(LOG, world.ana, slug="room")
    assert (await world.data(UNDO_IN, world.ana, id=7, slug="room"))["undoAction"]["undoes"] == 7
    for viewer, slug in ((world.ben, "room"), (world.mod, "room"), (world.ana, "other"), (world.ana, None)):
        assert await world.refusal(UNDO_IN, viewer, id=7, slug=slug) == "FORBIDDEN"
    assert await world.refusal(LOG, world.ana, slug="other") == "FORBIDDEN"
    assert await world.refusal(UNDO_IN, world.ana, id=7, slug="") == "INVALID"
    assert [asked for asked in world.moderation.asked if not asked.startswith("list_roles")] == [
        "list_audit MODERATOR room None 50 None",
        "list_audit OWNER room None 50 None",
        "list_audit OWNER room None 1 8",
        "undo 7 room (1, 1, 0)",
    ]


async def test_the_log_is_asked_for_by_slug_actor_target_and_action_page_by_page(world: "World") -> None:
    world.moderation.audit = [entry(world, number) for number in (9, 8, 7)]
    page = await world.data(LOG, world.admin, slug="room", actor=30, target=10, action="save_rule", first=2)
    after = page["auditLog"][-1]["cursor"]
    rest = await world.data(LOG, world.admin, name="Anonymous_1", first=2, after=after)
    assert [row["actionId"] for row in page["auditLog"] + rest["auditLog"]] == [9, 8, 7]
    assert world.moderation.audit_queries == [
        AuditQuery(Slug("room"), UserId(30), UserId(10), None, "save_rule"),
        AuditQuery(target_username="Anonymous_1"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [{"actor": 0}, {"target": -1}, {"action": "dance"}, {"first": 0}, {"after": "c2FuY3Rpb246Mg"}, {"slug": ""}],
)
async def test_bad_arguments_are_invalid_before_moderation_is_asked(world: "World", wrong: dict[str, object]) -> None:
    assert await world.refusal(LOG, world.admin, **wrong) == "INVALID"
    assert world.moderation.asked == []


async def test_verify_audit_says_whether_the_chain_is_whole_and_where_it_is_broken(world: "World") -> None:
    world.moderation.verification = Verification(2_000, None, None, 2_100, "cd" * 32, more=True, unchained=3)
    part = (await world.data(VERIFY, world.admin, slug="room"))["verifyAudit"]
    assert part == {
        "whole": True,
        "checked": 2_000,
        "unchained": 3,
        "brokenActionId": None,
        "problem": None,
        "lastActionId": 2_100,
        "lastDigest": "cd" * 32,
        "cursor": "YXVkaXQ6MjEwMA",
    }
    world.moderation.verification = Verification(3, 2_103, "row", 2_102, "ef" * 32, more=False)
    rest = (await world.data(VERIFY, world.admin, slug="room", after=part["cursor"]))["verifyAudit"]
    assert (rest["whole"], rest["brokenActionId"], rest["problem"], rest["cursor"]) == (False, 2_103, "row", None)
    await world.data(VERIFY, world.admin)
    assert world.moderation.asked == ["verify_audit room None", "verify_audit room 2100", "verify_audit None None"]


@pytest.mark.parametrize("query", [VERIFY, UNDO, UNDO_ALL])
async def test_checking_and_undoing_are_for_admins(world: "World", query: str) -> None:
    asked = {"id": 7, "actorId": 66, "since": SINCE}
    assert await world.refusal(query, None, **asked) == "UNAUTHENTICATED"
    assert await world.refusal(query, world.ana, **asked) == "FORBIDDEN"
    assert await world.refusal(query, world.mod, **asked) == "FORBIDDEN"
    assert world.moderation.asked == []


async def test_undo_action_has_the_life_told_of_the_room_where_the_action_was_done(world: "World") -> None:
    world.put_room("room")
    world.moderation.audit = [entry(world, 7), entry(world, 6, slug=Slug("dead")), entry(world, 5, is_everywhere=True)]
    assert (await world.data(UNDO, world.admin, id=7))["undoAction"] == {
        "actionId": 1_007,
        "undoes": 7,
        "notUndone": ["messages"],
    }
    await world.data(UNDO, world.admin, id=6)
    await world.data(UNDO, world.root, id=5)
    undone = [asked for asked in world.moderation.asked if asked.startswith("undo")]
    assert undone == ["undo 7 room (1, 1, 0)", "undo 6 dead None", "undo 5 None None"]


@pytest.mark.parametrize("action_id", [0, -1, 8, 2**53 - 1])
async def test_undoing_what_is_not_there_is_not_found(world: "World", action_id: int) -> None:
    world.moderation.audit = [entry(world, 7)]
    assert await world.refusal(UNDO, world.admin, id=action_id) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("refusal", "code", "text"),
    [
        (CannotUndo, "CONFLICT", "This cannot be undone"),
        (AlreadyUndone, "CONFLICT", "This was undone already"),
        (NothingToUndo, "CONFLICT", "Nothing is left to undo"),
        (NotPermitted, "FORBIDDEN", "You do not have permission to do this"),
        (TooManyRoles, "FORBIDDEN", "As many have roles in this room as may: take one back first"),
    ],
)
async def test_what_cannot_be_undone_says_why(world: "World", refusal: type[Exception], code: str, text: str) -> None:
    world.moderation.audit = [entry(world, 7)]
    world.moderation.refusals[7] = refusal()
    body, _ = await world.answer(UNDO, world.admin, variables=b'{"id": 7}')
    assert body["errors"][0]["message"] == text
    assert body["errors"][0]["extensions"]["code"] == code


async def test_undo_all_undoes_what_somebody_did_newest_first_and_says_how_many_are_left(world: "World") -> None:
    world.put_room("room")
    world.moderation.undoable = Undoable(((9, Slug("room")), (8, None), (7, Slug("room"))), 40, 6)
    world.moderation.refusals[8] = NothingToUndo()
    told = (await world.data(UNDO_ALL, world.admin, actorId=66, since=SINCE))["undoAll"]
    assert told == {"undone": [9, 7], "notUndone": [8], "left": 40, "cursor": "YXVkaXQ6Ng"}
    assert world.moderation.asked == [
        "list_undoable 66 1764261000123 None",
        "undo 9 room (1, 1, 0) since 1764261000123",
        "undo 8 None None since 1764261000123",
        "undo 7 room (1, 1, 0) since 1764261000123",
    ]
    world.moderation.undoable = Undoable((), 0, 3)
    told = (await world.data(UNDO_ALL, world.admin, actorId=66, since=SINCE, after=told["cursor"]))["undoAll"]
    assert told == {"undone": [], "notUndone": [], "left": 0, "cursor": None}
    assert world.moderation.asked[-1] == "list_undoable 66 1764261000123 6"


async def test_undo_all_names_what_cannot_be_undone_without_asking_for_it(world: "World") -> None:
    world.moderation.undoable = Undoable(((9, None), (8, None), (7, None)), 0, 7, frozenset({9, 7}))
    world.moderation.refusals[8] = TooManyRoles()
    told = (await world.data(UNDO_ALL, world.admin, actorId=66, since=SINCE))["undoAll"]
    assert told == {"undone": [], "notUndone": [9, 8, 7], "left": 0, "cursor": None}
    assert [asked.split()[:2] for asked in world.moderation.asked[1:]] == [["undo", "8"]]


async def test_what_there_is_no_time_for_is_left_for_the_next_call(world: "World") -> None:
    actions = tuple((number, None) for number in range(500, 0, -1))
    world.moderation.undoable = Undoable(actions, 10, 1)
    seconds = count()
    ports = replace(world.ports, elapsed_s=lambda: float(next(seconds)))
    found = await usecases.undo_all(ports, world.admin, UserId(66), since_ms=0, before_id=None)
    assert found.undone == (500, 499)
    assert (found.left, found.last_id) == (508, 499)


async def test_where_moderation_goes_away_meanwhile_what_was_undone_is_told(world: "World") -> None:
    world.moderation.undoable = Undoable(((9, None), (8, None)), 0, 8)
    world.moderation.refusals[8] = ModerationUnavailable()
    told = (await world.data(UNDO_ALL, world.admin, actorId=66, since=SINCE))["undoAll"]
    assert told == {"undone": [9], "notUndone": [], "left": 1, "cursor": "YXVkaXQ6OQ"}
    world.moderation.refusals[9] = ModerationUnavailable()
    assert await world.refusal(UNDO_ALL, world.admin, actorId=66, since=SINCE) == "UNAVAILABLE"


@pytest.mark.parametrize("since", NO_SUCH_TIME)
async def test_a_time_without_an_offset_is_no_time(world: "World", since: object) -> None:
    body, status = await world.answer(
        UNDO_ALL.replace("$since: DateTime!, ", "").replace("$since", repr(since).replace("'", '"')),
        world.admin,
        variables=b'{"actorId": 66}',
    )
    assert status == 400
    assert "DateTime must be RFC 3339 with an offset or Z" in body["errors"][0]["message"]
    assert (await world.data(UNDO_ALL, world.admin, actorId=66, since="2025-11-27T17:30:00+01:00"))["undoAll"][
        "left"
    ] == 0
    at = world.ports.clock() - timedelta(milliseconds=123)
    assert world.moderation.asked == [f"list_undoable 66 {int(at.timestamp()) * 1000} None"]
