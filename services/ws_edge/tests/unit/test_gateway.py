"""The door: floods of frames that say nothing, on chat and on /live/ws, before and after the join."""

import pytest
from edge_world import Client, World


async def test_pings_pongs_and_fragments_count_as_frames_in_a_room(world: World) -> None:
    client = await world.join()
    for _ in range(498):
        client.receiver.receive_part()
    client.send("ping")
    assert (client.types, client.closed_with) == (["pong"], None)
    client.receiver.receive_part()
    assert (client.types, client.closed_with) == (["pong", "rate_limited"], 1008)
    client.receiver.receive_part()
    client.hang_up()
    assert world.holds_nothing()


async def test_pings_pongs_and_fragments_count_as_frames_while_joining(world: World) -> None:
    world.moderation.checking.shut()
    client = await world.arrive()
    for _ in range(500):
        client.receiver.receive_part()
    assert (client.types, client.closed_with) == ([], 1008)
    world.moderation.checking.open()
    await world.settle()
    assert world.holds_nothing()


@pytest.mark.parametrize("limit", [5, 0])
async def test_frames_count_on_live_ws_as_well(world: World, limit: int) -> None:
    world.context.frames_per_window = limit
    client = Client(await world.gateway.arrive_live("192.0.2.9"))
    client.receiver.connected(client)
    for _ in range(4):
        client.receiver.receive_part()
    assert (client.types, client.closed_with) == ([], None)
    client.receiver.receive_part()
    client.receiver.receive_part()
    assert (client.types, client.closed_with) == ((["rate_limited"], 1008) if limit else ([], None))
    client.hang_up()
    assert world.holds_nothing()


async def test_texts_and_binaries_are_frames_on_live_ws(world: World) -> None:
    world.context.frames_per_window = 3
    client = Client(await world.gateway.arrive_live("192.0.2.9"))
    client.receiver.connected(client)
    client.receiver.receive_text(b"a")
    client.receiver.receive_binary()
    client.receiver.receive_text(b"b")
    assert (client.types, client.closed_with) == (["invalid_format", "rate_limited"], 1008)
    client.receiver.receive_text(b"c")
    assert world.bus.broadcasts == [b"a"]
