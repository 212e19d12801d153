"""NATS loses its files, has older ones put back, or loses the server that leads a stream: rooms go on with higher ids,
for those inside and newcomers, and nothing that was stored is kept from anybody."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import nats
import pytest
import pytest_asyncio
from chat_client import Client, Person, Visitors, of_type
from salon_processes import Salon, Shape, stop_all, wait_until_ready


@pytest_asyncio.fixture
async def guests(frail: Salon) -> AsyncIterator[Visitors]:
    """Visitors of the Salon whose parts are killed."""
    opened = Visitors(frail.edges[0].ws)
    yield opened
    await opened.close()


async def say_until_heard(client: Client, message: str) -> int:
    """Send again, with the same nonce, until the message has its outcome; its id."""
    async with asyncio.timeout(20):
        while True:
            await client.send("chat_message", message=message, nonce=f"until-{message}"[:64])
            outcome = await client.receive()
            while outcome["type"] != "error" and outcome["data"].get("message") != message:
                outcome = await client.receive()
            if outcome["type"] == "chat_message":
                return int(outcome["data"]["id"])
            await asyncio.sleep(0.2)


def restart_nats(salon: Salon, change: Callable[[], Any]) -> None:
    """Stop the server, do something to its files, and start it again."""
    salon.nats.kill()
    change()
    salon.nats.start()


def remembered(salon: Salon) -> int:
    """The highest sequence that the rooms service has been told."""
    rows = salon.query("rooms", "SELECT highest FROM log_position")
    return int(rows[0][0]) if rows else 0


async def test_after_the_files_of_nats_were_lost_held_rooms_go_on_with_higher_ids(
    frail: Salon, guests: Visitors, room: str, ana: Person, bob: Person
) -> None:
    here, there = await guests.join(room, ana), await guests.join(room, bob, ws=frail.edges[1].ws)
    before = [await say_until_heard(here, f"before {number}") for number in range(3)]
    await there.wait_for("chat_message", id=before[-1])
    await asyncio.to_thread(restart_nats, frail, lambda: shutil.rmtree(frail.folder / "js"))
    after = await say_until_heard(here, "after")
    assert after > before[-1]
    heard = await there.wait_for("chat_message", 15, message="after")
    # An edge that was connected again only behind it reads it from the log, and says that something may be missing.
    assert (heard["id"], heard["prev_id"]) in ((after, 0), (after, after - 256))
    newcomer = await guests.join(room)
    assert newcomer.joined["last_id"] == after
    await there.say("and on")
    assert (await newcomer.wait_for("chat_message"))["prev_id"] == after
    texts = [message["message"] for message in of_type(here.seen, "chat_message")]
    assert texts[:4] == ["before 0", "before 1", "before 2", "after"]


async def test_after_an_older_state_of_nats_was_put_back_ids_go_on_also_for_edges_that_saw_nothing_of_what_was_lost(
    frail: Salon, guests: Visitors, room: str, ana: Person, bob: Person
) -> None:
    here, there = await guests.join(room, ana), await guests.join(room, bob, ws=frail.edges[1].ws)
    older = frail.folder / "older"
    await say_until_heard(here, "kept")
    await asyncio.to_thread(restart_nats, frail, lambda: shutil.copytree(frail.folder / "js", older))
    lost = await say_until_heard(there, "lost")

    def put_back() -> None:
        shutil.rmtree(frail.folder / "js")
        shutil.copytree(older, frail.folder / "js")

    await asyncio.to_thread(restart_nats, frail, put_back)
    after = await say_until_heard(here, "after")
    assert after > lost
    await there.wait_for("chat_message", 15, id=after)

    def wait_until_remembered() -> None:
        deadline = time.monotonic() + 15
        while remembered(frail) < after // 256:
            assert time.monotonic() < deadline, "no heartbeat told of it"
            time.sleep(0.1)

    def restart_all() -> None:
        for edge in frail.edges[:2]:
            edge.process.kill()
        restart_nats(frail, put_back)
        for edge in frail.edges[:2]:
            edge.process.start()
        for edge in frail.edges[:2]:
            wait_until_ready(edge)

    await asyncio.to_thread(wait_until_remembered)
    await asyncio.to_thread(restart_all)
    again = await guests.join(room, ana)
    assert await say_until_heard(again, "by new edges") > after


async def test_an_edge_for_whose_limit_nats_has_no_room_says_so_and_goes_on_with_a_smaller_stream(
    start_salon: Callable[..., Salon],
) -> None:
    salon = start_salon(edges=0)
    greedy = salon.edge_process({"WS_EDGE_STREAM_MAX_BYTES": "999999999999999"})
    salon.edges.append(greedy)
    greedy.process.start()
    await asyncio.to_thread(wait_until_ready, greedy)
    refused = [json.loads(line) for line in greedy.process.text().splitlines() if "stream_limit_refused" in line]
    assert {(line["level"], line["max_bytes"]) for line in refused} == {("error", 999999999999999)}
    assert all(line["kept"] < 999999999999999 for line in refused)
    guests = Visitors(greedy.ws)
    await (await guests.join("room")).say("goes on")
    await guests.close()


@pytest.fixture
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Salon]:
    """Two edges on three NATS servers."""
    salon = Salon(tmp_path_factory.mktemp("salon"), {}, Shape(nats=3))
    yield salon.start(2)
    stop_all([salon])


@pytest.mark.slow
async def test_a_message_that_a_leader_stored_and_told_nobody_of_is_shown_by_every_edge_once_another_one_leads(
    clustered: Salon, room: str, ana: Person, bob: Person
) -> None:
    visitors = Visitors(clustered.edges[0].ws)
    here, there = await visitors.join(room, ana), await visitors.join(room, bob, ws=clustered.edges[1].ws)
    client = await nats.connect(f"nats://127.0.0.1:{clustered.ports['nats'][0]}")
    manager = client.jsm()
    settings = (await manager.stream_info("SALON_LOG_0")).config
    await manager.update_stream(replace(settings, republish=None))  # what it stores is told to nobody
    stored = await say_until_heard(here, "untold")
    await manager.update_stream(settings)
    await client.request("$JS.API.STREAM.LEADER.STEPDOWN.SALON_LOG_0", b"")
    heard = await there.wait_for("chat_message", 20, message="untold")
    assert (heard["id"], heard["prev_id"]) == (stored, 0)
    after = await say_until_heard(here, "after")
    assert (await there.wait_for("chat_message", 15, id=after))["prev_id"] == stored
    await client.close()
    await visitors.close()
