"""The front door reads what it takes as Sanic would read it, and leaves everything else as it came."""

from __future__ import annotations

import asyncio
import itertools
import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from fuzz_strategies import UPGRADES
from hypothesis import HealthCheck, given, settings, strategies as st

from ws_edge.transport import front_door, upgrade
from ws_edge.transport.lingering import LingeringProtocol
from ws_edge.transport.origins import Origins
from ws_edge.transport.patience import Patience, PatientProtocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.ws_edge.tests.integration.conftest import Edge, StartEdge

pytestmark = pytest.mark.integration
PROOF = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
SITE = "https://site.example"
HEADERS = (
    f"Host: x\r\nOrigin: {SITE}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
PLAIN = f"GET /chat/ws/room/den?token=a.b&since=4&epoch=3.1&resume=r HTTP/1.1\r\n{HEADERS}\r\n"
TAKEN = {
    "a room": PLAIN,
    "a video": PLAIN.replace("room/den", "video/42"),
    "live": PLAIN.replace("/chat/ws/room/den", "/live/ws"),
    "live with a slash": PLAIN.replace("/chat/ws/room/den", "/live/ws/"),
    "a slash behind": PLAIN.replace("den", "den/"),
    "no query": PLAIN.replace("?token=a.b&since=4&epoch=3.1&resume=r", ""),
    "an empty query": PLAIN.replace("token=a.b&since=4&epoch=3.1&resume=r", ""),
    "names without values": PLAIN.replace("token=a.b", "token=&token&=&&token=a.b&x=1"),
    "a value with an equals sign": PLAIN.replace("a.b", "a=b=="),
    "an encoded name": PLAIN.replace("den", "caf%C3%A9%2fx%FF%25"),
    "an encoded slash at the end": PLAIN.replace("den", "den%2F"),
    "names of headers in any case": PLAIN.replace("Upgrade: ", "uPGRADE: ").replace("Sec-", "SEC-"),
    "values in any case": PLAIN.replace(": websocket", ": WebSocket").replace(": Upgrade", ": upgrade"),
    "a list": PLAIN.replace(": Upgrade", ": keep-alive, Upgrade"),
    "no space before a value": PLAIN.replace(": ", ":"),
    "spaces around values": PLAIN.replace(": ", ":   ").replace("\r\nUpgrade", "  \r\nUpgrade").replace("13", "13 "),
    "a header without a name": PLAIN.replace("Host", ""),
    "no host": PLAIN.replace("Host: x\r\n", ""),
    "a token of a subprotocol": PLAIN.replace("token=a.b&", "").replace(
        "Host", "Sec-WebSocket-Protocol: bearer , p.q\r\nHost"
    ),
    "a token in a header": PLAIN.replace("token=a.b&", "").replace("Host", "authorization: bEARER  t \r\nHost"),
    "no token": PLAIN.replace("token=a.b&", "").replace("Host", "Authorization: Basic x\r\nHost"),
    "compression": PLAIN.replace("Host", "Sec-WebSocket-Extensions: x, permessage-deflate; x\r\nHost"),
    "an offer of compression": PLAIN.replace("Host", "Sec-WebSocket-Extensions: permessage-deflate\r\nHost"),
    "a proxy": PLAIN.replace("Host", "X-Forwarded-For: 6.6.6.6, [2001:db8::7]:99 , 127.0.0.2\r\nHost"),
    "a proxy that says nothing": PLAIN.replace("Host", "X-Forwarded-For: \r\nHost"),
    "where it had left the log is malformed": PLAIN.replace("since=4", "since=-"),
    "frames behind": PLAIN + "\x81\x80\0\0\0\0",
    "a request behind": PLAIN + "GET / HTTP/1.1\r\n\r\n",
    "expects": PLAIN.replace("Host", "Expect: tea\r\nHost"),
    "a long token": PLAIN.replace("a.b", "x" * 8192),
}
LEFT = {
    "nothing but line ends": "\r\n\r\n",
    "line ends before it": "\r\n" + PLAIN,
    "one line feed alone": PLAIN.replace("\r\nUpgrade", "\nUpgrade"),
    "a carriage return alone": PLAIN.replace("Host: x", "Host: x\rX: y"),
    "a folded line": PLAIN.replace("Host: x", "Host: x\r\n y: z"),
    "a folded line without a colon": PLAIN.replace("Host: x", "Host: x\r\n y"),
    "a tab": PLAIN.replace("Host: ", "Host:\t"),
    "NUL": PLAIN.replace("Host: ", "Host: \0"),
    "NUL in the address": PLAIN.replace("den", "d\0n"),
    "not ASCII": PLAIN.replace("Host: ", "Host: \u00e9"),
    "not ASCII in the address": PLAIN.replace("den", "d\u00e9n"),
    "no colon": PLAIN.replace("Host: x", "Host"),
    "another method": PLAIN.replace("GET", "POST"),
    "lower case": PLAIN.replace("GET", "get"),
    "HTTP/1.0": PLAIN.replace("HTTP/1.1", "HTTP/1.0"),
    "HTTP of another case": PLAIN.replace("HTTP/1.1", "http/1.1"),
    "no version": PLAIN.replace(" HTTP/1.1", ""),
    "the version twice": PLAIN.replace(" HTTP/1.1", " HTTP/1.1 HTTP/1.1"),
    "two spaces": PLAIN.replace("GET ", "GET  "),
    "a space behind": PLAIN.replace(" HTTP/1.1", " HTTP/1.1 "),
    "a whole address": PLAIN.replace("/chat", "http://x/chat"),
    "another address": PLAIN.replace("/chat", "/chats"),
    "two slashes": PLAIN.replace("/chat", "//chat"),
    "a step up": PLAIN.replace("/chat", "/x/../chat"),
    "slashes in the name": PLAIN.replace("den", "d/n"),
    "two slashes behind the name": PLAIN.replace("den", "den//"),
    "no name": PLAIN.replace("den", ""),
    "half of an encoded sign": PLAIN.replace("den", "den%4"),
    "a fragment": PLAIN.replace(" HTTP", "#x HTTP"),
    "an encoded value": PLAIN.replace("a.b", "a%2Eb"),
    "an encoded parameter": PLAIN.replace("token", "to%6Ben"),
    "a plus": PLAIN.replace("a.b", "a+b"),
    "a semicolon": PLAIN.replace("&since", ";since"),
    "a parameter twice": PLAIN.replace("since=4", "since=4&token=c"),
    "a header twice": PLAIN.replace("Host: x", "Host: x\r\nHOST: y"),
    "the key twice": PLAIN.replace("Host: x", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nHost: x"),
    "a proxy twice": PLAIN.replace("Host", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nHost"),
    "no key": PLAIN.replace("Sec-WebSocket-Key", "X"),
    "a space behind the name of the key": PLAIN.replace("-Key:", "-Key :"),
    "another version of WebSocket": PLAIN.replace("13", "8"),
    "no upgrade": PLAIN.replace("Upgrade: websocket", "X: y"),
    "another site": PLAIN.replace(SITE, "https://elsewhere.example"),
    "an empty body": PLAIN.replace("Host", "Content-Length: 0\r\nHost"),
    "a body": PLAIN.replace("Host", "Content-Length: 2\r\nHost") + "hi",
    "a body in parts": PLAIN.replace("Host", "Transfer-Encoding: chunked\r\nHost") + "0\r\n\r\n",
    "too long": PLAIN.replace("a.b", "x" * 20_000),
    "long": PLAIN.replace("a.b", "x" * 14_000),
}
UNFINISHED = {
    "line feeds alone": PLAIN.replace("\r\n", "\n"),
    "a body that is not whole": PLAIN.replace("Host", "content-length: 9\r\nHost") + "hi",
    "not whole": PLAIN[:-2],
    "no request": "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" * 20,
}
Outcome = tuple[bytes, object]


@pytest.fixture
async def judging(start_edge: StartEdge) -> Edge:
    return await start_edge(
        patience=Patience(request_within_s=3.0),
        trusted_proxies=(ip_network("127.0.0.0/8"),),
        origins=Origins(frozenset({SITE})),
        has_compression=True,
    )


async def outcome(edge: Edge, *parts: bytes) -> Outcome:
    """What was answered, and what the acceptor was told; each part is read before the next is sent."""
    acceptor = edge.acceptor
    told: Sequence[list[object]] = (
        acceptor.arrivals,
        acceptor.resumes,
        acceptor.resume_texts,
        acceptor.turned_away_with,
    )  # type: ignore[assignment]  # lists of different things
    for each in told:
        each.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        for number, part in enumerate(parts):
            writer.write(part)
            async with asyncio.timeout(15):
                while number < len(parts) - 1 and not _have_read(edge):  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0)
        try:
            async with asyncio.timeout(15):
                answer = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            answer = b""
        return answer, [list(each) for each in told]
    finally:
        writer.transport.abort()


def _have_read(edge: Edge) -> bool:
    return any(isinstance(each, PatientProtocol) and each.recv_buffer for each in edge.app.ctx.waiting)


async def same_through_both(edge: Edge, octets: bytes, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the front door took it."""
    given_on = itertools.count()

    def count(**options: object) -> LingeringProtocol:
        next(given_on)
        return LingeringProtocol(**options)

    with monkeypatch.context() as patch:
        patch.setattr(front_door, "LingeringProtocol", count)
        through_front = await outcome(edge, octets)
    with monkeypatch.context() as patch:
        patch.setattr(upgrade, "read_plain_head", lambda _: None)
        assert through_front == await outcome(edge, octets), octets
    return next(given_on) == 0


@pytest.mark.parametrize("name", TAKEN)
async def test_plain_requests_are_let_in_without_sanic(
    judging: Edge, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await same_through_both(judging, TAKEN[name].encode("latin-1"), monkeypatch)
    assert judging.acceptor.arrivals


@pytest.mark.parametrize("name", LEFT)
async def test_everything_else_is_left_to_sanic(judging: Edge, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not await same_through_both(judging, LEFT[name].encode("latin-1"), monkeypatch)


@pytest.mark.parametrize("name", UNFINISHED)
async def test_what_never_becomes_a_request_is_left_to_sanic(
    start_edge: StartEdge, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = await start_edge(patience=Patience(request_within_s=0.3))
    assert not await same_through_both(edge, UNFINISHED[name].encode("latin-1"), monkeypatch)
    assert edge.acceptor.turned_away_with == ["http_408"]


async def test_live_that_is_switched_off_is_left_to_sanic(
    start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = await start_edge(has_live=False)
    assert not await same_through_both(edge, TAKEN["live"].encode(), monkeypatch)


_edits = st.lists(
    st.tuples(
        st.integers(0, len(PLAIN)),
        st.integers(0, 3),
        st.binary(max_size=3) | st.sampled_from([b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b"%41", b"/", b"&"]),
    ),
    min_size=1,
    max_size=3,
)


@given(_edits)
@PROOF
async def test_a_damaged_request_comes_to_the_same(
    judging: Edge, monkeypatch: pytest.MonkeyPatch, edits: list[tuple[int, int, bytes]]
) -> None:
    octets = PLAIN.encode()
    for at, cut, put in edits:
        octets = octets[:at] + put + octets[at + cut :]
    if b"\r\n\r\n" not in octets:
        octets += b"\r\n\r\n"
    await same_through_both(judging, octets, monkeypatch)


@given(UPGRADES)
@PROOF
async def test_any_upgrade_request_comes_to_the_same(
    judging: Edge, monkeypatch: pytest.MonkeyPatch, lines: bytes
) -> None:
    target, *headers = lines.split(b"\n")
    head = b"\r\n".join([b"GET /" + target.replace(b" ", b"%20") + b" HTTP/1.1", *headers, b"", b""])
    await same_through_both(judging, head, monkeypatch)


async def test_a_head_that_comes_in_two_parts_gets_in_wherever_it_is_cut(judging: Edge) -> None:
    octets = PLAIN.encode()
    expected = await outcome(judging, octets)
    assert re.match(rb"HTTP/1\.1 101 ", expected[0])
    for at in range(1, len(octets)):
        assert await outcome(judging, octets[:at], octets[at:]) == expected, at


async def test_who_says_nothing_is_given_up_in_the_time_of_a_request(start_edge: StartEdge) -> None:
    edge = await start_edge(patience=Patience(request_within_s=0.1))
    client = await edge.raw()
    assert await client.read() is None
    assert not edge.app.ctx.waiting
    assert edge.acceptor.turned_away_with == []


async def test_who_says_nothing_is_gone_at_once_at_the_stop(start_edge: StartEdge) -> None:
    edge = await start_edge()
    client = await edge.raw()
    async with asyncio.timeout(15):
        while not edge.app.ctx.waiting:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)
    edge.stop.set()
    assert await client.read() is None
    await edge.served
