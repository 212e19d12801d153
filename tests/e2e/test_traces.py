"""A trace goes with a request through every service, and can be found in the log of whoever it reached."""

import asyncio
import json
import secrets
from typing import Any

import httpx
from chat_client import Person, Visitors
from graphql_client import GraphQL
from salon_processes import Edge

LIFT = "mutation($id: SafeInt!) { liftSanction(id: $id) { id active } }"


async def line_of(edge: Edge, event: str, part: str) -> dict[str, Any]:
    """The line about that event with this in it, once the edge has logged it."""
    async with asyncio.timeout(5):
        while True:
            for line in edge.process.text().splitlines():
                if f'"{event}"' in line and part in line:
                    found: dict[str, Any] = json.loads(line)
                    return found
            await asyncio.sleep(0.02)  # a log tells nobody that it grew


async def test_the_trace_of_a_graphql_request_reaches_the_log_of_every_edge_that_applies_what_came_of_it(
    visitors: Visitors,
    http: httpx.AsyncClient,
    graphql: GraphQL,
    edge: Edge,
    second_edge: Edge,
    room: str,
    admin: Person,
    ana: Person,
) -> None:
    chair = await visitors.join(room, admin)
    await chair.send("moderation_action", action="mute", target_user_id=ana.user_id)
    await chair.wait_for("moderation_action", action="mute")
    (mute,) = (await graphql.run("query($s: String) { sanctions(slug: $s) { id } }", admin, s=room))["sanctions"]
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    answer = await http.post(
        "/graphql",
        json={"query": LIFT, "variables": {"id": mute["id"]}},
        headers={"Authorization": f"Bearer {admin.token}", "traceparent": f"00-{trace}-{span}-01"},
    )
    assert answer.json()["data"]["liftSanction"]["active"] is False
    await chair.wait_for("moderation_action", action="unmute")
    for place in (edge, second_edge):
        line = await line_of(place, "sanction_received", trace)
        assert line["event_id"] > 0
        # Every step on the way has a span of its own.
        assert line["trace"].startswith(f"00-{trace}-")
        assert span not in line["trace"]


async def test_the_trace_of_deletechatroom_reaches_the_log_of_every_edge(
    http: httpx.AsyncClient, graphql: GraphQL, edge: Edge, second_edge: Edge, admin: Person, room: str
) -> None:
    made = await graphql.create("Doomed", admin, slug=room)
    trace = secrets.token_hex(16)
    answer = await http.post(
        "/graphql",
        json={"query": f"mutation {{ deleteChatRoom(id: {made['id']}) }}"},
        headers={"Authorization": f"Bearer {admin.token}", "traceparent": f"00-{trace}-{secrets.token_hex(8)}-00"},
    )
    assert answer.json() == {"data": {"deleteChatRoom": True}}
    for place in (edge, second_edge):
        assert (await line_of(place, "room_deleted", trace))["life"] > 0
