"""The client of these tests fails where a frame is not one of docs/api/asyncapi.yaml."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from chat_client import Client, Person, Visitors
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

Talk = Callable[..., Awaitable[Client]]


@pytest_asyncio.fixture
async def told() -> AsyncIterator[Talk]:
    """Gives a client that is sent these frames by a server that is not Salon."""
    opened: list[Client] = []

    async def open_client(*frames: str) -> Client:
        async def speak(connection: ServerConnection) -> None:
            for frame in frames:
                await connection.send(frame)
            await connection.wait_closed()

        server = await serve(speak, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = Client(await connect(f"ws://127.0.0.1:{port}/", proxy=None))
        opened.append(client)
        server.close(close_connections=False)
        return client

    yield open_client
    for client in opened:
        await client.leave()


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"news","data":{}}',
        '{"type":"pong","data":{"at":1}}',
        '{"type":"pong"}',
        '{"type":"user_left","data":{"username":"ana","user_id":"7"}}',
        '{"type":"error","data":{"message":"Not found","code":"nowhere"}}',
    ],
)
async def test_a_frame_that_the_document_does_not_know_fails_the_test(told: Talk, frame: str) -> None:
    client = await told('{"type":"pong","data":{}}', frame)
    await client.expect("pong")
    with pytest.raises(AssertionError, match="no frame of the contract"):
        await client.receive()


async def test_so_does_one_that_comes_before_the_close(told: Talk) -> None:
    client = await told('{"type":"news","data":{}}')
    with pytest.raises(AssertionError, match="no frame of the contract"):
        await client.closed()


async def test_a_server_may_not_call_wrong_what_the_document_allows(told: Talk) -> None:
    refusal = '{"type":"error","data":{"message":"Unknown message type","code":"unknown_type"}}'
    client = await told(refusal, refusal)
    await client.send_raw('{"type":"dance"}')
    await client.send_raw('{"type":"ping"}')
    await client.expect_error("Unknown message type", "unknown_type")
    with pytest.raises(AssertionError, match="every frame sent was one of the contract"):
        await client.receive()


async def test_a_test_sends_what_the_document_does_not_know_only_on_purpose(
    visitors: Visitors, room: str, ana: Person
) -> None:
    client = await visitors.join(room, ana)
    for type_, data in (
        ("dance", {}),
        ("chat_message", {"message": 7}),
        ("chat_message", {"message": "a", "mesage": ""}),
    ):
        with pytest.raises(AssertionError, match="no frame of the contract"):
            await client.send(type_, **data)
    with pytest.raises(AssertionError, match="is a frame of the contract"):
        await client.send_wrong("ping")
    await client.send_wrong("dance")
    await client.expect_error("Unknown message type", "unknown_type")
