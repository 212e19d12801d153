"""The upgrade request: addresses, tokens, client addresses, refusals."""

from __future__ import annotations

import asyncio
import logging
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
import structlog
import websockets

from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.references import ResumePoint

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge, StartEdge

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("each_door")]


@pytest.mark.parametrize(
    ("path", "arrival"),
    [
        ("/chat/ws/room/1", ("room", "1")),
        ("/chat/ws/room/live-general/", ("room", "live-general")),
        ("/chat/ws/room/a._:@~-Z", ("room", "a._:@~-Z")),
        ("/chat/ws/room/caf%C3%A9", ("room", "café")),
        ("/chat/ws/room/%E6%97%A5%E6%9C%AC", ("room", "日本")),
        ("/chat/ws/room/a%20b", ("room", "a b")),
        ("/chat/ws/room/a%2Fb", ("room", "a/b")),
        ("/chat/ws/room/a/b", ("room", "a/b")),
        ("/chat/ws/room/%FF%FE", ("room", "\ufffd\ufffd")),
        ("/chat/ws/room/50%", ("room", "50%")),
        ("/chat/ws/room/%2525", ("room", "%25")),
        ("/chat/ws/room/", ("room", "")),
        ("/chat/ws/room", ("room", "")),
        ("/chat/ws/room/.hidden", ("room", ".hidden")),
        ("/chat/ws/room/" + "x" * 4000, ("room", "x" * 4000)),
        ("/chat/ws/video/42", ("video", "42")),
        ("/chat/ws/video/42/", ("video", "42")),
        ("/chat/ws/video/zero", ("video", "zero")),
        ("/chat/ws/video/", ("video", "")),
        ("/live/ws", ("live", "")),
        ("/live/ws/", ("live", "")),
    ],
)
async def test_every_reference_reaches_the_acceptor_percent_decoded(
    edge: Edge, path: str, arrival: tuple[str, str]
) -> None:
    await edge.open(path)
    assert edge.acceptor.arrivals == [(*arrival, None, "127.0.0.1")]


@pytest.mark.parametrize(
    ("query", "resume"),
    [
        ("", None),
        ("?epoch=3.1", None),
        ("?since=42&epoch=3.1", ResumePoint(MessageId(42), "3.1")),
        ("?epoch=a%2Bb&token=T&since=0", ResumePoint(MessageId(0), "a+b")),
        ("?since=42", ResumePoint(MessageId(42), "")),
        ("?since=abc&epoch=3.1", ResumePoint(None, "3.1")),
        ("?since=&since=42&epoch=3.1", ResumePoint(MessageId(42), "3.1")),
    ],
)
@pytest.mark.parametrize("path", ["/chat/ws/room/1", "/chat/ws/video/1"])
async def test_where_a_client_had_left_the_log_reaches_the_acceptor(
    edge: Edge, path: str, query: str, resume: ResumePoint | None
) -> None:
    await edge.open(path + query)
    assert edge.acceptor.resumes == [resume]


@pytest.mark.parametrize("path", ["/chat/ws/room/1", "/chat/ws/video/1"])
async def test_what_an_anonymous_client_comes_back_with_reaches_the_acceptor(edge: Edge, path: str) -> None:
    await edge.open(path + "?since=1&epoch=3.1&resume=a-b_c")
    await edge.open(path)
    assert edge.acceptor.resume_texts == ["a-b_c", None]


@pytest.mark.parametrize(
    ("query", "headers", "token"),
    [
        ("?token=Q", {}, "Q"),
        ("?token=Q", {"Authorization": "Bearer H", "Sec_WebSocket_Protocol": "bearer, P"}, "Q"),
        ("?token=", {"Authorization": "Bearer H", "Sec_WebSocket_Protocol": "bearer, P"}, "H"),
        ("", {"Authorization": "bearer H"}, "H"),
        ("", {"Authorization": "Basic H", "Sec_WebSocket_Protocol": "bearer, P"}, "P"),
        ("", {"Authorization": "Bearer ", "Sec_WebSocket_Protocol": "bearer,P"}, "P"),
        ("", {"Sec_WebSocket_Protocol": "bearer"}, None),
        ("", {"Sec_WebSocket_Protocol": "chat, P"}, None),
        ("?since=4&token=a%2Eb", {}, "a.b"),
        ("", {}, None),
    ],
)
async def test_the_token_is_the_first_that_is_present_and_not_empty(
    edge: Edge, query: str, headers: dict[str, str], token: str | None
) -> None:
    client = await edge.raw()
    status, answer = await client.request(edge.head("/chat/ws/room/1" + query, **headers))
    assert status == 101
    assert edge.acceptor.arrivals == [("room", "1", token, "127.0.0.1")]
    offers_pair = headers.get("Sec_WebSocket_Protocol", "").startswith("bearer,")
    assert answer.get("sec-websocket-protocol") == ("bearer" if offers_pair else None)
    assert answer["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


async def test_a_browser_may_send_its_token_as_a_subprotocol(edge: Edge) -> None:
    protocols = [websockets.Subprotocol("bearer"), websockets.Subprotocol("a.b-c_d")]
    async with websockets.connect(edge.url("/chat/ws/room/1"), subprotocols=protocols) as client:
        assert client.subprotocol == "bearer"
    assert edge.acceptor.arrivals[0][2] == "a.b-c_d"


async def test_a_token_of_8_kib_works(edge: Edge) -> None:
    await edge.open("/chat/ws/room/1?token=" + "x" * 8192)
    assert edge.acceptor.arrivals[0][2] == "x" * 8192


async def test_a_head_over_16_kib_is_refused_with_413(edge: Edge) -> None:
    client = await edge.raw()
    assert (await client.request(edge.head("/chat/ws/room/1?token=" + "x" * 20000)))[0] == 413
    assert edge.acceptor.arrivals == []
    assert edge.acceptor.turned_away_with == ["http_413"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        pytest.param({"Upgrade": None, "Connection": None}, 426, id="plain GET"),
        pytest.param({"Upgrade": "h2c"}, 426, id="another upgrade"),
        pytest.param({"Connection": "keep-alive"}, 426, id="no connection upgrade"),
        pytest.param({"Sec_WebSocket_Version": None}, 426, id="no version"),
        pytest.param({"Sec_WebSocket_Version": "8"}, 426, id="old version"),
        pytest.param({"Sec_WebSocket_Key": None}, 400, id="no key"),
        pytest.param({"Sec_WebSocket_Key": "short"}, 400, id="malformed key"),
        pytest.param({"Sec_WebSocket_Key": "c2hvcnQ="}, 400, id="short key"),
        pytest.param({"Sec_WebSocket_Key": "é" * 16}, 400, id="key not in ASCII"),
        pytest.param({"Content-Length": "0", "Upgrade": "WebSocket"}, 101, id="any case, empty body"),
    ],
)
@pytest.mark.parametrize("path", ["/chat/ws/room/1", "/live/ws"])
async def test_what_is_no_handshake_is_refused_and_told_why(
    edge: Edge, path: str, changes: dict[str, str | None], status: int
) -> None:
    client = await edge.raw()
    answered, headers = await client.request(edge.head(path, **changes))
    assert answered == status
    assert len(edge.acceptor.arrivals) == (status == 101)
    assert edge.acceptor.turned_away_with == ([] if status == 101 else [f"http_{status}"])
    if status == 426:
        assert (headers["upgrade"], headers["sec-websocket-version"]) == ("websocket", "13")


HEADERS = (
    "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
HEAD = "GET /chat/ws/room/1 HTTP/1.1\r\n" + HEADERS


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (HEAD.replace("websocket", "websocket, foo", 1), 101),
        (HEAD.replace("websocket", "foo, WebSocket", 1), 101),
        (HEAD.replace("Upgrade: websocket", "Upgrade: foo\r\nUpgrade: websocket"), 101),
        (HEAD.replace("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: foo"), 101),
        (HEAD.replace("websocket", "websocket ", 1), 101),
        (HEAD.replace("websocket", "websocket/13", 1), 426),
        (HEAD.replace("Connection: Upgrade\r\n", ""), 426),
        (HEAD.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade"), 101),
        (HEAD.replace("Connection: Upgrade", "Connection: keep-alive\r\nConnection: upgrade"), 101),
        (HEAD.replace("Connection: Upgrade", "Connection: Upgrade, close"), 101),
        (HEAD.replace("Version: 13", "Version: 8"), 426),
        (HEAD.replace("Version: 13", "Version: 8, 13"), 426),
        (HEAD + "Sec-WebSocket-Version: 13\r\n", 400),
        (HEAD + "Sec-WebSocket-Version: 8\r\n", 400),
        (HEAD + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400),
        (HEAD.replace("HTTP/1.1", "HTTP/1.0"), 400),
        (HEAD.replace("HTTP/1.1", "HTTP/1.0").replace("websocket", "websocket, foo", 1), 400),
        (HEAD.replace("HTTP/1.1", "HTTP/2.0"), 400),
        (HEAD.replace("GET", "POST") + "Content-Length: 0\r\n", 405),
        (HEAD.replace("GET", "HEAD"), 405),
        (HEAD.replace("GET", "OPTIONS"), 405),
        (HEAD.replace("GET", "get"), 405),
        ("CONNECT localhost:80 HTTP/1.1\r\n" + HEADERS, 400),
        ("GET http://[/chat/ws/room/1 HTTP/1.1\r\n" + HEADERS, 400),
        ("GET http://localhost/chat/ws/room/1 HTTP/1.1\r\n" + HEADERS, 101),
        ("GET /chat/ws/room/\u00e9 HTTP/1.1\r\n" + HEADERS, 400),
        ("GET /health/live HTTP/1.1\r\n" + HEADERS, 200),
        (HEAD + "Content-Length: 0\r\n", 101),
        (HEAD + "Content-Length: 5\r\n\r\nhello", 400),
        (HEAD + "Content-Length: five\r\n", 400),
        (HEAD + "Content-Length: -1\r\n", 400),
        (HEAD + "Content-Length: 99999999999\r\n", 413),
        (HEAD + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", 400),
        (HEAD + "Transfer-Encoding: chunked\r\n\r\n0\r\n", 101),
        (HEAD + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", 400),
        (HEAD + "Transfer-Encoding: chunked\r\n\r\nzz", 400),
        (HEAD + "Transfer-Encoding: gzip\r\n", 400),
        (HEAD + "Expect: tea\r\nContent-Length: 0\r\n", 417),
        (HEAD.replace("Host: localhost\r\n", ""), 101),
        (HEAD.replace("localhost", "[::1"), 101),
        (HEAD + "Sec-WebSocket-Protocol: bearer,\u00e9\r\n", 101),
        (HEAD + "no colon\r\n", 400),
        (HEAD + "Folded: a\r\n b\r\n", 400),
    ],
)
async def test_whatever_a_handshake_looks_like_the_log_stays_clean_and_refusals_are_counted(
    edge: Edge, caplog: pytest.LogCaptureFixture, request_text: str, status: int
) -> None:
    client = await edge.raw()
    with structlog.testing.capture_logs() as logs:
        answered, headers = await client.request(request_text + "\r\n")
        assert answered == status
        assert edge.acceptor.turned_away_with == ([] if status in (101, 200) else [f"http_{status}"])
        if status == 101:
            client.send(1, b"works")
            assert await client.read() == (1, b"works")
            client.send(8)
            assert await client.read_close() == 1000
        else:
            await client.reader.readexactly(int(headers.get("content-length", 0)) if "HEAD" not in request_text else 0)
        client.writer.close()
        # What Sanic has to say of a connection it says while it ends.
        async with asyncio.timeout(30):
            while any("connection_task" in repr(task) for task in asyncio.all_tasks()):  # noqa: ASYNC110 - not ours
                await asyncio.sleep(0.01)
    assert (logs, caplog.text) == ([], "")


async def test_a_client_that_goes_in_the_middle_of_its_body_is_no_fault_of_ours(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    client = await edge.raw()
    client.writer.write((HEAD + "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n").encode())
    assert await client.reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    with structlog.testing.capture_logs() as logs:
        client.writer.close()
        async with asyncio.timeout(30):
            while any("connection_task" in repr(task) for task in asyncio.all_tasks()):  # noqa: ASYNC110 - not ours
                await asyncio.sleep(0.01)
    assert (logs, caplog.text) == ([], "")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_only_get_upgrades(edge: Edge, method: str) -> None:
    client = await edge.raw()
    status, headers = await client.request(edge.head().replace("GET", method, 1))
    assert (status, headers["allow"]) == (405, "GET")
    assert edge.acceptor.turned_away_with == ["http_405"]


async def test_http_1_0_does_not_upgrade(edge: Edge) -> None:
    client = await edge.raw()
    assert (await client.request(edge.head().replace("HTTP/1.1", "HTTP/1.0")))[0] == 400


async def test_any_origin_is_welcome(edge: Edge) -> None:
    client = await edge.raw()
    assert (await client.request(edge.head(Origin="https://elsewhere.example")))[0] == 101


async def test_x_forwarded_for_is_read_behind_a_trusted_proxy_only(start_edge: StartEdge) -> None:
    trusting = await start_edge(trusted_proxies=(ip_network("127.0.0.0/8"),))
    doubting = await start_edge()
    for edge, address in ((trusting, "2001:db8::7"), (doubting, "127.0.0.1")):
        client = await edge.raw()
        await client.request(edge.head(X_Forwarded_For="6.6.6.6, [2001:db8::7]:99, 127.0.0.2"))
        assert edge.acceptor.arrivals[0][3] == address


async def test_no_token_is_logged_by_anybody(
    edge: Edge, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    path = "/chat/ws/room/1?token=SECRET"
    with structlog.testing.capture_logs() as logs:
        await edge.open(path)
        for head in (
            edge.head(path, Sec_WebSocket_Key=None),
            edge.head(path).replace("GET", "POST", 1),
            edge.head("/nowhere?token=SECRET"),
            edge.head(path).replace("HTTP/1.1", "HTTP/3.9"),
            edge.head(path, Authorization="Bearer SECRET", X="x" * 17000),
        ):
            status, _ = await (await edge.raw()).request(head)
            assert 400 <= status < 500
    for name in ("sanic.root", "sanic.error", "sanic.access"):
        logging.getLogger(name).error(
            "Exception occurred while handling uri: %s", f"http://x{path}&since=1&resume=SECRET"
        )
    assert "SECRET" not in caplog.text + repr(logs) + "".join(capfd.readouterr())
    assert "token=***&since=1&resume=***" in caplog.text
