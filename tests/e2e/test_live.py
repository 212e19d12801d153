"""/live/ws: everything to everyone, no token, no rooms."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from chat_client import Client, Person, Visitors, person
from httpx import AsyncClient
from salon_processes import Salon


@pytest_asyncio.fixture
async def pair(visitors: Visitors) -> AsyncIterator[tuple[Client, Client]]:
    """Two connections to /live/ws."""
    yield await visitors.connect("/live/ws"), await visitors.connect("/live/ws")


@pytest.mark.parametrize(
    "text", ["hello", "", '{"any":"json"}', "not json {", "é𝕏\x00", "x" * 4096], ids=lambda t: ascii(t[:12])
)
async def test_each_text_frame_goes_as_it_is_to_everyone_the_sender_included(
    pair: tuple[Client, Client], text: str
) -> None:
    first, second = pair
    await first.send_raw(text)
    assert await first.connection.recv() == text
    assert await second.connection.recv() == text


async def test_a_frame_over_4_kib_closes_with_1009(pair: tuple[Client, Client]) -> None:
    first, second = pair
    await first.send_raw("x" * 4097)
    assert await first.closed() == 1009
    await second.send_raw("still here")
    assert await second.connection.recv() == "still here"


async def test_a_binary_frame_is_answered_with_the_error_frame(pair: tuple[Client, Client]) -> None:
    first, second = pair
    await first.send_raw(b"\x00\x01")
    await first.expect_error("Invalid message format", "invalid_format")
    await second.send_raw("marker")
    assert await second.connection.recv() == "marker"


async def test_the_eleventh_frame_in_10_seconds_is_answered_with_rate_limit_exceeded(
    pair: tuple[Client, Client],
) -> None:
    first, second = pair
    for number in range(10):
        await first.send_raw(str(number))
        assert await first.connection.recv() == str(number)
    await first.send_raw("10")
    await first.expect_error("Rate limit exceeded", "rate_limited")
    await second.send_raw("marker")
    heard = [await second.connection.recv() for _ in range(11)]
    assert heard == [*(str(n) for n in range(10)), "marker"]


async def test_it_is_not_in_the_statistics_and_an_invalid_token_does_not_matter(
    choosy: Salon, choosy_visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    # The shared Salon is no place to count: people come and go there while this test runs.
    room_id = (await choosy_visitors.join(room, ana)).joined["room_id"]
    alone = {"total_connections": 1, "active_rooms": 1, "rooms": {str(room_id): 1}}
    async with asyncio.timeout(8):
        while await _stats(choosy) != alone:  # noqa: ASYNC110 - those of the test before are still leaving
            await asyncio.sleep(0.05)
    for number in range(3):
        listener = await choosy_visitors.connect("/live/ws?token=rubbish")
        await listener.send_raw(f"here {number}")
        assert await listener.connection.recv() == f"here {number}"
    await choosy_visitors.join(room, bob)  # who is counted: by then whoever came before would be
    assert await _stats(choosy) == {"total_connections": 2, "active_rooms": 1, "rooms": {str(room_id): 2}}


async def _stats(salon: Salon) -> object:
    boss = person("boss", "admin")
    async with AsyncClient(base_url=salon.edges[0].http, trust_env=False) as http:
        answer = await http.get("/monitoring/chat/stats", headers={"Authorization": f"Bearer {boss.token}"})
    return answer.json()
