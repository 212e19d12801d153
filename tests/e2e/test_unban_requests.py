"""Unban requests: over two edges and two replicas of moderation, on PostgreSQL."""

from datetime import datetime, timedelta
from typing import Any

from chat_client import Frame, Person, Visitors
from graphql_client import GraphQL
from salon_processes import Salon

ASK = """mutation($id: SafeInt!, $text: String!) { requestUnban(sanctionId: $id, text: $text) {
  id slug userId username text state } }"""
LIST = """query($slug: String, $mine: Boolean, $state: UnbanRequestState) {
  unbanRequests(slug: $slug, mine: $mine, state: $state) { id text state closedBy note } }"""
DECIDE = """mutation($id: SafeInt!, $decision: UnbanDecision!, $note: String) {
  decideUnbanRequest(id: $id, decision: $decision, note: $note) { state closedBy note } }"""
AUDIT = "query($slug: String) { auditLog(slug: $slug) { action actorUserId targetUserId reason } }"


async def at_the_door(guests: Visitors, room: str, who: Person, **how: Any) -> Frame:
    """What a banned user reads."""
    client = await guests.connect(f"/chat/ws/room/{room}", who, **how)
    told = await client.expect("error", message="Access denied", code="access_denied")
    assert await client.closed() == 4003
    return told


async def test_a_banned_user_reads_that_they_may_ask_asks_and_comes_in_again_once_it_is_approved(
    guests: Visitors,
    pair: Salon,
    api: GraphQL,
    room: str,
    admin: Person,
    moderator: Person,
    ana: Person,
    bob: Person,
) -> None:
    chair, other = await guests.join(room, admin), await guests.join(room, bob, ws=pair.edges[1].ws)
    await chair.send("moderation_action", action="ban", target_user_id=ana.user_id, reason="spam")
    await other.wait_for("moderation_action", action="ban")
    told = [await at_the_door(guests, room, ana, ws=edge.ws) for edge in pair.edges]
    sanction_id = told[0]["sanction"]["id"]
    expected = {
        "message": "Access denied",
        "code": "access_denied",
        "sanction": {"id": sanction_id, "reason": "spam", "expires_at": None, "can_appeal": True},
    }
    assert told == [expected, expected]
    for who in (bob, admin):
        assert await api.refusal(ASK, who, id=sanction_id, text="let them in") == "NOT_FOUND"
    first = (await api.run(ASK, ana, id=sanction_id, text="sorry"))["requestUnban"]
    assert first == {
        "id": first["id"],
        "slug": room,
        "userId": ana.user_id,
        "username": ana.username,
        "text": "sorry",
        "state": "OPEN",
    }
    assert (await at_the_door(guests, room, ana))["sanction"]["can_appeal"] is False
    assert await api.refusal(ASK, ana, id=sanction_id, text="please") == "CONFLICT"
    assert [each["id"] for each in (await api.run(LIST, moderator, slug=room))["unbanRequests"]] == [first["id"]]
    assert await api.refusal(LIST, bob, slug=room) == "FORBIDDEN"
    assert await api.refusal(DECIDE, moderator, id=first["id"], decision="APPROVE") == "FORBIDDEN"
    approved = await api.run(DECIDE, admin, id=first["id"], decision="APPROVE", note="welcome back")
    assert approved["decideUnbanRequest"] == {
        "state": "APPROVED",
        "closedBy": admin.user_id,
        "note": "welcome back",
    }
    for client in (chair, other):
        unbanned = await client.wait_for("moderation_action", action="unban")
        assert (unbanned["target_user_id"], unbanned["moderator_user_id"]) == (ana.user_id, admin.user_id)
    await (await guests.join(room, ana, ws=pair.edges[1].ws)).say("thanks")
    assert await api.refusal(DECIDE, admin, id=first["id"], decision="DENY") == "CONFLICT"
    newest = (await api.run(AUDIT, admin, slug=room))["auditLog"][0]
    assert newest == {
        "action": "unban",
        "actorUserId": admin.user_id,
        "targetUserId": ana.user_id,
        "reason": "welcome back",
    }


async def test_a_denied_one_may_not_ask_again_for_a_day_and_reads_why(
    guests: Visitors, api: GraphQL, room: str, admin: Person, ana: Person
) -> None:
    chair = await guests.join(room, admin)
    await chair.send("moderation_action", action="ban", target_user_id=ana.user_id, duration_minutes=60)
    banned = await chair.wait_for("moderation_action", action="ban")
    sanction = (await at_the_door(guests, room, ana))["sanction"]
    sanction_id = sanction["id"]
    assert sanction == {
        "id": sanction_id,
        "reason": "",
        "expires_at": sanction["expires_at"],
        "can_appeal": True,
    }
    lasts = datetime.fromisoformat(sanction["expires_at"]) - datetime.fromisoformat(banned["timestamp"])
    assert abs(lasts - timedelta(hours=1)) < timedelta(seconds=1)
    asked = (await api.run(ASK, ana, id=sanction_id, text="sorry"))["requestUnban"]
    await api.run(DECIDE, admin, id=asked["id"], decision="DENY", note="not yet")
    assert await at_the_door(guests, room, ana) == {
        "message": "Access denied",
        "code": "access_denied",
        "sanction": {**sanction, "can_appeal": False},
    }
    assert await api.refusal(ASK, ana, id=sanction_id, text="please") == "CONFLICT"
    (mine,) = (await api.run(LIST, ana, mine=True, state=None))["unbanRequests"]
    assert mine == {
        "id": asked["id"],
        "text": "sorry",
        "state": "DENIED",
        "closedBy": admin.user_id,
        "note": "not yet",
    }
    newest = (await api.run(AUDIT, admin, slug=room))["auditLog"][0]
    assert (newest["action"], newest["reason"]) == ("deny_unban", "not yet")
