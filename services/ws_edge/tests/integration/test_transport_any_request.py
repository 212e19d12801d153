"""Whatever stands in a request's head, or in its place, the edge answers as documented or hangs up, and serves on."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import TYPE_CHECKING

import pytest
from fuzz_strategies import JSON, UPGRADES
from hypothesis import HealthCheck, given, settings, strategies as st

if TYPE_CHECKING:
    from services.ws_edge.tests.integration.conftest import Edge

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("each_door")]
PROOF = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
STATUSES = {101, 200, 400, 401, 403, 404, 405, 413, 417, 426}
HEAD = b"GET / HTTP/1.1\r\nHost: salon\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@given(UPGRADES)
@PROOF
async def test_any_upgrade_request_is_answered(edge: Edge, caplog: pytest.LogCaptureFixture, lines: bytes) -> None:
    target, *headers = lines.split(b"\n")
    head = b"\r\n".join([b"GET /" + target.replace(b" ", b"%20") + b" HTTP/1.1", *headers, b"", b""])
    answer = await _answer(edge, head, is_whole=True)
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert status is not None, (head, answer)
    assert int(status[1]) in STATUSES, (head, answer)
    await _serves_on(edge, caplog)


@given(st.binary(max_size=120), st.integers(0, len(HEAD)))
@PROOF
async def test_any_bytes_are_answered_or_hung_up_on(
    edge: Edge, caplog: pytest.LogCaptureFixture, damage: bytes, at: int
) -> None:
    answer = await _answer(edge, HEAD[:at] + damage + HEAD[at:], is_whole=False)
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert not answer or (status is not None and int(status[1]) in STATUSES), (damage, answer)
    await _serves_on(edge, caplog)


_bodies = st.binary(max_size=60) | st.builds(
    lambda fields: json.dumps(fields).encode(),
    JSON
    | st.dictionaries(st.sampled_from(["query", "variables", "operationName"]), JSON | st.just("{ chatRooms { id } }")),
)
_types = st.sampled_from(
    ["application/json", "application/json; charset=utf-8", "application/graphql", "text/plain", ";"]
)


@given(_bodies, _types, st.sampled_from(["", "Bearer USER", "Bearer nobody", "Basic"]))
@PROOF
async def test_any_body_of_a_graphql_request_is_answered(
    edge: Edge, caplog: pytest.LogCaptureFixture, body: bytes, type_: str, authorization: str
) -> None:
    headers = [f"Content-Type: {type_}", f"Authorization: {authorization}"]
    status, _, answer = await edge.http("POST", "/graphql", headers, body)
    assert status in {200, 400, 401, 415}, (status, answer)
    assert isinstance(json.loads(answer), dict)
    for query, variables, operation, _, _ in edge.rooms.calls:
        assert (type(query), type(variables), type(operation)) == (str, bytes, str)
    await _serves_on(edge, caplog)


async def _answer(edge: Edge, octets: bytes, *, is_whole: bool) -> bytes:
    """The head of what comes back for these bytes; where they are no whole request they are followed by an end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        writer.write(octets)
        if not is_whole:
            writer.write_eof()
        async with asyncio.timeout(15):
            return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        return end.partial
    except ConnectionResetError:
        return b""
    finally:
        writer.transport.abort()


async def _serves_on(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    status, _, _ = await edge.http("GET", "/health/live")
    assert status == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
