"""wscat, as the document tells frontend developers to use it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio
from chat_client import Person, Visitors
from printed_secrets import printed_secrets
from salon_processes import Edge
from wire_contract import SERVER, problem_with


class Wscat:
    """One running wscat."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen = ""

    async def until(self, text: str) -> str:
        """Its output up to a text."""
        assert self.process.stdout is not None
        async with asyncio.timeout(15):
            while text not in self.seen:
                chunk = await self.process.stdout.read(4096)
                assert chunk, f"wscat ended; it said: {self.seen}"
                self.seen += chunk.decode()
        return self.seen

    async def write(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        await self.process.stdin.drain()


Start = Callable[..., Awaitable[Wscat]]


@pytest_asyncio.fixture
async def start_wscat(wscat: str) -> AsyncIterator[Start]:
    """Starts wscat; ends what still runs. What wscat showed has to be frames of the contract."""
    shown: list[Wscat] = []

    async def start(*arguments: str) -> Wscat:
        process = await asyncio.create_subprocess_exec(
            wscat,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        shown.append(Wscat(process))
        return shown[-1]

    yield start
    for client in shown:
        if client.process.returncode is None:
            client.process.kill()
        rest, _ = await client.process.communicate()
        client.seen += rest.decode()
    for client in shown:
        assert printed_secrets("wscat", client.seen, {}) == []
        frames = re.findall(r"^(?:[<>] )*(\{.*\})$", client.seen, re.MULTILINE)
        assert frames
        assert [problem for frame in frames if (problem := problem_with(SERVER, frame))] == []


async def test_wscat_without_auth(start_wscat: Start, edge: Edge) -> None:
    client = await start_wscat("-c", f"{edge.ws}/chat/ws/room/1")
    assert '"type":"room_joined"' in await client.until("room_joined")


async def test_wscat_with_auth_sends_the_documents_message(
    start_wscat: Start, edge: Edge, visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    reader = await visitors.join(room, bob)
    client = await start_wscat("-c", f"{edge.ws}/chat/ws/room/{room}?token={ana.token}")
    await client.until("room_joined")
    await client.write('{"type":"chat_message","data":{"message":"Hello from PowerShell!"}}')
    message = await reader.wait_for("chat_message", message="Hello from PowerShell!")
    assert message["user_id"] == ana.user_id
    assert json.dumps(message["id"]) in await client.until("Hello from PowerShell!")
    await client.write('{"type":"ping","data":{}}')
    await client.until('"pong"')


async def test_wscat_shows_a_refusal_and_ends(start_wscat: Start, edge: Edge) -> None:
    client = await start_wscat("-c", f"{edge.ws}/chat/ws/room/1?token=YOUR_JWT_TOKEN")
    await client.until('"message":"Invalid token"')
    async with asyncio.timeout(5):
        await client.process.wait()
