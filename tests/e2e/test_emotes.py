"""Emotes, reactions with them, and blocks: from GraphQL over rooms to what clients of two edges are shown."""

import asyncio
from typing import Any

from chat_client import Client, Person, Visitors
from graphql_client import GraphQL
from salon_processes import Edge

SAVE = """mutation($name: String!, $url: String!, $slug: String) {
  saveEmote(name: $name, url: $url, slug: $slug) { name slug } }"""
DELETE = "mutation($name: String!, $slug: String) { deleteEmote(name: $name, slug: $slug) }"
KAPPA, WAVE = "https://cdn.example/kappa.png", "https://cdn.example/wave.png"
WITHIN_S = 8


async def until_shown(client: Client, text: str, emotes: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Say it until it is shown like this: edges go by a change within some seconds."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            said = await client.say(text)
            if said.get("emotes") == emotes:
                return said
            await asyncio.sleep(1.1)


async def test_an_emote_of_the_creator_is_shown_on_both_edges_live_in_history_and_to_who_comes_back(
    visitors: Visitors, second_edge: Edge, graphql: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    await graphql.create("Room", ana, slug=room)
    assert await graphql.refusal(SAVE, bob, name="Kappa", url=KAPPA, slug=room) == "FORBIDDEN"
    await graphql.run(SAVE, ana, name="Kappa", url=KAPPA, slug=room)
    here, there = await visitors.join(room, ana), await visitors.join(room, bob, ws=second_edge.ws)
    wanted = [{"name": "Kappa", "url": KAPPA, "start": 2, "end": 9}]
    said = await here.say("😀 :Kappa: :nothing:")
    assert said["emotes"] == wanted
    seen = await there.wait_for("chat_message", id=said["id"])
    assert (seen["message"], seen["emotes"]) == ("😀 :Kappa: :nothing:", wanted)
    await there.send("history")
    assert (await there.wait_for("history"))["messages"][0]["emotes"] == wanted
    back = await visitors.join(f"{room}?since={said['prev_id']}&epoch={here.joined['epoch']}", bob)
    assert (await back.expect("chat_message"))["emotes"] == wanted
    await there.send("reaction", emoji="Kappa", message_id=said["id"])
    for client in (here, there):
        told = await client.wait_for("reactions")
        assert told == {"counts": {}, "messages": {str(said["id"]): {":Kappa:": 1}}}
    await there.send("reaction", emoji=":nothing:")
    await there.expect_error("Not found", "not_found")


async def test_a_change_of_emotes_reaches_rooms_that_are_open_already(
    visitors: Visitors, second_edge: Edge, graphql: GraphQL, room: str, ana: Person, admin: Person
) -> None:
    there = await visitors.join(room, ana, ws=second_edge.ws)
    assert "emotes" not in await there.say(":wave:")
    await graphql.run(SAVE, admin, name="wave", url=WAVE, slug=room)
    await until_shown(there, ":wave:", [{"name": "wave", "url": WAVE, "start": 0, "end": 6}])
    await graphql.run(SAVE, admin, name="wave", url=KAPPA, slug=room)
    await until_shown(there, ":wave:!", [{"name": "wave", "url": KAPPA, "start": 0, "end": 6}])
    await graphql.run(DELETE, admin, name="wave", slug=room)
    await until_shown(there, ":wave:?", None)


async def test_an_emote_of_everywhere_is_shown_in_any_room(
    visitors: Visitors, graphql: GraphQL, room: str, ana: Person, admin: Person
) -> None:
    name = f"everywhere{admin.user_id}"
    here = await visitors.join(room, ana)
    await graphql.run(SAVE, admin, name=name, url=WAVE)
    try:
        end = len(name) + 2
        await until_shown(here, f":{name}:", [{"name": name, "url": WAVE, "start": 0, "end": end}])
        assert (await graphql.run("query($s: String) { emotes(slug: $s) { name slug } }", s=room))["emotes"] == [
            {"name": name, "slug": None}
        ]
    finally:
        await graphql.run(DELETE, admin, name=name)


async def test_whom_a_user_has_blocked_is_told_when_they_come_in(
    visitors: Visitors, second_edge: Edge, graphql: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    assert (await visitors.join(room, ana)).joined["you"]["blocked"] == []
    await graphql.run("mutation($id: SafeInt!) { block(userId: $id) }", ana, id=bob.user_id)
    client = await visitors.join(room, ana, ws=second_edge.ws)
    assert client.joined["you"]["blocked"] == [bob.user_id]
    talker = await visitors.join(room, bob)
    assert talker.joined["you"]["blocked"] == []
    said = await talker.say("hello")
    await client.wait_for("chat_message", id=said["id"])
    assert "blocked" not in (await visitors.join(room)).joined["you"]
