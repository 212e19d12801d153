"""A peer that does not read: it goes, alone, and nobody else misses anything."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import pytest_asyncio
from chat_client import Client, Person, Visitors, of_type, person
from salon_processes import Edge, Salon

AT_ONCE = 50
"""Of the 64 messages of a connection that may wait for their outcome."""
SENT_LIMIT = 8_000
"""32 MB: more than any kernel keeps for one connection."""


@pytest.fixture(scope="module")
def talkative(start_salon: Callable[..., Salon]) -> Edge:
    """An edge on which one person may talk as much as a crowd."""
    return start_salon(MODERATION_MESSAGES_PER_WINDOW="1000000", WS_EDGE_FRAMES_PER_WINDOW="0").edges[0]


@pytest_asyncio.fixture
async def guests(talkative: Edge) -> AsyncIterator[Visitors]:
    """Its visitors."""
    opened = Visitors(talkative.ws)
    yield opened
    await opened.close()


async def test_a_peer_that_does_not_read_is_closed_alone_and_the_others_miss_nothing(
    talkative: Edge, guests: Visitors, room: str, ana: Person, bob: Person
) -> None:
    talker, listener = await guests.join(room, ana), await guests.join(room, bob)
    with socket.socket() as deaf:
        await _join_without_reading(deaf, talkative, room)
        await talker.wait_for("user_joined", username="deaf")
        sent = 0
        while not of_type(talker.seen, "user_left"):
            assert sent < SENT_LIMIT, "the peer that does not read stays, whatever is written to it"
            sent = await _talk(talker, sent)
        sent = await _talk(talker, sent)
        await listener.collect_until("chat_message", message=_text(sent - 1))
        for client in (talker, listener):
            heard = [data["message"] for data in of_type(client.seen, "chat_message")]
            assert heard == [_text(number) for number in range(sent)]
            assert [data["username"] for data in of_type(client.seen, "user_left")] == ["deaf"]
        await asyncio.to_thread(_read_to_the_end, deaf)
    async with httpx.AsyncClient(base_url=talkative.http, trust_env=False) as http:
        metrics = (await http.get("/metrics")).text
    closed = [line for line in metrics.splitlines() if "connections_closed_total{" in line]
    assert closed == ['salon_ws_edge_connections_closed_total{code="1013"} 1.0']


async def _join_without_reading(deaf: socket.socket, edge: Edge, room: str) -> None:
    """With as little room in the kernel as there may be."""
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(deaf, ("127.0.0.1", edge.port))
    head = (
        f"GET /chat/ws/room/{room}?token={person('deaf').token} HTTP/1.1\r\nHost: salon\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await loop.sock_sendall(deaf, head.encode())


async def _talk(talker: Client, sent: int) -> int:
    """Say some more, as fast as the answers come; how much was said by then."""
    for number in range(sent, sent + AT_ONCE):
        await talker.send("chat_message", message=_text(number))
    await talker.collect_until("chat_message", message=_text(sent + AT_ONCE - 1))
    return sent + AT_ONCE


def _text(number: int) -> str:
    """As many bytes as a message may have."""
    return f"{number} ".ljust(1000, "𝕏")


def _read_to_the_end(deaf: socket.socket) -> None:
    """What was on its way is still there; then the connection is over, closed or reset."""
    deaf.settimeout(10)
    try:
        while deaf.recv(65536):
            pass
    except ConnectionResetError:
        pass
