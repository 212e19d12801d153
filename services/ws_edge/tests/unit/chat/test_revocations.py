"""Revoked tokens on one worker: "sockets closed within 1 s on every edge, refused until they expire"."""

import asyncio

import pytest
from edge_world import World

from ws_edge.chat import revocations as module
from ws_edge.chat.revocations import RevocableTokens
from ws_edge.errors import InvalidToken, TokensUnavailable
from ws_edge.protocol.identity import Slug, UserId
from ws_edge.protocol.revocations import Revocation

LONG = 1_700_099_999.0


def of_user(user_id: int = 7, version: int = 1) -> Revocation:
    """FakeTokens give tokens that do not say when they were issued: they count as older."""
    return Revocation(UserId(user_id), "", 1.0, LONG, version)


def one(jti: str, version: int = 1, until_s: float = LONG) -> Revocation:
    return Revocation(None, jti, 0.0, until_s, version)


@pytest.fixture
async def door(world: World) -> World:
    """A worker that asks what is revoked, and has asked once."""
    world.entrance.tokens = RevocableTokens(world.entrance.tokens, world.worker.revocations)
    await world.worker.revocations.refresh()
    return world


async def test_an_event_closes_all_sockets_of_the_user_as_if_their_tokens_had_expired_and_no_other(door: World) -> None:
    here, there = await door.join("s", "7:user"), await door.join("t", "7:admin")
    other, guest = await door.join("s", "8:user"), await door.join("s")
    door.worker.tokens_revoked([of_user()])
    await door.settle()
    for closed in (here, there):
        assert (closed.types[-1], closed.closed_with) == ("invalid_token", 1008)
    assert (other.closed_with, guest.closed_with) == (None, None)
    assert door.worker.connections.connected_rank(UserId(7), None, None) is None


async def test_an_event_of_one_token_closes_the_sockets_that_came_with_it_alone(door: World) -> None:
    leaked, kept = await door.join("s", "7:user#a"), await door.join("s", "7:user#b")
    door.worker.tokens_revoked([one("a")])
    await door.settle()
    assert (leaked.types[-1], leaked.closed_with, kept.closed_with) == ("invalid_token", 1008, None)


async def test_a_revoked_token_is_refused_at_the_door_from_then_on(door: World) -> None:
    door.worker.tokens_revoked([of_user(), one("c")])
    for token in ("7:user", "8:user#c"):
        client = await door.arrive("s", token)
        await door.settle()
        assert (client.types, client.closed_with) == (["invalid_token"], 1008)
    await door.join("s", "8:user#d")


async def test_authenticate_with_a_revoked_token_is_refused_and_a_renewed_one_outlives_the_one_before(
    door: World,
) -> None:
    ana = await door.join("s", "7:user#a")
    door.worker.tokens_revoked([one("b")])
    ana.send("authenticate", token="7:user#b")
    await door.settle()
    assert (ana.types, ana.closed_with) == (["invalid_token"], None)
    ana.send("authenticate", token="7:user#c")
    await door.settle()
    door.worker.tokens_revoked([one("a", version=2)])
    await door.settle()
    assert ana.closed_with is None
    door.worker.tokens_revoked([one("c", version=3)])
    await door.settle()
    assert ana.closed_with == 1008


async def test_the_token_of_before_is_not_put_back_where_it_was_revoked_while_the_new_one_was_judged(
    door: World,
) -> None:
    ana = await door.join("s", "7:user#a")
    door.moderation.finally_checking.shut()
    ana.send("authenticate", token="7:user#b")
    await door.settle()
    door.worker.tokens_revoked([one("a")])
    door.moderation.is_away = True
    door.ports.cache.read_at_s.clear()
    door.moderation.finally_checking.open()
    await door.settle()
    assert (ana.types[-1], ana.closed_with) == ("invalid_token", 1008)


async def test_what_no_event_told_is_read_from_the_last_version_on(
    door: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REVOCATIONS_PER_READ", 2)
    ana, ben, cleo = [await door.join("s", f"{number}:user") for number in (7, 8, 9)]
    door.worker.tokens_revoked([of_user(9, version=30)])  # its event overtook the others
    door.moderation.revocations = [of_user(7, version=10), of_user(8, version=20), of_user(9, version=30)]
    await door.worker.revocations.refresh()
    assert [one.closed_with for one in (ana, ben, cleo)] == [1008, 1008, 1008]
    asked: list[int] = []

    async def revocations_after(version: int) -> list[Revocation]:
        asked.append(version)
        return []

    monkeypatch.setattr(door.moderation, "revocations_after", revocations_after)
    await door.worker.revocations.refresh()
    assert asked == [30]


async def test_while_moderation_is_away_what_was_read_last_holds(door: World) -> None:
    door.moderation.revocations = [of_user()]
    await door.worker.revocations.refresh()
    door.moderation.is_away = True
    await door.worker.revocations.refresh()
    with pytest.raises(InvalidToken):
        await door.entrance.tokens.verify("7:user")
    assert (await door.entrance.tokens.verify("8:user")).user_id == 8


async def test_a_worker_that_has_read_nothing_yet_waits_and_then_says_that_it_cannot_know(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = RevocableTokens(world.entrance.tokens, world.worker.revocations)
    waiting = asyncio.create_task(tokens.verify("7:user"))
    await world.settle()
    assert not waiting.done()
    await world.worker.revocations.refresh()
    assert (await waiting).user_id == 7
    monkeypatch.setattr(module, "FIRST_READ_S", 0.0)
    unread = World()
    unread.moderation.is_away = True
    await unread.worker.revocations.refresh()
    with pytest.raises(TokensUnavailable):
        await RevocableTokens(unread.entrance.tokens, unread.worker.revocations).verify("7:user")


async def test_what_has_no_effect_any_more_takes_no_memory(door: World) -> None:
    door.worker.tokens_revoked([one("a", until_s=door.clock.unix_s() - 1), one("b")])
    await door.worker.revocations.drop_ended()
    assert door.ports.revoked.listed() == ["b"]
    assert Slug("s") not in door.worker.sanction_reader.slugs
