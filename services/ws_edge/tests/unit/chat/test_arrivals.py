"""Arrivals: who is turned away is counted; floods of frames that say nothing, before and after the join."""

import pytest
from edge_world import Client, World

from ws_edge.telemetry import Metrics


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


@pytest.mark.parametrize(
    ("world", "limit"), [({"frames_per_window": each}, each) for each in (5, 0)], indirect=["world"]
)
async def test_frames_count_on_live_ws_as_well(world: World, limit: int) -> None:
    client = Client(world.arrivals.arrive_live("192.0.2.9"))
    client.receiver.connected(client)
    for _ in range(4):
        client.receiver.receive_part()
    assert (client.types, client.closed_with) == ([], None)
    client.receiver.receive_part()
    client.receiver.receive_part()
    assert (client.types, client.closed_with) == ((["rate_limited"], 1008) if limit else ([], None))
    client.hang_up()
    assert world.holds_nothing()


@pytest.mark.parametrize("world", [{"frames_per_window": 3}], indirect=True)
async def test_texts_and_binaries_are_frames_on_live_ws(world: World) -> None:
    client = Client(world.arrivals.arrive_live("192.0.2.9"))
    client.receiver.connected(client)
    client.receiver.receive_text(b"a")
    client.receiver.receive_binary()
    client.receiver.receive_text(b"b")
    assert (client.types, client.closed_with) == (["invalid_format", "rate_limited"], 1008)
    client.receiver.receive_text(b"c")
    assert world.bus.broadcasts == [b"a"]


async def test_whoever_is_turned_away_at_the_door_is_counted_by_code(world: World) -> None:
    await world.arrive("s", "rubbish")
    await world.arrive("a b")
    assert world.meter.turned_away_with == ["invalid_token", "not_found"]
    world.limits.of_address = 1
    await world.arrive("s", "1:user")
    await world.arrive("s", "2:user")
    world.arrivals.arrive_live("192.0.2.1")
    assert world.meter.turned_away_with[2:] == ["too_many_connections"] * 2
    world.entrance.drain_state.is_draining = True
    await world.arrive("s", "2:user")
    world.arrivals.arrive_live("192.0.2.1")
    assert world.meter.turned_away_with[4:] == ["unavailable"] * 2
    world.arrivals.turned_away("http_426")
    assert world.meter.turned_away_with[6:] == ["http_426"]


async def test_over_the_limit_of_all_connections_nobody_gets_in_from_any_address_until_one_leaves(world: World) -> None:
    world.limits.in_all = 2
    inside = await world.join("s", "1:user", "192.0.2.1")
    live = Client(world.arrivals.arrive_live("192.0.2.2"))
    live.receiver.connected(live)
    for refused in (await world.arrive("t", "2:user", "192.0.2.3"), Client(world.arrivals.arrive_live("192.0.2.4"))):
        if not refused.types:
            refused.receiver.connected(refused)
        assert (refused.types, refused.closed_with) == (["too_many_connections"], 1013)
    assert world.meter.turned_away_with == ["too_many_connections"] * 2
    live.hang_up()
    await world.join("t", "2:user", "192.0.2.3")
    assert (await world.arrive("t", "3:user", "192.0.2.4")).types == ["too_many_connections"]
    assert (inside.types, inside.closed_with) == ([], None)


async def test_handshakes_over_the_limit_are_counted_as_refused(world: World) -> None:
    world.limits.handshakes.limit = 2
    told = [await world.arrive("s", "1:user") for _ in range(4)]
    assert [client.types for client in told[2:]] == [["too_many_connections"]] * 2
    assert world.meter.turned_away_with == ["too_many_connections"] * 2


async def test_metrics_tell_who_was_refused_by_code() -> None:
    metrics = Metrics()
    metrics.turned_away("invalid_token")
    metrics.turned_away("http_426")
    metrics.turned_away("http_426")
    lines = metrics.render().decode().splitlines()
    assert 'salon_ws_edge_connections_refused_total{code="invalid_token"} 1.0' in lines
    assert 'salon_ws_edge_connections_refused_total{code="http_426"} 2.0' in lines
