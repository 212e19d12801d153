"""Whatever a client asks, the answer is JSON with a documented status and documented codes, and no defect of ours."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import graphql
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis_graphql import from_schema, nodes

import rooms

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

PROOF = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
STATUSES = {200, 400, 405}
CODES = {"UNAUTHENTICATED", "FORBIDDEN", "NOT_FOUND", "CONFLICT", "INVALID", "UNAVAILABLE"}
_schema = graphql.build_schema((Path(rooms.__file__).parent / "schema.graphql").read_text())
_ids = st.integers(-1, 9) | st.sampled_from([2**53 - 1, 2**53, 2**63])
_times = st.sampled_from(["2025-11-27T16:30:00Z", "2025-11-27", "never", "9999-12-31T23:59:59.999Z"])
_requests = from_schema(
    _schema,
    custom_scalars={"SafeInt": _ids.map(nodes.Int), "DateTime": _times.map(nodes.String)},
    codec=None,
)
_texts = st.text(max_size=60) | st.text(alphabet='{}()[]!$:"@# \nabcdRoomsqueryfirst0123', max_size=60)
_variables = st.binary(max_size=20) | st.dictionaries(st.text(max_size=4), _ids | st.text(max_size=4)).map(
    lambda values: json.dumps(values).encode()
)


async def _ask(world: "World", query: str, variables: bytes = b"", operation: str = "", who: int = 0) -> None:
    viewer = (None, world.ana, world.mod, world.admin)[who]
    body, status = await world.answer(query, viewer, variables=variables, operation=operation, allow_mutation=who != 1)
    assert status in STATUSES, body
    assert {error["extensions"]["code"] for error in body.get("errors", ())} <= CODES, body
    assert "data" in body or body["errors"]


def _fill(world: "World") -> None:
    if not world.catalog.rooms:
        room = world.put_room("live", owner=world.ana)
        world.put_person(room, 10, "ana")
        world.put_person(room, None, "Anonymous_192.0.2.7")
        world.put_sanction("mute", user_id=11, slug="live")
        world.put_rule("live", "a word")


@given(_requests, st.integers(0, 3))
@settings(PROOF, max_examples=80)
async def test_a_request_that_fits_the_schema(world: "World", query: str, who: int) -> None:
    _fill(world)
    await _ask(world, query, who=who)


@given(_requests, st.integers(0, 400), _texts, st.integers(0, 3))
@settings(PROOF, max_examples=60)
async def test_a_request_that_is_damaged(world: "World", query: str, at: int, damage: str, who: int) -> None:
    _fill(world)
    await _ask(world, query[:at] + damage + query[at:], who=who)


@given(_texts, _variables, st.text(max_size=5))
@settings(PROOF, max_examples=60)
async def test_any_text_with_any_variables(world: "World", query: str, variables: bytes, operation: str) -> None:
    _fill(world)
    await _ask(world, query, variables, operation)


@given(_variables)
@settings(PROOF, max_examples=60)
async def test_a_query_that_takes_variables_with_any(world: "World", variables: bytes) -> None:
    _fill(world)
    await _ask(
        world, "query Q($a: SafeInt, $b: Int) { chatRoom(id: $a) { participants(first: $b) { userId } } }", variables
    )
