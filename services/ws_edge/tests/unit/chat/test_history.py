"""Older messages: for the one who asks, and not more often than so."""

import json

from edge_world import Client, World


def answers(client: Client) -> list[dict[str, object]]:
    """The data of each answer."""
    found = []
    for frame in client.frames:
        if frame["type"] == "history":
            data = frame["data"]
            assert isinstance(data, dict)
            found.append(data)
    return found


async def test_a_page_tells_whether_there_is_more(world: World) -> None:
    ana = await world.join(token="1")
    for text in ("one", "two", "three"):
        ana.say(text)
        await world.settle()
    ben = await world.join(token="2")
    ben.send("history", limit=2)
    await world.settle()
    ben.send("history", limit=3)
    await world.settle()
    ben.send("history", before=2)
    await world.settle()
    pages = [([m["message"] for m in page["messages"]], page["has_more"]) for page in answers(ben)]  # type: ignore[attr-defined] # JSON
    assert pages == [(["two", "three"], True), (["one", "two", "three"], False), (["one"], False)]
    assert answers(ana) == []


async def test_a_history_that_cannot_be_read_is_service_unavailable(world: World) -> None:
    ben = await world.join(token="2")
    world.bus.is_away = True
    ben.send("history")
    await world.settle()
    assert ben.types == ["unavailable"]


async def test_the_twenty_first_request_in_ten_seconds_is_refused(world: World) -> None:
    ben = await world.join(token="2")
    for _ in range(21):
        ben.send("history")
    await world.settle()
    assert sorted(ben.types) == ["history"] * 20 + ["rate_limited"]
    world.clock.time_s += 10.0
    ben.raw = b""
    ben.send("history")
    await world.settle()
    assert ben.types == ["history"]


async def test_a_client_that_goes_before_its_answer_is_written_nothing(world: World) -> None:
    ben = await world.join(token="2")
    ben.receiver.receive_text(json.dumps({"type": "history"}).encode())
    ben.hang_up()
    await world.settle()
    assert ben.raw == b""
