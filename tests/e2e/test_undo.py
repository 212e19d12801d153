"""Undoing actions, and the audit log: over two edges and two replicas of moderation, on PostgreSQL."""

import asyncio
from datetime import UTC, datetime
from itertools import count

from chat_client import OBEYED_AFTER_S, Client, Frame, Person, Visitors, of_type, person
from graphql_client import GraphQL
from salon_processes import Salon

NOT_PERMITTED = ("You do not have permission to moderate this room", "not_moderator")
LOG = """query($slug: String, $actor: SafeInt, $action: String, $first: Int, $after: String) {
  auditLog(slug: $slug, actor: $actor, action: $action, first: $first, after: $after) {
    actionId at actorUserId actorRole action targetUserId targetUsername scope slug reason rule durationMinutes
    messageId messageText address policyChanges { field before after } undoes undoneBy completes digest cursor } }"""
VERIFY = """query($slug: String, $after: String) { verifyAudit(slug: $slug, after: $after) {
    whole checked unchained brokenActionId problem lastActionId lastDigest cursor } }"""
UNDO = "mutation($id: SafeInt!) { undoAction(id: $id) { actionId undoes notUndone } }"
UNDO_ALL = """mutation($actorId: SafeInt!, $since: DateTime!, $after: String) {
  undoAll(actorId: $actorId, since: $since, after: $after) { undone notUndone left cursor } }"""
_nonces = count(1)


async def act(client: Client, action: str, answer: str = "moderation_action", **more: object) -> Frame:
    """Moderate; the moderator's own copy."""
    nonce = f"u{next(_nonces)}"
    await client.send("moderation_action", action=action, nonce=nonce, **more)
    return await client.wait_for(answer, nonce=nonce)


async def undo_all(api: GraphQL, admin: Person, actor: Person, since: str) -> tuple[list[int], list[int]]:
    """What was undone, and what was not, over as many calls as it takes."""
    undone, not_undone, after, left = list[int](), list[int](), None, 1
    while left:
        told = (await api.run(UNDO_ALL, admin, actorId=actor.user_id, since=since, after=after))["undoAll"]
        undone += told["undone"]
        not_undone += told["notUndone"]
        after, left = told["cursor"], told["left"]
    assert after is None
    return undone, not_undone


async def test_an_undone_ban_lets_its_target_in_again_and_an_undone_undo_does_not(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person, bob: Person
) -> None:
    chair, witness = await guests.join(room, admin), await guests.join(room, ana, ws=pair.edges[1].ws)
    target = await guests.join(room, bob, ws=pair.edges[1].ws)
    ban = await act(chair, "ban", target_user_id=bob.user_id, duration_minutes=60)
    assert await target.closed() == 4003
    seen = await witness.wait_for("moderation_action")
    assert ban == {**seen, "nonce": ban["nonce"], "action_id": ban["action_id"]}
    undone = await act(chair, "undo", "undone", action_id=ban["action_id"])
    assert undone == {**undone, "undoes": ban["action_id"], "not_undone": []}
    own = of_type(chair.seen, "moderation_action")[-1]
    told = await witness.wait_for("moderation_action")
    assert (told["action"], told["target_user_id"], told["duration_minutes"]) == ("unban", bob.user_id, 0)
    assert own == {**told, "nonce": undone["nonce"], "action_id": undone["action_id"]}
    back = await guests.join(room, bob, ws=pair.edges[1].ws)
    again = await act(chair, "undo", "undone", action_id=undone["action_id"])
    assert again["undoes"] == undone["action_id"]
    told = await witness.wait_for("moderation_action")
    assert (told["action"], told["duration_minutes"]) == ("ban", 60)
    assert await back.closed() == 4003
    await (await guests.connect(f"/chat/ws/room/{room}", bob)).refused("Access denied", 4003)
    await chair.send("moderation_action", action="undo", action_id=ban["action_id"], nonce="twice")
    await chair.expect_error("This was undone already", "already_undone", nonce="twice")


async def test_an_undone_policy_restores_what_nobody_changed_since_and_says_what_stays(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person
) -> None:
    chair, witness = await guests.join(room, admin), await guests.join(room, ana, ws=pair.edges[1].ws)
    first = await act(chair, "policy", "room_policy", changes={"slow_mode_seconds": 30, "max_length": 100})
    await act(chair, "policy", "room_policy", changes={"slow_mode_seconds": 60})
    undone = await act(chair, "undo", "undone", action_id=first["action_id"])
    assert undone["not_undone"] == ["slow_mode_seconds"]
    told = [await witness.wait_for("room_policy") for _ in range(3)][-1]
    assert (told["policy"]["slow_mode_seconds"], told["policy"]["max_length"]) == (60, 1000)
    assert told.keys() & {"action_id", "nonce"} == set()
    while (own := of_type(chair.seen, "room_policy")[-1])["id"] != told["id"]:
        await chair.wait_for("room_policy")
    assert own == {**told, "nonce": undone["nonce"], "action_id": undone["action_id"]}


async def test_a_deletion_cannot_be_undone_and_says_so_and_moderators_undo_nothing(
    guests: Visitors, room: str, admin: Person, moderator: Person, ana: Person
) -> None:
    chair, helper, author = [await guests.join(room, who) for who in (admin, moderator, ana)]
    said = await author.say("bad words")
    gone = await act(chair, "delete", "message_deleted", message_id=said["id"])
    await chair.send("moderation_action", action="undo", action_id=gone["action_id"], nonce="n")
    await chair.expect_error("This cannot be undone", "cannot_undo", nonce="n")
    await chair.send("moderation_action", action="undo", action_id=2**53 - 1)
    await chair.expect_error("Not found", "not_found")
    mute = await act(helper, "mute", target_user_id=ana.user_id)
    await helper.send("moderation_action", action="undo", action_id=mute["action_id"])
    await helper.expect_error(*NOT_PERMITTED)
    await author.send("moderation_action", action="undo", action_id=mute["action_id"])
    await author.expect_error(*NOT_PERMITTED)
    assert (await act(chair, "undo", "undone", action_id=mute["action_id"]))["undoes"] == mute["action_id"]
    await author.say("free again")
    await chair.send("moderation_action", action="undo", action_id=mute["action_id"])
    await chair.expect_error("This was undone already", "already_undone")
    short = await act(chair, "mute", target_user_id=ana.user_id)
    await act(chair, "unmute", target_user_id=ana.user_id)
    await chair.send("moderation_action", action="undo", action_id=short["action_id"])
    await chair.expect_error("Nothing is left to undo", "nothing_to_undo")


async def test_the_audit_log_is_read_by_graphql_its_chain_is_whole_and_an_action_is_undone_there(
    guests: Visitors, api: GraphQL, room: str, admin: Person, moderator: Person, ana: Person, bob: Person
) -> None:
    chair, witness = await guests.join(room, admin), await guests.join(room, ana)
    said = await witness.say("bad words")
    gone = await act(chair, "delete", "message_deleted", message_id=said["id"], reason="spam")
    ban = await act(chair, "ban", target_user_id=bob.user_id, duration_minutes=60)
    policy = await act(chair, "policy", "room_policy", changes={"slow_mode_seconds": 30})
    assert await api.refusal(LOG, ana, slug=room) == "FORBIDDEN"
    assert await api.refusal(LOG, moderator) == "FORBIDDEN"
    rows = (await api.run(LOG, moderator, slug=room))["auditLog"]
    assert [row["actionId"] for row in rows] == [policy["action_id"], ban["action_id"], gone["action_id"]]
    change, sanction, deletion = rows
    assert change["policyChanges"] == [{"field": "slow_mode_seconds", "before": "0", "after": "30"}]
    assert (sanction["action"], sanction["targetUserId"], sanction["durationMinutes"]) == ("ban", bob.user_id, 60)
    assert (deletion["messageId"], deletion["messageText"]) == (said["id"], "bad words")
    assert (deletion["actorUserId"], deletion["actorRole"], deletion["reason"]) == (admin.user_id, "admin", "spam")
    page = (await api.run(LOG, admin, slug=room, first=1, after=rows[0]["cursor"]))["auditLog"]
    assert page == [sanction]
    undone = (await api.run(UNDO, admin, id=policy["action_id"]))["undoAction"]
    assert (undone["undoes"], undone["notUndone"]) == (policy["action_id"], [])
    told = await witness.wait_for("room_policy", moderator_user_id=admin.user_id)
    while told["policy"]["slow_mode_seconds"]:
        told = await witness.wait_for("room_policy")
    assert "action_id" not in told
    assert await api.refusal(UNDO, admin, id=gone["action_id"]) == "CONFLICT"
    assert await api.refusal(UNDO, moderator, id=ban["action_id"]) == "FORBIDDEN"
    verified = (await api.run(VERIFY, admin, slug=room))["verifyAudit"]
    (newest,) = (await api.run(LOG, admin, slug=room, action="undo"))["auditLog"]
    assert verified == {
        "whole": True,
        "checked": 4,
        "unchained": 0,
        "brokenActionId": None,
        "problem": None,
        "lastActionId": newest["actionId"],
        "lastDigest": newest["digest"],
        "cursor": None,
    }
    assert (newest["actionId"], newest["undoes"]) == (undone["actionId"], policy["action_id"])


async def test_all_that_somebody_did_is_undone_at_once(
    guests: Visitors, pair: Salon, api: GraphQL, room: str, admin: Person, ana: Person
) -> None:
    rogue = person("rogue", "admin")
    chair, kept = await guests.join(room, rogue), await guests.join(f"{room}-b", rogue)
    witness = await guests.join(room, ana, ws=pair.edges[1].ws)
    since = datetime.now(UTC).isoformat()
    banned = [person(f"victim{n}") for n in range(5)]
    for who in banned:
        await act(chair, "ban", target_user_id=who.user_id)
    await act(chair, "policy", "room_policy", changes={"slow_mode_seconds": 600, "members_only": True})
    await act(kept, "mute", target_user_id=ana.user_id, scope="everywhere")
    cleared = await act(chair, "clear", "room_cleared")
    undone, not_undone = await undo_all(api, admin, rogue, since)
    assert (len(undone), not_undone) == (7, [cleared["action_id"]])
    assert undone == sorted(undone, reverse=True)
    policy = await witness.wait_for("room_policy", moderator_user_id=admin.user_id)
    assert (policy["policy"]["slow_mode_seconds"], policy["policy"]["members_only"]) == (0, False)
    lifted = await witness.collect_until("moderation_action", action="unban", target_user_id=banned[0].user_id)
    assert {"unmute", "unban"} <= {frame["data"]["action"] for frame in witness.seen if "action" in frame["data"]}
    assert lifted
    await asyncio.sleep(OBEYED_AFTER_S)  # the home of what is said reads the policy until then
    await witness.say("free again")
    await guests.join(room, banned[3], ws=pair.edges[1].ws)
    again = (await api.run(UNDO_ALL, admin, actorId=rogue.user_id, since=since))["undoAll"]
    assert again == {"undone": [], "notUndone": [cleared["action_id"]], "left": 0, "cursor": None}


async def test_however_often_somebody_did_the_same_all_is_as_before_once_it_is_undone(
    guests: Visitors, pair: Salon, api: GraphQL, room: str, admin: Person, ana: Person, bob: Person
) -> None:
    """A ban got rid of by a shorter one, a field that was changed twice, a pin over another one, a warning."""
    rogue = person("rogue", "admin")
    chair, owner = await guests.join(room, rogue), await guests.join(room, admin)
    witness = await guests.join(room, ana, ws=pair.edges[1].ws)
    since = datetime.now(UTC).isoformat()
    rules, abuse = [await witness.say(text) for text in ("be kind", "bad words")]
    await act(owner, "pin", "message_pinned", message_id=rules["id"])
    await act(owner, "policy", "room_policy", changes={"slow_mode_seconds": 30})
    ban = await act(owner, "ban", target_user_id=bob.user_id)
    for minutes in (60, 10):
        await act(chair, "ban", target_user_id=bob.user_id, duration_minutes=minutes)
        await act(chair, "policy", "room_policy", changes={"slow_mode_seconds": minutes})
    await act(chair, "unban", target_user_id=bob.user_id)
    await act(chair, "pin", "message_pinned", message_id=abuse["id"])
    await act(chair, "warn", target_user_id=ana.user_id, reason="because")
    warning = await witness.wait_for("warning")
    undone, not_undone = await undo_all(api, admin, rogue, since)
    assert (len(undone), not_undone) == (7, [])
    assert (await witness.wait_for("warning_closed"))["warning_id"] == warning["warning_id"]
    for who in (witness, owner):
        while (pinned := await who.wait_for("message_pinned"))["message"]["id"] != rules["id"]:
            pass
        assert pinned["message"]["message"] == "be kind"
    policy = await owner.wait_for("room_policy")
    while policy["moderator_user_id"] != admin.user_id or policy["policy"]["slow_mode_seconds"] != 30:
        policy = await owner.wait_for("room_policy")
    await (await guests.connect(f"/chat/ws/room/{room}", bob)).refused("Access denied", 4003)
    rows = (await api.run(LOG, admin, slug=room, first=1))["auditLog"]
    assert rows[0]["action"] == "undo"
    assert ban["action_id"] not in undone
