"""WS_EDGE_ALLOWED_ORIGINS and WS_EDGE_LIVE on a real port: which pages may connect, and which may read answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ws_edge.transport.origins import Origins

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge, StartEdge

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("each_door")]

SITE, ELSEWHERE = "https://site.example", "https://elsewhere.example"
QUERY = b'{"query":"{chatRooms{id}}"}'
JSON = "Content-Type: application/json"


@pytest.fixture
async def guarded(start_edge: StartEdge) -> Edge:
    """An edge for the pages of one site."""
    return await start_edge(origins=Origins(frozenset({SITE, "http://localhost:8000"})))


async def handshake(edge: Edge, origin: str | None, path: str = "/chat/ws/room/1") -> int:
    return (await (await edge.raw()).request(edge.head(path, Origin=origin)))[0]


@pytest.mark.parametrize("origin", [SITE, "HTTPS://Site.Example", "http://localhost:8000", None])
@pytest.mark.parametrize("path", ["/chat/ws/room/1", "/chat/ws/video/1", "/live/ws"])
async def test_a_page_of_the_list_connects_and_so_does_what_is_no_browser(
    guarded: Edge, origin: str | None, path: str
) -> None:
    assert await handshake(guarded, origin, path) == 101


@pytest.mark.parametrize(
    "origin",
    [ELSEWHERE, "null", "", f"{SITE}.evil.example", f"{SITE}:8443", "http://site.example", f"{SITE}, {ELSEWHERE}", "*"],
)
async def test_any_other_page_is_refused_with_403_and_counted(guarded: Edge, origin: str) -> None:
    assert await handshake(guarded, origin) == 403
    assert guarded.acceptor.turned_away_with == ["http_403"]
    assert guarded.acceptor.arrivals == []


async def test_two_origins_are_none_of_the_list(guarded: Edge) -> None:
    head = guarded.head(Origin=SITE).replace("Origin:", f"Origin: {SITE}\r\nOrigin:")
    assert (await (await guarded.raw()).request(head))[0] == 403


async def test_without_a_list_any_page_connects_and_no_other_site_reads(edge: Edge) -> None:
    assert await handshake(edge, ELSEWHERE) == 101
    status, headers, _ = await edge.http("POST", "/graphql", [JSON, f"Origin: {ELSEWHERE}"], QUERY)
    assert status == 200
    assert not [name for name in headers if name.startswith("access-control")]
    assert (await edge.http("OPTIONS", "/graphql", [f"Origin: {ELSEWHERE}"]))[0] == 405


@pytest.mark.parametrize(
    ("method", "path", "lines", "body", "status"),
    [
        ("POST", "/graphql", [JSON], QUERY, 200),
        ("POST", "/graphql", [JSON, "Authorization: Bearer WRONG"], QUERY, 401),
        ("GET", "/graphql?query=%7BchatRooms%7Bid%7D%7D", [], b"", 200),
        ("GET", "/monitoring/chat/stats", ["Authorization: Bearer ADMIN"], b"", 200),
        ("GET", "/monitoring/chat/stats", [], b"", 401),
    ],
)
async def test_a_page_of_the_list_reads_answers_and_others_do_not(
    guarded: Edge, method: str, path: str, lines: list[str], body: bytes, status: int
) -> None:
    answered, headers, _ = await guarded.http(method, path, [*lines, f"Origin: {SITE}"], body)
    assert (answered, headers["access-control-allow-origin"], headers["vary"]) == (status, SITE, "Origin")
    answered, headers, _ = await guarded.http(method, path, [*lines, f"Origin: {ELSEWHERE}"], body)
    assert (answered, headers.get("access-control-allow-origin"), headers["vary"]) == (status, None, "Origin")


@pytest.mark.parametrize(("path", "method"), [("/graphql", "GET, POST"), ("/monitoring/chat/stats", "GET")])
async def test_a_browser_may_ask_before_it_sends_a_token(guarded: Edge, path: str, method: str) -> None:
    asked = [f"Origin: {SITE}", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"]
    status, headers, _ = await guarded.http("OPTIONS", path, asked)
    assert (status, headers["access-control-allow-origin"]) == (204, SITE)
    assert headers["access-control-allow-methods"] == method
    assert "authorization" in headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in headers
    status, headers, _ = await guarded.http("OPTIONS", path, [f"Origin: {ELSEWHERE}"])
    assert "access-control-allow-origin" not in headers


async def test_live_can_be_switched_off(start_edge: StartEdge) -> None:
    edge = await start_edge(has_live=False)
    assert await handshake(edge, None, "/live/ws") == 404
    assert await handshake(edge, None) == 101
