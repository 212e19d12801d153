"""Two edges, one room: the same order, the same presence, one count, sanctions and limits over both."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest
import salon_processes
from chat_client import Client, Person, Visitors, of_type, person
from salon_processes import Edge, Salon

from tools.ports import held_ports


async def test_both_edges_show_the_same_messages_in_the_same_order(
    visitors: Visitors, second_edge: Edge, room: str
) -> None:
    clients = [await visitors.join(room, person(f"a{n}"), ws=None if n % 2 else second_edge.ws) for n in range(6)]
    assert len({client.joined["room_id"] for client in clients}) == 1
    for number in range(8):
        await asyncio.gather(*(c.send("chat_message", message=f"{c.name}/{number}") for c in clients))
    orders = []
    for client in clients:
        orders.append([(m["id"], m["message"]) for m in [await client.wait_for("chat_message") for _ in range(48)]])
    assert all(order == orders[0] for order in orders)
    assert [i for i, _ in orders[0]] == sorted({i for i, _ in orders[0]})


async def test_both_edges_have_the_same_presence_and_one_count(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person, bob: Person
) -> None:
    here = await visitors.join(room, ana)
    there = await visitors.join(room, bob, ws=second_edge.ws)
    assert there.joined["connection_count"] == 2
    await here.wait_for("user_joined", user_id=bob.user_id)
    twin = await visitors.join(room, bob)
    assert twin.joined["connection_count"] == 3
    await there.leave()
    cy = await visitors.join(room, person("cy"), ws=second_edge.ws)
    frames = await here.collect_until("user_joined", username="cy")
    assert [f["type"] for f in frames] == ["user_joined"]
    assert cy.joined["connection_count"] == 3
    await twin.leave()
    for client in (here, cy):
        await client.wait_for("user_left", user_id=bob.user_id)


async def test_typing_crosses_the_edges(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person, bob: Person
) -> None:
    here, there = await visitors.join(room, ana), await visitors.join(room, bob, ws=second_edge.ws)
    await there.send("typing_start")
    await here.wait_for("typing_start", user_id=bob.user_id)
    await there.leave()
    await here.wait_for("typing_stop", user_id=bob.user_id)


async def test_a_ban_on_one_edge_closes_on_the_other_and_holds_there(
    visitors: Visitors, second_edge: Edge, room: str, admin: Person, bob: Person
) -> None:
    chair = await visitors.join(room, admin)
    target = await visitors.join(room, bob, ws=second_edge.ws)
    await chair.send("moderation_action", action="ban", target_user_id=bob.user_id)
    await chair.wait_for("moderation_action")
    again = await visitors.connect(f"/chat/ws/room/{room}", bob, ws=second_edge.ws)
    await again.refused("Access denied", 4003)
    assert await target.closed() == 4003
    assert of_type(target.seen, "moderation_action")[0]["action"] == "ban"


@pytest.mark.parametrize("said_before", [(), ("one", "two")], ids=["who said nothing", "who has just spoken"])
async def test_a_mute_on_one_edge_holds_on_the_other_once_the_moderators_copy_arrived(
    visitors: Visitors, second_edge: Edge, room: str, moderator: Person, said_before: tuple[str, ...]
) -> None:
    chair = await visitors.join(room, moderator)
    for number in range(5):
        target = person(f"t{number}")
        client = await visitors.join(room, target, ws=second_edge.ws)
        for text in said_before:
            await client.send("chat_message", message=text)
            await client.wait_for("chat_message", message=text, user_id=target.user_id)
        await chair.send("moderation_action", action="mute", target_user_id=target.user_id)
        await chair.wait_for("moderation_action", target_user_id=target.user_id)
        await client.send("chat_message", message="too late")
        await client.expect_error("You are muted or banned", "muted_or_banned")


async def test_the_limit_counts_over_both_edges(visitors: Visitors, second_edge: Edge, room: str, ana: Person) -> None:
    here, there = await visitors.join(room, ana), await visitors.join(room, ana, ws=second_edge.ws)
    for number in range(5):
        await here.say(f"here {number}")
        await there.say(f"there {number}")
    for client in (here, there):
        await client.send("chat_message", message="eleven")
        await client.expect_error("Rate limit exceeded", "rate_limited")


async def test_the_limit_counts_exactly_where_a_speaker_goes_on_at_the_other_edge(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person
) -> None:
    here, there = await visitors.join(room, ana), await visitors.join(room, ana, ws=second_edge.ws)
    for number in range(6):
        await here.send("chat_message", message=f"here {number}")
        await here.wait_for("chat_message", message=f"here {number}")
    for number in range(6):
        await there.send("chat_message", message=f"there {number}")
    while len(of_type(there.seen, "chat_message")) < 10 or len(of_type(there.seen, "error")) < 2:
        await there.receive()
    assert {error["code"] for error in of_type(there.seen, "error")} == {"rate_limited"}
    await here.send("chat_message", message="here again")
    await here.expect_error("Rate limit exceeded", "rate_limited")
    said = [frame["message"] for frame in of_type(there.seen, "chat_message")]
    assert said == [*(f"here {number}" for number in range(6)), *(f"there {number}" for number in range(4))]


async def test_an_edge_that_alone_hears_a_speaker_admits_by_itself_and_moderation_counts_what_it_reports(
    tmp_path: Path, ana: Person
) -> None:
    (port,) = held_ports(1)
    salon = Salon(tmp_path, {"MODERATION_METRICS_PORT": str(port)})
    try:
        (edge,) = salon.start().edges
        guests = Visitors(edge.ws)
        client = await guests.join("room", ana)
        for number in range(10):
            await client.say(f"message {number}")
        await client.send("chat_message", message="eleven")
        await client.expect_error("Rate limit exceeded", "rate_limited")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            metrics = (await http.get("/metrics")).text
        (line,) = [line for line in metrics.splitlines() if line.startswith("salon_moderation_reported_total ")]
        # All but the first, unless the machine stood still for longer than a lease.
        assert 5 <= float(line.split()[1]) <= 9
        await guests.close()
    finally:
        salon_processes.stop_all([salon])


async def test_a_nonce_is_recognised_on_the_other_edge(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person
) -> None:
    here, there = await visitors.join(room, ana), await visitors.join(room, ana, ws=second_edge.ws)
    original = await here.say("unsure", nonce="across")
    await there.wait_for("chat_message", id=original["id"])
    await there.send("chat_message", message="unsure", nonce="across")
    again = await there.wait_for("chat_message")
    assert (again["id"], again["nonce"]) == (original["id"], "across")


async def test_live_frames_cross_the_edges(visitors: Visitors, second_edge: Edge) -> None:
    here, there = await visitors.connect("/live/ws"), await visitors.connect("/live/ws", ws=second_edge.ws)
    await here.send_raw("to all edges")
    assert await there.connection.recv() == "to all edges"


async def test_the_room_is_deleted_on_every_edge_together(
    visitors: Visitors, second_edge: Edge, ana: Person, bob: Person
) -> None:
    here, there = await visitors.join(88_001, ana), await visitors.join(88_001, bob, ws=second_edge.ws)
    await here.say("first life")
    await asyncio.gather(here.leave(), there.leave())
    back = await visitors.join(88_001, bob, ws=second_edge.ws)
    await back.say("second life")
    assert [m["message"] for m in of_type(back.seen, "chat_message")] == ["second life"]


async def test_reactions_of_both_edges_are_added_up_and_told_on_both(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person, bob: Person
) -> None:
    here, there = await visitors.join(room, ana), await visitors.join(room, bob, ws=second_edge.ws)
    said = await here.say("hello")
    await there.wait_for("chat_message", id=said["id"])
    for client in (here, there):
        for _ in range(3):
            await client.send("reaction", emoji="❤️")
        await client.send("reaction", emoji="😂", message_id=said["id"])
    wanted = {"counts": {"❤️": 6}, "messages": {str(said["id"]): {"😂": 2}}}
    for client in (here, there):
        assert await _sums(client, 8) == wanted
    await there.send("reaction", emoji="❤️", message_id=said["id"] + 1)
    await there.expect_error("Not found", "not_found")


async def _sums(client: Client, number: int) -> dict[str, dict[str, object]]:
    """What a client is told until there were so many."""
    counts: Counter[str] = Counter()
    messages: dict[str, Counter[str]] = {}
    while sum(counts.values()) + sum(sum(each.values()) for each in messages.values()) < number:
        told = await client.wait_for("reactions")
        counts.update(told["counts"])
        for message_id, each in told["messages"].items():
            messages.setdefault(message_id, Counter()).update(each)
    return {"counts": dict(counts), "messages": {key: dict(each) for key, each in messages.items()}}
