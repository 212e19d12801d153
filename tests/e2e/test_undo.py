"""Undoing actions, and the audit log: over two edges and two replicas of moderation, on PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from itertools import count

import httpx
import pytest
import pytest_asyncio
import salon_processes
from chat_client import Client, Frame, Person, Visitors, of_type
from graphql_client import GraphQL
from real_postgres import Postgres
from salon_processes import Salon, Shape

NOT_PERMITTED = ("You do not have permission to moderate this room", "not_moderator")
LOG = """query($slug: String, $actor: SafeInt, $action: String, $first: Int, $after: String) {
  auditLog(slug: $slug, actor: $actor, action: $action, first: $first, after: $after) {
    actionId at actorUserId actorRole action targetUserId targetUsername scope slug reason rule durationMinutes
    messageId messageText address policyChanges { field before after } undoes undoneBy completes digest cursor } }"""
VERIFY = """query($slug: String, $after: String) { verifyAudit(slug: $slug, after: $after) {
    whole checked brokenActionId problem lastActionId lastDigest cursor } }"""
UNDO = "mutation($id: SafeInt!) { undoAction(id: $id) { actionId undoes notUndone } }"
UNDO_ALL = """mutation($actorId: SafeInt!, $since: DateTime!) {
  undoAll(actorId: $actorId, since: $since) { undone notUndone left cursor } }"""
_nonces = count(1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[Salon]:
    """Two edges, two replicas of moderation, one database."""
    salon = Salon(tmp_path_factory.mktemp("undo"), {}, Shape(moderation=2, postgres=postgres_server))
    try:
        yield salon.start(edges=2)
    finally:
        salon_processes.stop_all([salon])


@pytest_asyncio.fixture
async def guests(pair: Salon) -> AsyncIterator[Visitors]:
    """Who comes through the first edge."""
    opened = Visitors(pair.edges[0].ws)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def api(pair: Salon) -> AsyncIterator[GraphQL]:
    """GraphQL through the second edge."""
    async with httpx.AsyncClient(base_url=pair.edges[1].http) as http:
        yield GraphQL(http)


async def act(client: Client, action: str, answer: str = "moderation_action", **more: object) -> Frame:
    """Moderate; the moderator's own copy."""
    nonce = f"u{next(_nonces)}"
    await client.send("moderation_action", action=action, nonce=nonce, **more)
    return await client.wait_for(answer, nonce=nonce)


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
