"""An edge on a loopback port with somebody to receive its clients, and a client that may misbehave."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest
import uvloop
from structlog.contextvars import get_contextvars

from ws_edge.errors import InvalidToken, RoleNotAllowed, RoomsUnavailable
from ws_edge.ports import GraphQLAnswer, Transport
from ws_edge.protocol.identity import Identity, Rank, UserId
from ws_edge.protocol.references import ResumePoint
from ws_edge.transport.server import EdgeParts, create_app, listening
from ws_edge.transport.websocket import Keepalive

WAIT_S = 15.0
_names = count()


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The edge runs on uvloop, so its parts are tried on it."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=["the front door", "Sanic"])
def each_door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with every upgrade request read by Sanic."""
    if request.param == "Sanic":
        monkeypatch.setattr("ws_edge.transport.upgrade.read_plain_head", lambda _: None)


def text_frame(payload: bytes) -> bytes:
    size = len(payload)
    head = bytes((0x81, size)) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
    return head + payload


@dataclass(eq=False)
class Recorder:
    """A Receiver that writes down what it is told, and echoes."""

    frame_limit_bytes: int = 16384
    writes_soon: bool = False
    echoes: bool = True
    on_connected: Callable[[Transport], None] | None = None
    on_text: Callable[[Transport, bytes], None] | None = None
    on_part: Callable[[Transport], None] | None = None
    parts: int = 0
    told: list[tuple[Any, ...]] = field(default_factory=list)
    transport: Transport | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def connected(self, transport: Transport) -> None:
        self.transport = transport
        self._tell("connected")
        if self.on_connected:
            self.on_connected(transport)

    def receive_text(self, payload: bytes) -> None:
        assert self.transport is not None
        self._tell("text", payload)
        if self.on_text:
            self.on_text(self.transport, payload)
        if self.echoes:
            self.transport.write(text_frame(payload))

    def receive_binary(self) -> None:
        self._tell("binary")

    def receive_part(self) -> None:
        self.parts += 1
        if self.on_part:
            self.on_part(self.socket)

    def congestion_changed(self, is_congested: bool) -> None:
        self._tell("congested", is_congested)

    def lost(self) -> None:
        self._tell("lost")

    @property
    def socket(self) -> Transport:
        assert self.transport is not None
        return self.transport

    def _tell(self, *what: Any) -> None:
        self.told.append(what)
        self._news.set()

    async def until(self, *what: Any) -> None:
        """Wait until this was told."""
        async with asyncio.timeout(WAIT_S):
            while what not in self.told:
                self._news.clear()
                await self._news.wait()

    async def until_texts(self, number: int) -> list[bytes]:
        async with asyncio.timeout(WAIT_S):
            while len(texts := [what[1] for what in self.told if what[0] == "text"]) < number:
                self._news.clear()
                await self._news.wait()
        return texts


@dataclass(eq=False)
class FakeAcceptor:
    """Receives everybody."""

    make: Callable[[], Recorder] = Recorder
    arrivals: list[tuple[str, str, str | None, str]] = field(default_factory=list)
    resumes: list[ResumePoint | None] = field(default_factory=list)
    resume_texts: list[str | None] = field(default_factory=list)
    receivers: list[Recorder] = field(default_factory=list)
    turned_away_with: list[str] = field(default_factory=list)
    failure: Callable[[], Exception] | None = None
    """Makes what every arrival raises: one that is kept would keep the requests of its traceback."""
    on_arrival: Callable[[], None] = lambda: None

    def arrive_room(
        self,
        ref: str,
        token: str | None,
        address: str,
        resume: ResumePoint | None = None,
        resume_text: str | None = None,
    ) -> Recorder:
        self.resumes.append(resume)
        self.resume_texts.append(resume_text)
        return self._arrive("room", ref, token, address)

    def arrive_video(
        self,
        video_id: str,
        token: str | None,
        address: str,
        resume: ResumePoint | None = None,
        resume_text: str | None = None,
    ) -> Recorder:
        self.resumes.append(resume)
        self.resume_texts.append(resume_text)
        return self._arrive("video", video_id, token, address)

    def arrive_live(self, address: str) -> Recorder:
        return self._arrive("live", "", None, address)

    def turned_away(self, code: str) -> None:
        self.turned_away_with.append(code)

    def _arrive(self, kind: str, ref: str, token: str | None, address: str) -> Recorder:
        self.arrivals.append((kind, ref, token, address))
        self.on_arrival()
        if self.failure:
            raise self.failure()
        receiver = self.make()
        self.receivers.append(receiver)
        return receiver


class FakeTokens:
    """Tokens are the names of ranks."""

    async def verify(self, token: str) -> Identity:
        if token not in Rank.__members__:
            raise InvalidToken
        return Identity(UserId(7), "ana", None, (), Rank[token], None)


@dataclass
class FakeRooms:
    """The rooms service, or its absence."""

    connections: Mapping[int, int] = field(default_factory=dict)
    is_away: bool = False
    graphql_status: int = 200
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    traces: list[str | None] = field(default_factory=list)
    """What was held at each call."""

    async def stats(self) -> Mapping[int, int]:
        self.traces.append(get_contextvars().get("trace"))
        if self.is_away:
            raise RoomsUnavailable
        return self.connections

    async def execute_graphql(
        self, query: str, variables_json: bytes, operation_name: str, viewer: Identity | None, *, allow_mutation: bool
    ) -> GraphQLAnswer:
        self.traces.append(get_contextvars().get("trace"))
        if self.is_away:
            raise RoomsUnavailable
        self.calls.append((query, variables_json, operation_name, viewer and viewer.rank, allow_mutation))
        return GraphQLAnswer(b'{"data":{"chatRooms":[]}}', self.graphql_status)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the transport has no business with rooms.{name}")


class FakeDevTokens:
    """Gives tokens of the role user alone."""

    def issue(self, username: str, user_id: int | None, roles: tuple[str, ...]) -> str:
        if roles != ("user",):
            raise RoleNotAllowed
        return f"token-of-{username}-{user_id}"


class RawClient:
    """A client that writes its frames by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def request(self, head: str, early: bytes = b"") -> tuple[int, dict[str, str]]:
        """Send a request's head and read the answer's."""
        self.writer.write(head.encode() + early)
        async with asyncio.timeout(WAIT_S):
            raw = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = raw.strip().split("\r\n")
        return int(status.split(" ")[1]), {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines)}

    def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> None:
        self.writer.write(self.frame(opcode, payload, fin=fin, rsv=rsv, masked=masked))

    @staticmethod
    def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
        size, mask_bit = len(payload), 0x80 if masked else 0
        head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
        if size < 126:
            head += bytes((mask_bit | size,))
        elif size < 65536:
            head += bytes((mask_bit | 126,)) + size.to_bytes(2, "big")
        else:
            head += bytes((mask_bit | 127,)) + size.to_bytes(8, "big")
        mask = b"\x11\x22\x33\x44"
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)) if masked else payload
        return head + (mask if masked else b"") + body

    async def read(self) -> tuple[int, bytes] | None:
        """The next frame's opcode and payload; None at the end of the connection."""
        try:
            async with asyncio.timeout(WAIT_S):
                first, second = await self.reader.readexactly(2)
                size = second & 0x7F
                if size == 126:
                    size = int.from_bytes(await self.reader.readexactly(2), "big")
                return first & 0x0F, await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return None

    async def read_close(self) -> int:
        """Skip to the close frame and give its code."""
        while (frame := await self.read()) is not None:
            if frame[0] == 8:
                return int.from_bytes(frame[1][:2], "big")
        raise AssertionError("no close frame")

    def reset(self) -> None:
        """Go without a word."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


@dataclass(eq=False)
class Edge:
    """A running edge."""

    port: int
    acceptor: FakeAcceptor
    rooms: FakeRooms
    stop: asyncio.Event
    drained: asyncio.Event
    served: asyncio.Task[None]
    app: Any
    _clients: list[RawClient] = field(default_factory=list)

    @property
    def receiver(self) -> Recorder:
        """Of the client that came last."""
        return self.acceptor.receivers[-1]

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    async def raw(self) -> RawClient:
        client = RawClient(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    @staticmethod
    def head(path: str = "/chat/ws/room/1", **changes: str | None) -> str:
        """An upgrade request; a change to None leaves the header out."""
        headers: dict[str, str | None] = {
            "Host": "localhost",
            "Upgrade": "websocket",
            "Connection": "keep-alive, Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        headers |= {name.replace("_", "-"): value for name, value in changes.items()}
        lines = [f"{name}: {value}\r\n" for name, value in headers.items() if value is not None]
        return f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n"

    async def open(self, path: str = "/chat/ws/room/1", early: bytes = b"") -> RawClient:
        """A client whose handshake was answered."""
        client = await self.raw()
        status, _ = await client.request(self.head(path), early)
        assert status == 101
        return client

    async def http(
        self, method: str, path: str, headers: Sequence[str] = (), body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        """One HTTP request on a connection of its own."""
        client = await self.raw()
        lines = [f"{method} {path} HTTP/1.1", *headers, f"Content-Length: {len(body)}"]
        if not any(line.lower().startswith("host:") for line in headers):
            lines.append("Host: localhost")
        status, answered = await client.request("\r\n".join(lines) + "\r\n\r\n", body)
        content = await client.reader.readexactly(int(answered.get("content-length", 0)))
        return status, answered, content

    async def close(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()
        self.stop.set()
        async with asyncio.timeout(WAIT_S * 2):
            await self.served


StartEdge = Callable[..., Awaitable[Edge]]


@pytest.fixture
async def start_edge() -> AsyncIterator[StartEdge]:
    """Edges with whatever parts a test wants to differ."""
    async with AsyncExitStack() as stack:

        async def start(drain: Callable[[], Awaitable[None]] | None = None, **differing: Any) -> Edge:
            acceptor, rooms = FakeAcceptor(), FakeRooms()
            parts = EdgeParts(acceptor, FakeTokens(), rooms, {}, lambda: b"", b"<!doctype html>", "default-src 'none'")
            parts = replace(parts, **{"keepalive": Keepalive(close_within_s=0.3)} | differing)
            sock = socket.socket()
            sock.bind(("127.0.0.1", 0))
            stop, drained, started = asyncio.Event(), asyncio.Event(), asyncio.Event()

            async def drain_all() -> None:
                if drain:
                    await drain()
                drained.set()

            app = create_app(parts, f"edge-{next(_names)}")

            async def serve() -> None:
                async with listening(app, sock, drain=drain_all):
                    started.set()
                    await stop.wait()

            served = asyncio.create_task(serve())
            edge = Edge(sock.getsockname()[1], acceptor, rooms, stop, drained, served, app)
            served.add_done_callback(lambda _: started.set())
            await started.wait()
            if served.done():
                await served
            stack.push_async_callback(edge.close)
            return edge

        yield start


@pytest.fixture
async def edge(start_edge: StartEdge) -> Edge:
    return await start_edge()


@pytest.fixture
def dev_tokens() -> FakeDevTokens:
    return FakeDevTokens()
