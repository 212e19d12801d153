"""Erasing a user, over two edges and two replicas of moderation, on PostgreSQL."""

from chat_client import Person, Visitors
from graphql_client import GraphQL
from salon_processes import Salon

ERASE = 'mutation($userId: SafeInt!) { eraseUser(userId: $userId, reason: "Asked for it") { actionId purged } }'
VERIFY = "query($slug: String) { verifyAudit(slug: $slug) { whole checked } }"
PEOPLE = "query($slug: String!) { chatRoom(slug: $slug) { participants { userId username } } }"
BLOCK = "mutation($userId: SafeInt!) { block(userId: $userId) }"
BLOCKED = "{ blocked }"
AUDIT = """query($slug: String!) { auditLog(slug: $slug, action: "delete", first: 1) { messageText targetUserId } }"""


async def test_what_is_kept_of_a_user_goes_in_every_room_and_a_mute_stays_and_the_chain_is_whole(
    guests: Visitors, pair: Salon, api: GraphQL, room: str, admin: Person, ana: Person, bob: Person
) -> None:
    there = pair.edges[1].ws
    chair, witness = await guests.join(room, admin), await guests.join(f"{room}-2", bob, ws=there)
    author, again = await guests.join(room, ana), await guests.join(f"{room}-2", ana)
    said, deleted = await author.say("my number is 555"), await author.say("my street is Elm")
    await again.say("here as well")
    await chair.send("moderation_action", action="delete", message_id=deleted["id"])
    await chair.wait_for("message_deleted")
    await api.run(BLOCK, ana, userId=bob.user_id)
    await chair.send("moderation_action", action="mute", target_user_id=ana.user_id, duration_minutes=60)
    await author.wait_for("moderation_action")
    await author.leave()
    await again.leave()
    await witness.wait_for("user_left", user_id=ana.user_id)
    erased = (await api.run(ERASE, admin, userId=ana.user_id))["eraseUser"]
    assert sorted(erased["purged"]) == sorted([room, f"{room}-2"])
    told = await chair.wait_for("messages_purged", user_id=ana.user_id)
    assert told["username"] == f"user_{ana.user_id}"
    await witness.wait_for("messages_purged", user_id=ana.user_id)
    await chair.send("history", limit=50)
    page = await chair.wait_for("history")
    assert said["id"] not in [message["id"] for message in page["messages"]]
    people = (await api.run(PEOPLE, admin, slug=room))["chatRoom"]["participants"]
    assert {"userId": ana.user_id, "username": f"user_{ana.user_id}"} in people
    assert (await api.run(BLOCKED, ana))["blocked"] == []
    (row,) = (await api.run(AUDIT, admin, slug=room))["auditLog"]
    assert (row["messageText"], row["targetUserId"]) == (None, ana.user_id)
    for slug in (room, f"{room}-2", None):
        assert (await api.run(VERIFY, admin, slug=slug))["verifyAudit"]["whole"]
    back = await guests.join(room, ana, ws=there)
    await back.send("chat_message", message="still muted", nonce="m")
    await back.expect_error("You are muted or banned", "muted_or_banned", nonce="m")
