"""Revoking tokens, over two edges and two replicas of moderation, on PostgreSQL: "sockets closed within 1 s on every
edge, refused until they expire; tokens without iat count as older" (moderation.md, "Where it holds")."""

import asyncio
import time

from chat_client import Client, Person, Visitors, in_an_hour, mint, person
from graphql_client import GraphQL
from salon_processes import Salon

OF_USER = """mutation($userId: SafeInt!, $before: DateTime, $reason: String) {
  revokeTokens(userId: $userId, before: $before, reason: $reason) { actionId before until } }"""
ONE = "mutation($jti: String!) { revokeToken(jti: $jti) { actionId before until } }"
BLOCKED = "{ blocked }"
AUDIT = """query($action: String!) { auditLog(action: $action, first: 1) {
  actionId action targetUserId scope slug reason } }"""


def bearer(who: Person, **claims: object) -> Person:
    """The same person with another token."""
    return Person(who.user_id, who.username, mint({"user_id": who.user_id, "exp": in_an_hour(), **claims}))


async def closed_as_expired(*clients: Client) -> None:
    for client in clients:
        await client.expect_error("Invalid token", "invalid_token")
        assert await client.closed() == 1008


async def test_the_tokens_of_a_user_end_on_every_edge_and_one_that_is_issued_later_does_not(
    guests: Visitors, pair: Salon, api: GraphQL, room: str, admin: Person, ana: Person, bob: Person
) -> None:
    there = pair.edges[1].ws
    dated = bearer(ana, iat=time.time() - 5)
    targets = [
        await guests.join(room, ana),
        await guests.join(room, dated, ws=there),
        await guests.join("other", dated),
    ]
    witness = await guests.join(room, bob, ws=there)
    revoked = (await api.run(OF_USER, admin, userId=ana.user_id, reason="Stolen"))["revokeTokens"]
    async with asyncio.timeout(1):
        await closed_as_expired(*targets)
    for ws in (guests.ws, there):
        for old in (ana, dated):
            await (await guests.connect(f"/chat/ws/room/{room}", old, ws=ws)).refused("Invalid token", 1008)
    answer = await api.http.post("/graphql", json={"query": BLOCKED}, headers={"Authorization": f"Bearer {ana.token}"})
    assert answer.status_code == 401
    later = bearer(ana, iat=time.time() + 1)
    back = await guests.join(room, later, ws=there)
    await back.send("authenticate", token=dated.token)
    await back.expect_error("Invalid token", "invalid_token")
    assert (await api.run(BLOCKED, later))["blocked"] == []
    await witness.wait_for("user_left", user_id=ana.user_id)
    assert (await api.run(AUDIT, admin, action="revoke_tokens"))["auditLog"] == [
        {
            "actionId": revoked["actionId"],
            "action": "revoke_tokens",
            "targetUserId": ana.user_id,
            "scope": "everywhere",
            "slug": None,
            "reason": "Stolen",
        }
    ]


async def test_one_token_ends_by_its_jti_and_the_others_of_its_user_do_not(
    guests: Visitors, pair: Salon, api: GraphQL, room: str, admin: Person, ana: Person
) -> None:
    jti = f"jti-{ana.user_id}"
    leaked, other = bearer(ana, jti=jti), bearer(ana, jti=f"{jti}-2")
    target, kept = await guests.join(room, leaked), await guests.join(room, other, ws=pair.edges[1].ws)
    await api.run(ONE, admin, jti=jti)
    await closed_as_expired(target)
    await (await guests.connect(f"/chat/ws/room/{room}", leaked, ws=pair.edges[1].ws)).refused("Invalid token", 1008)
    await kept.say("still here")


async def test_what_no_event_told_ends_within_two_seconds_on_every_edge(
    guests: Visitors, pair: Salon, room: str, ana: Person
) -> None:
    targets = [await guests.join(room, ana), await guests.join(room, ana, ws=pair.edges[1].ws)]
    now_ms = int(time.time() * 1000)
    # As a replica does that has lost NATS: the row alone.
    newest = f"SELECT GREATEST(COALESCE(MAX(version), 0) + 1, {now_ms}) FROM revocation"
    values = f"'u:{ana.user_id}', {ana.user_id}, '', {now_ms}, {now_ms + 3_600_000}"
    columns = "key, user_id, jti, before_ms, until_ms, version"
    statement = f"INSERT INTO revocation ({columns}) VALUES ({values}, ({newest})) RETURNING key"
    assert pair.query("moderation", statement)[0] == (f"u:{ana.user_id}",)
    async with asyncio.timeout(2):
        await closed_as_expired(*targets)


async def test_nobody_revokes_their_own_or_those_of_an_equal_rank_that_is_connected(
    guests: Visitors, api: GraphQL, room: str, admin: Person, moderator: Person, ana: Person
) -> None:
    peer = person("peer", "admin")
    await guests.join(room, peer)
    for who, target in ((moderator, ana), (admin, admin), (admin, peer)):
        assert await api.refusal(OF_USER, who, userId=target.user_id) == "FORBIDDEN"
    root = person("root", "superuser")
    assert (await api.run(OF_USER, root, userId=peer.user_id))["revokeTokens"]["before"]
