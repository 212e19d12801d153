"""Cases and notes: over two edges and two replicas of moderation, on PostgreSQL."""

import asyncio

from chat_client import Frame, Person, Visitors
from graphql_client import GraphQL
from salon_processes import Salon

CASE = """query($slug: String!, $userId: SafeInt) { userCase(slug: $slug, userId: $userId) {
  sanctions { action reason } warnings { reason state } notes { text authorUserId } reports { category messageText }
  names firstSeen lastSeen messages { id text } } }"""
ADD = """mutation($slug: String!, $userId: SafeInt, $text: String!) {
  addNote(slug: $slug, userId: $userId, text: $text) { id } }"""
DELETE = "mutation($id: SafeInt!) { deleteNote(id: $id) }"


async def test_a_case_gathers_what_is_known_of_somebody_for_the_moderators_of_the_room_alone(
    guests: Visitors,
    pair: Salon,
    api: GraphQL,
    room: str,
    admin: Person,
    moderator: Person,
    ana: Person,
    bob: Person,
) -> None:
    chair, target = await guests.join(room, moderator), await guests.join(room, ana, ws=pair.edges[1].ws)
    viewer = await guests.join(room, bob)
    ids = [(await target.say(text))["id"] for text in ("hello", "buy now")]
    await viewer.send("report", message_id=ids[1], category="spam")
    await viewer.wait_for("reported")
    await chair.send("moderation_action", action="delete", message_id=ids[1])
    await target.wait_for("message_deleted")
    await chair.send("moderation_action", action="warn", target_user_id=ana.user_id, reason="No ads")
    warning = await target.wait_for("warning")
    await target.send("acknowledge_warning", warning_id=warning["warning_id"])
    await target.wait_for("warning_closed")
    await chair.send("moderation_action", action="mute", target_user_id=ana.user_id, reason="ads", duration_minutes=5)
    await target.wait_for("moderation_action", action="mute")
    note = (await api.run(ADD, moderator, slug=room, userId=ana.user_id, text="sells shoes"))["addNote"]["id"]
    async with asyncio.timeout(10):  # who was seen is written within a second or so
        case: Frame = {"names": []}
        while not case["names"]:
            await asyncio.sleep(0.1)
            case = (await api.run(CASE, moderator, slug=room, userId=ana.user_id))["userCase"]
    assert case.pop("firstSeen") <= case.pop("lastSeen")
    assert case == {
        "sanctions": [{"action": "mute", "reason": "ads"}],
        "warnings": [{"reason": "No ads", "state": "ACKNOWLEDGED"}],
        "notes": [{"text": "sells shoes", "authorUserId": moderator.user_id}],
        "reports": [{"category": "SPAM", "messageText": "buy now"}],
        "names": [ana.username],
        "messages": [{"id": ids[0], "text": "hello"}],
    }
    assert await api.refusal(CASE, bob, slug=room, userId=ana.user_id) == "FORBIDDEN"
    assert await api.refusal(DELETE, bob, id=note) == "NOT_FOUND"
    assert await api.run(DELETE, admin, id=note) == {"deleteNote": True}
    assert (await api.run(CASE, moderator, slug=room, userId=ana.user_id))["userCase"]["notes"] == []
