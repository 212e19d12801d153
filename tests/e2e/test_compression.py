"""permessage-deflate with three clients that nobody here wrote: Python's websockets, Node's ws and Chromium."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from chat_client import Client, Person, Visitors
from playwright.async_api import async_playwright
from salon_processes import CHROMIUM_ARGUMENTS, Edge, Salon
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame

ENOUGH = 32
LONG = "What is said again and again takes less room, été comme hiver. " * 6
NODE_CLIENT = """
const ws = new (require("ws"))(process.argv[1], { perMessageDeflate: { threshold: 0 } });
ws.on("open", () => console.log("negotiated " + ws.extensions));
ws.on("message", (data, isBinary) => console.log(isBinary ? "binary" : data.toString()));
ws.on("close", (code) => console.log("closed " + code));
require("readline").createInterface({ input: process.stdin }).on("line", (line) => ws.send(line));
"""
BROWSER_CLIENT = """
([url, text]) => new Promise((resolve) => {
  const ws = new WebSocket(url);
  ws.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type === "room_joined")
      ws.send(JSON.stringify({ type: "chat_message", data: { message: text + "from the browser" } }));
    if (frame.type === "chat_message" && frame.data.message === text + "to the browser") {
      resolve(ws.extensions);
      ws.close();
    }
  };
  ws.onclose = ({ code }) => resolve("closed " + code);
})
"""


@pytest.fixture(scope="module")
def compressing(salon: Salon) -> Edge:
    """One more edge of the shared Salon, with compression; of one worker, where it takes so many members."""
    return salon.start_edge({"WS_EDGE_COMPRESSION": "1", "WS_EDGE_WORKERS": "1"})


@pytest_asyncio.fixture
async def crowd(compressing: Edge, visitors: Visitors, room: str) -> list[Client]:
    """As many as it takes, with what websockets offers by default."""
    return [await visitors.join(room, ws=compressing.ws, compression="deflate") for _ in range(ENOUGH)]


def watch_messages(client: Client) -> list[bool]:
    """Of every message that comes from now on: whether its frame was compressed."""
    (extension,) = client.connection.protocol.extensions
    assert isinstance(extension, PerMessageDeflate)
    decode, was_compressed = extension.decode, []

    def watched(frame: Frame, **how: Any) -> Frame:
        was_compressed.append(frame.rsv1)
        return decode(frame, **how)

    extension.decode = watched  # type: ignore[method-assign]  # the library shows no frames
    return was_compressed


async def test_a_long_message_comes_compressed_to_who_takes_it_and_plain_to_the_others(
    compressing: Edge, crowd: list[Client], visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    author = await visitors.join(room, ana, ws=compressing.ws, compression="deflate")
    plain = await visitors.join(room, bob, ws=compressing.ws)
    hearer = crowd[0]
    for client in (hearer, author):
        await client.wait_for("user_joined", username="bob")
    heard, own = watch_messages(hearer), watch_messages(author)
    await author.send("chat_message", message=LONG, nonce="n")
    await author.send("chat_message", message="short")
    for client in (*crowd, plain):
        first, second = [await client.wait_for("chat_message") for _ in range(2)]
        assert (first["message"], second["message"]) == (LONG, "short")
        assert second["prev_id"] == first["id"]
    assert heard == [True, False]
    frames = await author.collect_until("chat_message", message="short")
    assert [frame["data"].get("nonce") for frame in frames] == ["n", None]
    assert own == [False, False]


async def test_below_32_members_nothing_is_compressed(
    compressing: Edge, crowd: list[Client], room: str, visitors: Visitors, ana: Person
) -> None:
    await crowd[0].leave()
    author = await visitors.join(room, ana, ws=compressing.ws)
    await crowd[1].wait_for("user_joined", username="ana")
    heard = watch_messages(crowd[1])
    await author.say(LONG)
    await crowd[1].wait_for("chat_message", message=LONG)
    assert heard == [False]


@pytest_asyncio.fixture
async def node_client(compressing: Edge, wscat: str, room: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Node's ws, which wscat stands on, in the room; it prints what it hears and sends what it reads."""
    node = shutil.which("node")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        *(node, "-e", NODE_CLIENT, f"{compressing.ws}/chat/ws/room/{room}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"NODE_PATH": str(Path(wscat).parents[1])},
    )
    yield process
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def test_nodes_ws_compresses_and_reads_what_is_compressed(
    crowd: list[Client], node_client: asyncio.subprocess.Process
) -> None:
    assert node_client.stdout is not None
    assert node_client.stdin is not None

    async def line() -> str:
        assert node_client.stdout is not None
        async with asyncio.timeout(15):
            return (await node_client.stdout.readline()).decode().strip()

    assert (await line()).startswith("negotiated permessage-deflate")
    assert json.loads(await line())["type"] == "room_joined"
    asked = json.dumps({"type": "chat_message", "data": {"message": LONG + "from ws"}})
    node_client.stdin.write(asked.encode() + b"\n")
    await crowd[0].wait_for("chat_message", message=LONG + "from ws")
    heard = watch_messages(crowd[1])
    await crowd[0].say(LONG + "to ws")
    await crowd[1].wait_for("chat_message", message=LONG + "to ws")
    assert True in heard, "what ws hears is compressed"
    assert [json.loads(await line())["data"]["message"] for _ in range(2)] == [LONG + "from ws", LONG + "to ws"]


async def test_chromium_compresses_and_reads_what_is_compressed(
    crowd: list[Client], compressing: Edge, chromium: str, room: str
) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        try:
            page = await browser.new_page()
            await page.goto(f"{compressing.http}/")
            url = f"{compressing.ws}/chat/ws/room/{room}"
            heard = asyncio.create_task(page.evaluate(BROWSER_CLIENT, [url, LONG]))
            await crowd[0].wait_for("chat_message", within_s=20, message=LONG + "from the browser")
            await crowd[0].say(LONG + "to the browser")
            assert "permessage-deflate" in await heard
        finally:
            await browser.close()
