"""GraphQL over HTTP: statuses, codes of errors, and what neither clients nor logs get to see."""

import asyncio
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from chassis.errors import DatabaseUnavailable
from rooms.api.graphql import execute as execution
from rooms.api.in_flight import InFlight, finish
from rooms.domain.people import RoomId

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

ROOM = "query Room($id: SafeInt) { chatRoom(id: $id) { id } }"


def _invalid(body: dict[str, object]) -> bool:
    errors = body["errors"]
    assert isinstance(errors, list)
    return "data" not in body and all(error["extensions"] == {"code": "INVALID"} for error in errors)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "  \n",
        "{",
        "chatRooms",
        "{ nothing }",
        "{ chatRooms }",
        "{ chatRooms(first: true) { id } }",
        "query($x: Nothing) { chatRooms { id } }",
        "{ ...Nothing }",
        "fragment F on Query { chatRooms { id } }",
        "query A { chatRooms { id } } query B { chatRooms { id } }",
        "subscription { chatRooms { id } }",
        "type Query { a: Int }",
    ],
)
async def test_what_cannot_be_executed_is_400_without_data(world: "World", query: str) -> None:
    body, status = await world.answer(query)

    assert status == 400
    assert _invalid(body)
    assert world.catalog.asked == []


@pytest.mark.parametrize(
    "variables",
    [
        b"{",
        b"[]",
        b'"x"',
        b"1",
        b"\xff",
        b'{"id":"1"}',
        b'{"id":1.5}',
        b'{"id":true}',
        b'{"id":9007199254740992}',
        b'{"id":-9007199254740992}',
        b'{"id":1e400}',
        b'{"id":NaN}',
        b"[" * 60_000,
        b'{"id":' + b"9" * 5000 + b"}",
        b'{"id":1,"pad":"' + b"x" * 65_536 + b'"}',
    ],
    ids=lambda variables: variables[:24].decode("ascii", "replace"),
)
async def test_bad_variables_are_400_without_data(world: "World", variables: bytes) -> None:
    body, status = await world.answer(ROOM, variables=variables)

    assert status == 400
    assert _invalid(body)


@pytest.mark.parametrize("variables", [b"", b"null", b"{}", b'{"id":null,"unused":1}'])
async def test_variables_may_be_absent_or_unused(world: "World", variables: bytes) -> None:
    body, status = await world.answer("{ chatRooms { id } }", variables=variables)

    assert (body, status) == ({"data": {"chatRooms": []}}, 200)


@pytest.mark.parametrize("number", ["9007199254740992", "1.5", '"1"', "true"])
async def test_a_literal_that_is_no_safe_int_is_400(world: "World", number: str) -> None:
    body, status = await world.answer(f"{{ chatRoom(id: {number}) {{ id }} }}")

    assert status == 400
    assert _invalid(body)


async def test_the_largest_safe_int_is_one(world: "World") -> None:
    assert await world.data("{ chatRoom(id: 9007199254740991) { id } }") == {"chatRoom": None}


async def test_the_operation_is_chosen_by_its_name(world: "World") -> None:
    both = "query A { a: chatRooms { id } } query B { b: chatRooms { id } }"

    assert await world.answer(both, operation="B") == ({"data": {"b": []}}, 200)
    body, status = await world.answer(both, operation="C")
    assert status == 400
    assert _invalid(body)


async def test_a_mutation_over_get_is_405_and_changes_nothing(world: "World") -> None:
    body, status = await world.answer(
        'mutation { createChatRoom(name: "Room") { id } }', world.ana, allow_mutation=False
    )

    assert status == 405
    assert body == {"errors": [{"message": "Mutations need POST", "extensions": {"code": "INVALID"}}]}
    assert world.catalog.rooms == {}


async def test_a_query_beside_a_mutation_in_one_document_works_over_get(world: "World") -> None:
    document = 'query Q { chatRooms { id } } mutation M { createChatRoom(name: "Room") { id } }'

    assert await world.answer(document, operation="Q", allow_mutation=False) == ({"data": {"chatRooms": []}}, 200)
    assert (await world.answer(document, world.ana, operation="M", allow_mutation=False))[1] == 405


async def test_a_refusal_is_200_with_its_text_its_code_and_its_place(world: "World") -> None:
    body, status = await world.answer('mutation { createChatRoom(name: "Room") { id } }')

    assert status == 200
    assert body == {
        "errors": [
            {
                "message": "Sign in first",
                "locations": [{"line": 1, "column": 12}],
                "path": ["createChatRoom"],
                "extensions": {"code": "UNAUTHENTICATED"},
            }
        ],
        "data": None,
    }


async def test_an_unexpected_exception_is_masked_and_logged_once_without_variables(
    world: "World", caplog: pytest.LogCaptureFixture
) -> None:
    world.catalog.failure = RuntimeError("password of the database")

    with capture_logs() as lines, caplog.at_level(logging.DEBUG):
        body, status = await world.answer(
            "query Q($search: String) { found: chatRooms(search: $search) { id } }", variables=b'{"search":"private"}'
        )

    assert status == 200
    assert body["data"] is None
    assert [error["message"] for error in body["errors"]] == ["Internal error"]
    assert body["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
    assert "password" not in json.dumps(body)
    (line,) = lines
    traceback = line.pop("traceback")
    assert line == {"event": "graphql_field_failed", "log_level": "error", "path": "found"}
    assert "in list_rooms" in traceback
    assert "private" not in traceback
    assert caplog.records == []


async def test_a_database_that_is_away_is_unavailable_and_no_defect(world: "World") -> None:
    world.catalog.failure = DatabaseUnavailable("host=10.0.0.7")

    with capture_logs() as lines:
        body, status = await world.answer("{ chatRooms { id } }")

    assert status == 200
    assert body["errors"][0]["message"] == "Service unavailable"
    assert body["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
    assert lines == []


async def test_what_clients_do_wrong_is_not_logged(world: "World", caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as lines, caplog.at_level(logging.DEBUG):
        await world.answer("{ nonsense")
        await world.answer("{ nothing }")
        await world.answer(ROOM, variables=b'{"id":"x"}')
        await world.answer('mutation { createChatRoom(name: "Room") { id } }')
        await world.answer("{" * 5000)

    assert lines == []
    assert caplog.records == []


async def test_text_that_utf8_cannot_hold_does_not_break_the_answer(world: "World") -> None:
    body, status = await world.answer(
        "query Q($first: Int) { chatRooms(first: $first) { id } }", variables=b'{"first":"\\ud800"}'
    )

    assert status == 400
    assert _invalid(body)


async def test_texts_go_out_as_they_are(world: "World") -> None:
    world.put_room("été")
    raw, _ = await execution.execute(world.executions, "{ chatRooms { slug } }", b"", "", None, world.ports, False)

    assert raw == '{"data":{"chatRooms":[{"slug":"été"}]}}'.encode()


async def test_a_request_that_takes_too_long_is_503_and_its_work_is_finished(
    world: "World", monkeypatch: pytest.MonkeyPatch
) -> None:
    proceed, finished = asyncio.Event(), asyncio.Event()

    async def wait(**_: object) -> None:
        await proceed.wait()
        finished.set()

    monkeypatch.setattr(execution, "DEADLINE_S", 0.01)
    monkeypatch.setattr(world.catalog, "find_room", wait)

    with capture_logs() as lines:
        body, status = await world.answer("{ chatRoom(id: 1) { id } }")

    assert status == 503
    assert body == {"errors": [{"message": "The request took too long", "extensions": {"code": "UNAVAILABLE"}}]}
    assert [line["event"] for line in lines] == ["graphql_request_took_too_long"]
    proceed.set()
    await finish(world.executions, deadline_s=60)
    assert finished.is_set()


async def test_one_request_more_than_allowed_at_once_is_503(world: "World") -> None:
    world.executions = InFlight(0)

    body, status = await world.answer("{ chatRooms { id } }")

    assert status == 503
    assert body == {"errors": [{"message": "Too many requests at once", "extensions": {"code": "UNAVAILABLE"}}]}


async def test_an_id_that_is_no_safe_int_is_our_defect(world: "World") -> None:
    room = world.put_room("room")
    world.catalog.rooms[room.slug] = replace(room, room_id=RoomId(2**53))

    with capture_logs() as lines:
        body, _ = await world.answer("{ chatRooms { id } }")

    assert body["errors"][0]["message"] == "Internal error"
    assert "not a SafeInt" in lines[0]["traceback"]


async def test_field_names_are_not_suggested(world: "World") -> None:
    body, _ = await world.answer("{ chatRoms { id } }")

    assert body["errors"][0]["message"] == "Cannot query field 'chatRoms' on type 'Query'."


async def test_the_schema_can_be_asked_for(world: "World") -> None:
    data = await world.data('{ __schema { queryType { name } } __type(name: "SafeInt") { kind } }')

    assert data == {"__schema": {"queryType": {"name": "Query"}}, "__type": {"kind": "SCALAR"}}
