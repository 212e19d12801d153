"""The edge's HTTP routes."""

from __future__ import annotations

import asyncio
import json
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.contextvars import get_contextvars, merge_contextvars

from chassis.traces import read_trace
from ws_edge.errors import TokensUnavailable
from ws_edge.protocol.identity import Identity, Rank
from ws_edge.protocol.limits import SlidingWindowLimiter

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge, FakeDevTokens, RawClient, StartEdge

pytestmark = pytest.mark.integration

JSON = "Content-Type: application/json"
STATS = "/monitoring/chat/stats"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


# --- GET /monitoring/chat/stats ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", ["ADMIN", "SUPERUSER"])
async def test_stats_are_as_the_document_shows_them(edge: Edge, rank: str) -> None:
    edge.rooms.connections = {3: 2, 1: 8, 2: 5}
    status, headers, body = await edge.http("GET", STATS, [f"Authorization: Bearer {rank}"])
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert body == b'{"total_connections":15,"active_rooms":3,"rooms":{"1":8,"2":5,"3":2}}'


@pytest.mark.parametrize("header", [None, "Authorization: Bearer WRONG", "Authorization: Bearer ", "Authorization: x"])
async def test_stats_need_a_valid_token(edge: Edge, header: str | None) -> None:
    status, headers, _ = await edge.http("GET", STATS + "?token=ADMIN", [header] if header else [])
    assert (status, headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("rank", ["USER", "MODERATOR"])
async def test_stats_are_for_admins_and_superusers(edge: Edge, rank: str) -> None:
    assert (await edge.http("GET", STATS, [f"Authorization: Bearer {rank}"]))[0] == 403


async def test_stats_without_the_rooms_service_are_unavailable(edge: Edge) -> None:
    edge.rooms.is_away = True
    status, _, body = await edge.http("GET", STATS, ["Authorization: Bearer ADMIN"])
    assert (status, body) == (503, b'{"message":"Service unavailable"}')


@pytest.mark.parametrize(("method", "path"), [("GET", STATS), ("POST", "/graphql")])
async def test_while_the_keys_of_tokens_cannot_be_read_a_token_is_service_unavailable(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    async def fail(_tokens: object, _token: str) -> Identity:
        raise TokensUnavailable

    monkeypatch.setattr("services.ws_edge.tests.integration.conftest.FakeTokens.verify", fail)
    body = b'{"query":"{x}"}' if method == "POST" else b""
    status, headers, answer = await edge.http(method, path, [JSON, "Authorization: Bearer ADMIN"], body)
    assert status == 503
    assert b'"message":"Service unavailable"' in answer
    assert "www-authenticate" not in headers


# --- /graphql ------------------------------------------------------------------------------------------------------


async def test_graphql_is_carried_to_the_rooms_service(edge: Edge) -> None:
    call = {"query": "query Q($n:Int){x}", "variables": {"n": 1, "t": "é"}, "operationName": "Q"}
    status, headers, body = await edge.http(
        "POST", "/graphql", [JSON, "Authorization: Bearer USER"], json.dumps(call).encode()
    )
    assert (status, body) == (200, b'{"data":{"chatRooms":[]}}')
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert edge.rooms.calls == [("query Q($n:Int){x}", '{"n":1,"t":"é"}'.encode(), "Q", Rank.USER, True)]


async def test_graphql_without_a_token_has_no_viewer(edge: Edge) -> None:
    status, _, _ = await edge.http("POST", "/graphql", [JSON], b'{"query":"{x}","variables":null,"extensions":{}}')
    assert status == 200
    assert edge.rooms.calls == [("{x}", b"{}", "", None, True)]


async def test_graphql_over_get_reads_only(edge: Edge) -> None:
    path = "/graphql?query=%7Bx%7D&variables=%7B%22n%22%3A1%7D&operationName=Q"
    status, headers, _ = await edge.http("GET", path, ["Accept: application/graphql-response+json"])
    assert status == 200
    assert headers["content-type"] == "application/graphql-response+json; charset=utf-8"
    assert edge.rooms.calls == [("{x}", b'{"n":1}', "Q", None, False)]


async def test_a_mutation_over_get_is_refused_with_405_and_allow_post(edge: Edge) -> None:
    edge.rooms.graphql_status = 405
    status, headers, _ = await edge.http("GET", "/graphql?query=mutation%7Bx%7D")
    assert (status, headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        pytest.param("POST", "/graphql", [JSON], b"{", 400, id="no JSON"),
        pytest.param("POST", "/graphql", [JSON], b"[]", 400, id="no object"),
        pytest.param("POST", "/graphql", [JSON], b"{}", 400, id="no query"),
        pytest.param("POST", "/graphql", [JSON], b'{"query":1}', 400, id="query of a wrong type"),
        pytest.param("POST", "/graphql", [JSON], b'{"query":"\xff"}', 400, id="bad UTF-8"),
        pytest.param("POST", "/graphql", [JSON], b'{"query":"{x}","variables":[1]}', 400, id="variables as a list"),
        pytest.param("POST", "/graphql", [JSON], b'{"query":"{x}","variables":{"a":' + b"[" * 50000, 400, id="deep"),
        pytest.param("POST", "/graphql", [], b'{"query":"{x}"}', 415, id="no content type"),
        pytest.param("POST", "/graphql", ["Content-Type: text/plain"], b'{"query":"{x}"}', 415, id="text"),
        pytest.param("POST", "/graphql", [JSON + "; charset=utf-16"], b'{"query":"{x}"}', 415, id="charset"),
        pytest.param("POST", "/graphql", [JSON, "Authorization: Bearer BAD"], b'{"query":"{x}"}', 401, id="bad token"),
        pytest.param("GET", "/graphql", [], b"", 400, id="GET without query"),
        pytest.param("GET", "/graphql?query=x&variables=%7B", [], b"", 400, id="GET with bad variables"),
        pytest.param("GET", "/graphql?query=x&variables=1%2C%22query%22%3A%22y%22", [], b"", 400, id="smuggled member"),
    ],
)
async def test_what_is_no_graphql_request_is_refused(
    edge: Edge, method: str, path: str, headers: list[str], body: bytes, status: int
) -> None:
    answered, _, content = await edge.http(method, path, headers, body)
    assert answered == status
    assert json.loads(content)["errors"][0]["extensions"]["code"] in ("INVALID", "UNAUTHENTICATED")
    assert edge.rooms.calls == []


async def test_a_graphql_body_over_the_limit_is_refused_with_413(edge: Edge) -> None:
    client = await edge.raw()
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\n{JSON}\r\nContent-Length: 300000\r\n\r\n"
    status, _ = await client.request(head, b"x" * 300000)
    assert status == 413


async def send_until_it_fails(client: RawClient) -> None:
    while True:
        client.writer.write(b"x" * 1000)
        await client.writer.drain()
        await asyncio.sleep(0.01)


async def test_a_client_that_is_still_sending_what_was_refused_reads_the_answer_and_is_not_reset(edge: Edge) -> None:
    client = await edge.raw()
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\n{JSON}\r\nContent-Length: 300000\r\n\r\n"
    assert (await client.request(head))[0] == 413
    assert await client.reader.read() == b'{"message":"Request too large"}'
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await send_until_it_fails(client)


async def test_a_client_that_never_ends_sending_what_was_refused_is_cut_off(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ws_edge.transport.lingering._WITHIN_S", 0.1)
    client = await edge.raw()
    assert (await client.request(edge.head("/chat/ws/room/1?token=" + "x" * 20000)))[0] == 413
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(30):
            await send_until_it_fails(client)


async def test_what_other_addresses_refuse_is_not_counted(edge: Edge) -> None:
    asks = [("PUT", "/graphql"), ("GET", "/nowhere"), ("POST", "/health/live"), ("GET", "/chat/ws/rooms")]
    assert [(await edge.http(*ask))[0] for ask in asks] == [405, 404, 405, 404]
    assert edge.acceptor.turned_away_with == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_graphql_knows_get_and_post_alone(edge: Edge, method: str) -> None:
    status, headers, _ = await edge.http(method, "/graphql")
    assert status == 405
    assert sorted(headers["allow"].split(", ")) == ["GET", "POST"]


async def test_graphql_without_the_rooms_service_is_unavailable(edge: Edge) -> None:
    edge.rooms.is_away = True
    status, _, body = await edge.http("POST", "/graphql", [JSON], b'{"query":"{x}"}')
    assert status == 503
    assert json.loads(body)["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


async def test_an_address_asks_graphql_so_often_a_second_and_is_told_when_to_come_back(start_edge: StartEdge) -> None:
    edge = await start_edge(graphql_limit=SlidingWindowLimiter(3, 60.0))
    asks = [
        ("POST", "/graphql", [JSON], b'{"query":"{x}"}'),
        ("GET", "/graphql?query=x", ["Authorization: Bearer USER"], b""),
        ("POST", "/graphql", [], b"what cannot be read counts as well"),
    ]
    assert [(await edge.http(*ask))[0] for ask in asks] == [200, 200, 415]
    calls = len(edge.rooms.calls)
    for method, path, headers, body in asks:
        accept = ["Accept: application/graphql-response+json"]
        status, answered, content = await edge.http(method, path, [*headers, *accept], body)
        assert status == 429
        assert content == b'{"errors":[{"message":"Too many requests","extensions":{"code":"UNAVAILABLE"}}]}'
        assert answered["content-type"] == "application/graphql-response+json; charset=utf-8"
        assert 50 <= int(answered["retry-after"]) <= 60
    assert len(edge.rooms.calls) == calls
    assert edge.acceptor.turned_away_with == ["graphql_429"] * 3
    assert (await edge.http("GET", "/health/live"))[0] == 200


async def test_graphql_counts_the_addresses_behind_trusted_proxies_and_networks_of_ipv6(start_edge: StartEdge) -> None:
    limit = SlidingWindowLimiter(1, 60.0)
    trusting = await start_edge(graphql_limit=limit, trusted_proxies=(ip_network("127.0.0.0/8"),))
    doubting = await start_edge(graphql_limit=SlidingWindowLimiter(1, 60.0))
    told = {
        address: [
            (await edge.http("GET", "/graphql?query=x", [f"X-Forwarded-For: {address}"]))[0]
            for edge in (trusting, doubting)
        ]
        for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    }
    assert told == {
        "192.0.2.1": [200, 200],
        "192.0.2.2": [200, 429],
        "2001:db8::1": [200, 429],
        "2001:db8::2": [429, 429],
        "2001:db8:0:1::1": [200, 429],
    }


# --- traces --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/graphql", b'{"query":"{x}"}'), ("GET", "/graphql?query=%7Bx%7D", b""), ("GET", STATS, b"")],
)
async def test_a_request_belongs_to_the_trace_that_it_names(edge: Edge, method: str, path: str, body: bytes) -> None:
    sent = [JSON, "Authorization: Bearer ADMIN", f"Traceparent: {TRACE}"]
    status, headers, _ = await edge.http(method, path, sent, body)
    assert (status, edge.rooms.traces) == (200, [TRACE])
    assert not [name for name in headers if name.startswith("trace")]


@pytest.mark.parametrize("header", [[], ["traceparent: 00-abc-def-01"], [f"traceparent: {TRACE}-x"], ["traceparent: "]])
async def test_a_request_without_a_valid_trace_has_a_new_one(edge: Edge, header: list[str]) -> None:
    for _ in range(2):
        assert (await edge.http("POST", "/graphql", [JSON, *header], b'{"query":"{x}"}'))[0] == 200
    first, second = edge.rooms.traces
    assert first is not None
    assert read_trace(first) == first
    assert first[:35] not in (str(second)[:35], TRACE[:35])


async def test_what_is_logged_of_a_fault_names_the_trace_of_the_request(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(edge.rooms, "stats", fail)
    with structlog.testing.capture_logs(processors=[merge_contextvars]) as logs:
        status, _, _ = await edge.http("GET", STATS, ["Authorization: Bearer ADMIN", f"traceparent: {TRACE}"])
    assert status == 500
    assert [(entry["event"], entry["trace"]) for entry in logs] == [("request_failed", TRACE)]


async def test_a_trace_ends_with_its_request(start_edge: StartEdge) -> None:
    held: list[str | None] = []

    async def check() -> None:
        held.append(get_contextvars().get("trace"))

    edge = await start_edge(checks={"rooms": check})
    edge.acceptor.on_arrival = lambda: held.append(get_contextvars().get("trace"))
    client = await edge.raw()
    query = "GET /graphql?query=%7Bx%7D HTTP/1.1\r\nHost: localhost\r\n"
    for head in (
        f"{query}traceparent: {TRACE}\r\n\r\n",
        f"{query}\r\n",
        f"GET /health/ready HTTP/1.1\r\nHost: localhost\r\ntraceparent: {TRACE}\r\n\r\n",
        edge.head(),
    ):
        _, headers = await client.request(head)
        await client.reader.readexactly(int(headers.get("content-length", 0)))
    first, second = edge.rooms.traces
    assert first == TRACE
    assert second is not None
    assert second[:35] != TRACE[:35]
    assert held == [None, None]


# --- health, metrics, page -----------------------------------------------------------------------------------------


async def test_readiness_names_what_fails(start_edge: StartEdge) -> None:
    async def good() -> None: ...

    async def no() -> bool:
        return False

    async def broken() -> None:
        raise ConnectionError

    edge = await start_edge(checks={"nats": good, "rooms": no, "moderation": broken})
    status, _, body = await edge.http("GET", "/health/ready")
    assert (status, body) == (503, b'{"status":"not ready","failing":["rooms","moderation"]}')
    assert (await edge.http("GET", "/health/live"))[::2] == (200, b'{"status":"live"}')


async def test_readiness_does_not_wait_for_a_silent_dependency(
    start_edge: StartEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ws_edge.transport.routes.monitoring._CHECK_DEADLINE_S", 0.05)
    edge = await start_edge(checks={"rooms": asyncio.Event().wait})
    assert (await edge.http("GET", "/health/ready"))[0] == 503


async def test_all_checks_passed_is_ready(edge: Edge) -> None:
    assert (await edge.http("GET", "/health/ready"))[::2] == (200, b'{"status":"ready","failing":[]}')


async def test_an_edge_accepts_newcomers_whose_services_are_away_until_it_drains(start_edge: StartEdge) -> None:
    async def away() -> None:
        raise ConnectionError

    edge = await start_edge(checks={"rooms": away, "moderation": away, "nats": away})
    assert (await edge.http("GET", "/health/ready"))[0] == 503
    assert (await edge.http("GET", "/health/accepting"))[::2] == (200, b'{"status":"accepting"}')
    edge.app.ctx.drain_state.is_draining = True
    assert (await edge.http("GET", "/health/accepting"))[::2] == (503, b'{"status":"draining"}')
    assert (await edge.http("GET", "/health/live"))[0] == 200


async def test_metrics_are_prometheus_text(start_edge: StartEdge) -> None:
    edge = await start_edge(render_metrics=lambda: b"salon_ws_edge_connections 1\n")
    status, headers, body = await edge.http("GET", "/metrics")
    assert (status, body) == (200, b"salon_ws_edge_connections 1\n")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_the_page_is_served_at_the_root(edge: Edge) -> None:
    status, headers, body = await edge.http("GET", "/")
    assert (status, body) == (200, b"<!doctype html>")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["referrer-policy"] == "no-referrer"


async def test_an_unknown_address_is_404_in_json(edge: Edge) -> None:
    assert (await edge.http("GET", "/nowhere"))[::2] == (404, b'{"message":"Not found"}')


async def test_a_fault_tells_the_client_nothing(start_edge: StartEdge) -> None:
    def fail() -> bytes:
        raise ZeroDivisionError("inner words")

    edge = await start_edge(render_metrics=fail)
    with structlog.testing.capture_logs() as logs:
        status, _, body = await edge.http("GET", "/metrics?token=SECRET")
    assert (status, body) == (500, b'{"message":"Internal server error"}')
    assert [(entry["event"], entry["kind"]) for entry in logs] == [("request_failed", "ZeroDivisionError")]
    assert "SECRET" not in repr(logs)


# --- POST /dev/token -----------------------------------------------------------------------------------------------


async def test_there_are_no_development_tokens_without_an_issuer(edge: Edge) -> None:
    assert (await edge.http("POST", "/dev/token", [JSON], b'{"username":"ana"}'))[0] == 404


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "[::ffff:127.0.0.1]"]
)
async def test_a_development_token_is_given_on_loopback(
    start_edge: StartEdge, dev_tokens: FakeDevTokens, host: str
) -> None:
    edge = await start_edge(dev_tokens=dev_tokens)
    body = b'{"username":" ana ","user_id":7,"roles":["user"]}'
    status, headers, answer = await edge.http("POST", "/dev/token", [JSON, f"Host: {host}"], body)
    assert (status, answer) == (200, b'{"token":"token-of-ana-7"}')
    assert headers["cache-control"] == "no-store"
    assert (await edge.http("POST", "/dev/token", [JSON], b'{"username":"bo"}'))[2] == b'{"token":"token-of-bo-None"}'


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param(["Content-Type: text/plain"], b'{"username":"ana"}', 415, id="a form of another site"),
        pytest.param([JSON], b'{"username":"ana","roles":["admin"]}', 403, id="role that the issuer refuses"),
        pytest.param([JSON], b"{}", 400, id="no name"),
        pytest.param([JSON], b'{"username":" "}', 400, id="blank name"),
        pytest.param([JSON], b'{"username":"ana","user_id":0}', 400, id="no id"),
        pytest.param([JSON], b'{"username":"ana","user_id":"1"}', 400, id="id as text"),
        pytest.param([JSON], b"ana", 400, id="no JSON"),
    ],
)
async def test_other_wishes_for_a_development_token_are_refused(
    start_edge: StartEdge, dev_tokens: FakeDevTokens, headers: list[str], body: bytes, status: int
) -> None:
    edge = await start_edge(dev_tokens=dev_tokens)
    assert (await edge.http("POST", "/dev/token", headers, body))[0] == status


@pytest.mark.parametrize(
    "headers",
    [
        ["Host: evil.example"],
        ["Host: localhost.evil.example"],
        ["Host: 127.0.0.1.evil.example"],
        ["Host: 127.0.0.1%.evil.example"],
        ["Host: evil.example:80:127.0.0.1"],
        ["Host: localhost:80@evil.example"],
        ["Host: evil.example@localhost"],
        ["Host: [::1].evil.example"],
        ["Host: [::1]evil.example:80"],
        ["Host: [localhost]"],
        ["Host: localhost:http"],
        ["Host: 0.0.0.0:8000"],
        ["Host: [::]:8000"],
        ["Host: 127.1"],
        ["Host: 2130706433"],
        ["Host: 0x7f.0.0.1"],
        ["Host: 0177.0.0.1"],
        ["Host: ws_edge"],
        ["Host: 10.0.0.1"],
        ["Host: "],
        ["Host: localhost, evil.example"],
        ["Host: localhost", "Host: evil.example"],
        ["Host: evil.example", "Host: localhost"],
        ["X-Forwarded-For: 192.0.2.1"],
        ["X-Forwarded-For: 127.0.0.1"],
        ["X-Forwarded-For: "],
        ["x-forwarded-for: 127.0.0.1"],
        ["Forwarded: for=127.0.0.1"],
        ["Via: 1.1 proxy"],
        ["X-Forwarded-Host: localhost"],
        ["X-Forwarded-Proto: https"],
        ["X-Real-IP: 127.0.0.1"],
        ["Origin: http://evil.example"],
        ["Origin: http://localhost.evil.example"],
        ["Origin: http://localhost:9999"],
        ["Origin: null"],
        ["Host: localhost:8000", "Origin: http://localhost"],
        ["Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: same-site"],
    ],
    ids=repr,
)
async def test_there_are_no_development_tokens_for_who_is_or_may_be_elsewhere(
    start_edge: StartEdge, dev_tokens: FakeDevTokens, headers: list[str]
) -> None:
    edge = await start_edge(dev_tokens=dev_tokens)
    answer = await edge.http("POST", "/dev/token", [JSON, *headers], b'{"username":"ana"}')
    assert answer[::2] == (404, b'{"message":"Not found"}')


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("POST http://evil.example/dev/token HTTP/1.1", id="another host in the address"),
        pytest.param("POST http://localhost/dev/token HTTP/1.1", id="an address as proxies are asked for it"),
        pytest.param("POST /dev/token HTTP/1.0", id="as a proxy speaks by default"),
    ],
)
async def test_there_are_no_development_tokens_for_requests_that_browsers_do_not_make(
    start_edge: StartEdge, dev_tokens: FakeDevTokens, line: str
) -> None:
    edge = await start_edge(dev_tokens=dev_tokens)
    client = await edge.raw()
    head = f"{line}\r\nHost: localhost\r\n{JSON}\r\nContent-Length: 18\r\n\r\n"
    assert (await client.request(head, b'{"username":"ana"}'))[0] == 404


async def test_a_page_of_this_origin_gets_its_development_token(
    start_edge: StartEdge, dev_tokens: FakeDevTokens
) -> None:
    edge = await start_edge(dev_tokens=dev_tokens)
    headers = [JSON, "Host: localhost:8000", "Origin: http://localhost:8000", "Sec-Fetch-Site: same-origin"]
    assert (await edge.http("POST", "/dev/token", headers, b'{"username":"ana"}'))[0] == 200


async def test_no_other_site_may_ask_whether_it_may_send_json(start_edge: StartEdge, dev_tokens: FakeDevTokens) -> None:
    edge = await start_edge(dev_tokens=dev_tokens)
    headers = ["Origin: http://evil.example", "Access-Control-Request-Method: POST"]
    status, answered, _ = await edge.http("OPTIONS", "/dev/token", headers)
    assert status == 405
    assert not [name for name in answered if name.startswith("access-control")]
