"""Reports of viewers: over two edges and two replicas of moderation, on PostgreSQL."""

from chat_client import Client, Person, Visitors, of_type, person
from graphql_client import GraphQL
from salon_processes import Salon

REPORTS = """query($slug: String, $state: ReportState) { reports(slug: $slug, state: $state) {
  id slug category note reporterUserId reporterUsername targetUserId targetUsername messageId messageText
  beforeIds afterIds state closedBy } }"""
RESOLVE = """mutation($id: SafeInt!, $resolution: ReportResolution!) {
  resolveReport(id: $id, resolution: $resolution, reason: "seen") { id state closedBy } }"""
AUDIT = """query($slug: String) { auditLog(slug: $slug, action: "resolve_report") {
  actorUserId targetUserId reason messageId messageText } }"""
NOT_ALLOWED = ("You do not have permission to moderate this room", "not_moderator")


async def report(client: Client, message_id: int, nonce: str, *, category: str = "spam", note: str = "") -> None:
    """Report a message, and be told that it is."""
    await client.send("report", message_id=message_id, category=category, note=note, nonce=nonce)
    assert await client.wait_for("reported") == {"message_id": message_id, "nonce": nonce}


async def test_a_report_keeps_the_message_when_it_and_the_room_are_gone_and_is_decided_once(
    guests: Visitors, pair: Salon, api: GraphQL, room: str, moderator: Person, ana: Person, bob: Person
) -> None:
    author, viewer = await guests.join(room, ana), await guests.join(room, bob, ws=pair.edges[1].ws)
    ids = [(await author.say(text))["id"] for text in ("hello", "buy now", "bye")]
    await report(viewer, ids[1], "r1", category="hate", note="again")
    await report(viewer, ids[1], "r2")
    await viewer.send("report", target_user_id=ana.user_id, category="other")
    assert await viewer.wait_for("reported") == {}
    told = [frame["type"] for frame in await author.frames_before_pong()]
    assert "reported" not in told
    await author.send("moderation_action", action="delete", message_id=ids[1])
    await viewer.wait_for("message_deleted", message_id=ids[1])
    await viewer.send("report", message_id=ids[1], category="spam", nonce="r3")
    assert await viewer.wait_for("reported") == {"message_id": ids[1], "nonce": "r3"}
    late = await guests.join(room, person("Late"))
    await late.send("report", message_id=ids[1], category="spam", nonce="r4")
    await late.expect_error("Not found", "not_found", nonce="r4")
    for client in (author, viewer, late):
        await client.leave()
    of_person, of_message = (await api.run(REPORTS, moderator, slug=room))["reports"]
    assert (of_person["targetUserId"], of_person["messageId"], of_person["category"]) == (ana.user_id, None, "OTHER")
    assert of_message == {
        "id": of_message["id"],
        "slug": room,
        "category": "HATE",
        "note": "again",
        "reporterUserId": bob.user_id,
        "reporterUsername": bob.username,
        "targetUserId": ana.user_id,
        "targetUsername": ana.username,
        "messageId": ids[1],
        "messageText": "buy now",
        "beforeIds": [ids[0]],
        "afterIds": [ids[2]],
        "state": "OPEN",
        "closedBy": None,
    }
    resolved = await api.run(RESOLVE, moderator, id=of_message["id"], resolution="ACTIONED")
    assert resolved["resolveReport"] == {"id": of_message["id"], "state": "ACTIONED", "closedBy": moderator.user_id}
    assert await api.refusal(RESOLVE, moderator, id=of_message["id"], resolution="DISMISSED") == "CONFLICT"
    assert await api.refusal(RESOLVE, bob, id=of_person["id"], resolution="DISMISSED") == "NOT_FOUND"
    assert [each["id"] for each in (await api.run(REPORTS, moderator, slug=room))["reports"]] == [of_person["id"]]
    assert (await api.run(AUDIT, moderator, slug=room))["auditLog"] == [
        {
            "actorUserId": moderator.user_id,
            "targetUserId": ana.user_id,
            "reason": "seen",
            "messageId": ids[1],
            "messageText": None,
        }
    ]


async def test_five_in_ten_minutes_through_whichever_edge_and_nobody_who_is_not_signed_in(
    guests: Visitors, pair: Salon, room: str, ana: Person, bob: Person
) -> None:
    author = await guests.join(room, ana)
    here, there = await guests.join(room, bob), await guests.join(room, bob, ws=pair.edges[1].ws)
    ids = [(await author.say(f"m{number}"))["id"] for number in range(6)]
    for number in range(5):
        await report((here, there)[number % 2], ids[number], f"r{number}")
    await report(there, ids[0], "again")
    for client in (here, there):
        await client.send("report", message_id=ids[5], category="spam", nonce="r5")
        refused = await client.expect_error("Rate limit exceeded", "rate_limited", nonce="r5")
        assert 590_000 < refused["retry_after_ms"] <= 600_000
    await author.send("report", message_id=ids[0], category="spam", nonce="own")
    await author.expect_error(*NOT_ALLOWED, nonce="own")
    stranger = await guests.join(room)
    await stranger.send("report", message_id=ids[0], category="spam", nonce="s")
    await stranger.expect_error(*NOT_ALLOWED, nonce="s")
    assert not of_type(await author.frames_before_pong(), "reported")
