"""Races: simultaneous joins, leaves, deaths, bans."""

import asyncio
import contextlib

import pytest
from chat_client import Client, Person, Visitors, of_type, person
from graphql_client import DELETE, GraphQL
from salon_processes import Edge
from websockets.exceptions import ConnectionClosed


async def test_50_first_joins_at_once_make_one_room(visitors: Visitors, second_edge: Edge, room: str) -> None:
    people = [person(f"racer{n}") for n in range(50)]
    clients = await asyncio.gather(
        *(visitors.join(room, who, ws=second_edge.ws if n % 2 else None) for n, who in enumerate(people))
    )
    assert len({client.joined["room_id"] for client in clients}) == 1
    assert sorted(client.joined["connection_count"] for client in clients)[-1] == 50
    await clients[0].say("one room")
    heard = await asyncio.gather(*(client.wait_for("chat_message", message="one room") for client in clients[1:]))
    assert len({message["id"] for message in heard}) == 1


async def test_50_first_joins_of_one_number_at_once_make_one_room(visitors: Visitors) -> None:
    clients = await asyncio.gather(*(visitors.join(88_100, person(f"n{n}")) for n in range(50)))
    assert {client.joined["room_id"] for client in clients} == {88_100}
    assert max(client.joined["connection_count"] for client in clients) == 50


async def test_a_join_against_the_last_leave_gets_a_live_room(visitors: Visitors, second_edge: Edge, room: str) -> None:
    current = await visitors.join(room, person("first"))
    for number in range(15):
        who = person(f"next{number}")
        joining = asyncio.create_task(visitors.join(room, who, ws=second_edge.ws if number % 2 else None))
        leaving = asyncio.create_task(current.leave())
        current = await joining
        message = await current.say(f"alive {number}")
        assert message["room_id"] == current.joined["room_id"]
        await leaving
    assert (await visitors.join(room, person("last"))).joined["connection_count"] == 2


async def test_a_message_in_flight_while_its_room_dies_reaches_no_later_life_under_the_same_number(
    visitors: Visitors, second_edge: Edge
) -> None:
    ids: list[int] = []
    later_lives = 0
    for number in range(10):
        talker = await visitors.join(88_200, person(f"talker{number}"))
        for n in range(5):
            await talker.send("chat_message", message=f"old {number}.{n}")
        talker.vanish() if number % 2 else await talker.leave()
        heir = await visitors.join(88_200, person(f"heir{number}"), ws=second_edge.ws if number % 3 else None)
        message = await heir.say(f"new {number}")
        alone = heir.joined["connection_count"] == 1
        heard = [m["message"] for m in of_type(heir.seen, "chat_message")]
        if alone:
            later_lives += 1
            assert heard == [f"new {number}"], f"a life heard of another one: {heir.seen}"
        ids.append(message["id"])
        await heir.leave()
    assert ids == sorted(set(ids))
    assert later_lives, "the heir came before the room had died, every time"


async def test_a_ban_while_the_target_is_joining_never_leaves_them_inside(
    visitors: Visitors, second_edge: Edge, room: str
) -> None:
    boss = person("boss", "admin")
    chair = await visitors.join(room, boss)
    for number in range(12):
        target = person(f"target{number}")
        arriving = asyncio.create_task(
            visitors.connect(f"/chat/ws/room/{room}", target, ws=second_edge.ws if number % 2 else None)
        )
        await asyncio.sleep(0.002 * number)
        await chair.send("moderation_action", action="ban", target_user_id=target.user_id)
        client = await arriving
        await chair.wait_for("moderation_action", target_user_id=target.user_id)
        with contextlib.suppress(ConnectionClosed):
            await client.send("chat_message", message="made it in?")
        assert await client.closed() == 4003, client.seen
    after = await visitors.join(room, person("after"))
    assert after.joined["connection_count"] == 2
    await chair.wait_for("user_joined", username="after")
    joined = sorted(j["user_id"] for j in of_type(chair.seen, "user_joined") if j["username"] != "after")
    assert joined == sorted(j["user_id"] for j in of_type(chair.seen, "user_left"))


async def test_a_join_against_delete_chat_room_is_not_found_or_in_a_later_life(
    visitors: Visitors, second_edge: Edge, graphql: GraphQL, room: str, ana: Person
) -> None:
    for number in range(16):
        slug = f"{room}-{number}"
        inside = await visitors.join(slug, ana)
        made = await graphql.room(slug=slug)
        assert made is not None
        who, edge = person(f"late{number}"), second_edge.ws if number % 2 else None
        arriving = asyncio.create_task(visitors.connect(f"/chat/ws/room/{slug}", who, ws=edge))
        await asyncio.sleep(0.001 * number)
        await graphql.run(DELETE, person("boss", "admin"), id=made["id"])
        late = await arriving
        assert await inside.closed() == 4004
        try:
            await late.send("chat_message", message="alive")
            (*_, last) = await late.collect_until_any("chat_message", "error")
        except (AssertionError, ConnectionClosed):
            last = {}
        if last.get("type") != "chat_message":
            assert await late.closed() == 4004, late.seen


@pytest.mark.parametrize("after_s", [0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032])
@pytest.mark.parametrize("part", ["half a head", "the head", "the head and a frame"])
async def test_a_client_gone_at_each_step_of_joining_leaves_nothing_behind(
    visitors: Visitors, edge: Edge, room: str, ana: Person, part: str, after_s: float
) -> None:
    watcher = await visitors.join(room, ana)
    ghost = person("ghost")
    head = (
        f"GET /chat/ws/room/{room}?token={ghost.token} HTTP/1.1\r\nHost: salon\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    ).encode()
    _reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(head[:120] if part == "half a head" else head)
    if part == "the head and a frame":
        writer.write(b"\x81\x8f\x00\x00\x00\x00" + b'{"type":"ping"}')
    await writer.drain()
    await asyncio.sleep(after_s)
    writer.transport.abort()
    await _settle_at(visitors, watcher, room, 2)
    joined, left = of_type(watcher.seen, "user_joined"), of_type(watcher.seen, "user_left")
    assert len([j for j in joined if j["user_id"] == ghost.user_id]) == len(
        [j for j in left if j["user_id"] == ghost.user_id]
    )


async def test_a_restricted_room_that_empties_and_is_sought_by_a_stranger_first_stays_restricted(
    visitors: Visitors, second_edge: Edge, graphql: GraphQL, room: str, ana: Person
) -> None:
    made = await graphql.create("Ours", ana, slug=room, isPublic=False)
    for number in range(6):
        owner = await visitors.join(room, ana)
        leaving = asyncio.create_task(owner.leave())
        reference = room if number % 2 else made["id"]
        stranger = await visitors.connect(f"/chat/ws/room/{reference}", person("stranger"), ws=second_edge.ws)
        await stranger.refused("Access denied", 4003)
        await leaving
    assert (await visitors.join(room, ana)).joined["room_id"] == made["id"]


async def test_a_user_who_reconnects_at_once_is_there_and_counted_once(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    watcher = await visitors.join(room, bob)
    client = await visitors.join(room, ana)
    for _ in range(10):
        client.vanish()
        client = await visitors.join(room, ana)
    await client.say("back")
    await _settle_at(visitors, watcher, room, 3)
    balance = len(
        [f for f in watcher.seen if f["type"] == "user_joined" and f["data"]["user_id"] == ana.user_id]
    ) - len([f for f in watcher.seen if f["type"] == "user_left" and f["data"]["user_id"] == ana.user_id])
    assert balance == 1


async def _settle_at(visitors: Visitors, watcher: Client, room: str, expected: int) -> None:
    """Wait until a newcomer is told that count, its own connection included."""
    async with asyncio.timeout(6):
        while True:
            probe = person("probe")
            client = await visitors.join(room, probe)
            await client.leave()
            await watcher.wait_for("user_left", user_id=probe.user_id)
            if client.joined["connection_count"] == expected:
                return
