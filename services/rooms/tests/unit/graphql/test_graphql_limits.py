"""How large a request may be, and that being judged costs little."""

import time
from typing import TYPE_CHECKING, Any

import pytest
from graphql import get_introspection_query

from rooms.api.graphql import schema as limits
from rooms.api.graphql.schema import ShapeLimit

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World


async def _refused(world: "World", query: str) -> str:
    body, status = await world.answer(query)
    assert status == 400
    assert "data" not in body
    assert {error["extensions"]["code"] for error in body["errors"]} == {"INVALID"}
    return "\n".join(error["message"] for error in body["errors"])


async def test_a_long_query_is_refused_before_it_is_parsed(world: "World") -> None:
    query = "{ chatRooms { id } }"

    assert (await world.answer(query.ljust(16_384)))[1] == 200
    assert await _refused(world, query.ljust(16_385)) == "The query is longer than 16384 characters"


async def test_a_query_of_more_than_1000_tokens_is_refused(world: "World") -> None:
    assert "1000 tokens" in await _refused(world, "{" + "id " * 1001 + "}")


async def test_15_aliases_are_allowed_and_16_refused(world: "World") -> None:
    query = " ".join(f"a{number}: chatRooms {{ id }}" for number in range(15))

    assert (await world.answer(f"{{ {query} }}"))[1] == 200
    assert "aliases is over the limit of 15" in await _refused(world, f"{{ {query} z: chatRooms {{ id }} }}")


async def test_aliases_count_as_often_as_their_fragment_is_spread(world: "World") -> None:
    fragment = "fragment F on ChatRoom { a: id b: id c: id d: id }"

    message = await _refused(world, "{ " + "chatRooms { ...F } " * 4 + "} " + fragment)

    assert "aliases is over the limit of 15" in message


async def test_300_fields_are_allowed_and_301_refused(world: "World") -> None:
    assert (await world.answer("{ chatRooms {" + " id" * 299 + " } }"))[1] == 200
    assert "fields is over the limit of 300" in await _refused(world, "{ chatRooms {" + " id" * 300 + " } }")


async def test_a_query_deeper_than_8_is_refused(world: "World") -> None:
    message = await _refused(world, "{ chatRooms { participants " + "{ id " * 7 + "}" * 7 + " } }")

    assert "depth is over the limit of 8" in message


@pytest.mark.parametrize("fragment", ["...{", "... on Participant {"])
async def test_fragments_nested_more_than_50_levels_are_refused(world: "World", fragment: str) -> None:
    world.put_room("room")

    def nested(levels: int) -> str:
        return "{ chatRooms { participants {" + fragment * levels + "username" + "}" * levels + "} } }"

    assert (await world.answer(nested(47)))[1] == 200
    assert "nesting is over the limit of 50" in await _refused(world, nested(48))


async def test_fragments_spread_into_each_other_count_as_nested(world: "World") -> None:
    parts = [f"fragment F{n} on Query {{" + "...{" * 40 + f"...F{n + 1}" + "}" * 41 for n in range(4)]

    message = await _refused(world, "{ ...F0 } fragment F4 on Query { chatRooms { id } } " + " ".join(parts))

    assert "nesting is over the limit of 50" in message


async def test_introspection_has_depth_limits_of_its_own(world: "World") -> None:
    assert (await world.answer(get_introspection_query()))[1] == 200
    deep = "{ __schema { types " + "{ fields { type " * 5 + "{ name }" + " } }" * 5 + " } }"
    assert "introspection depth" in await _refused(world, deep)


@pytest.mark.parametrize(
    "query",
    [
        "{ " + "a { " * 400 + "}" * 401,
        "{ chatRoom(slug: " + "[" * 900 + ") { id } }",
        "query(" + "$a: " + "[" * 900 + ") { id }",
    ],
)
async def test_a_query_that_exhausts_the_parser_is_refused_as_any_other(world: "World", query: str) -> None:
    assert "nested too deeply" in await _refused(world, query)


async def test_fragments_that_double_each_other_cost_no_time(world: "World") -> None:
    spreads = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(80))
    began = time.process_time()

    message = await _refused(world, "{ ...F0 } " + spreads + " fragment F80 on Query { a: chatRooms { id } }")

    assert "fields is over the limit of 300" in message
    assert time.process_time() - began < 2


async def test_fragments_in_a_circle_are_refused(world: "World") -> None:
    message = await _refused(world, "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }")

    assert "Cannot spread fragment" in message


async def test_a_query_is_parsed_and_validated_once_however_often_it_is_asked(
    world: "World", monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Any] = []
    limit = ShapeLimit._limit

    def count(self: ShapeLimit, what: str, found: int, allowed: int) -> None:
        measured.append(what)
        limit(self, what, found, allowed)

    monkeypatch.setattr(ShapeLimit, "_limit", count)
    for _ in range(5):
        await world.data("{ chatRooms { id name isPublic } }")

    assert len(measured) == len(("depth", "nesting", "aliases", "fields"))


async def test_a_cached_refusal_stays_the_same(world: "World") -> None:
    first = await world.answer("{ chatRooms { id nothing } }")

    assert await world.answer("{ chatRooms { id nothing } }") == first


def test_the_limits_are_the_documented_ones() -> None:
    assert (limits.TOKEN_LIMIT, limits.DEPTH_LIMIT, limits.NESTING_LIMIT) == (1000, 8, 50)
    assert (limits.ALIAS_LIMIT, limits.FIELD_LIMIT) == (15, 300)
