"""/live/ws: everything to everyone, no token, no rooms."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from chat_client import Client, Person, Visitors, person
from httpx import AsyncClient


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
    visitors: Visitors, http: AsyncClient
) -> None:
    await visitors.connect("/live/ws?token=rubbish")
    boss: Person = person("boss", "admin")
    stats = await http.get("/monitoring/chat/stats", headers={"Authorization": f"Bearer {boss.token}"})
    assert stats.json()["total_connections"] == sum(stats.json()["rooms"].values())
