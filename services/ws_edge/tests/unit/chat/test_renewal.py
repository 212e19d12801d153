"""A token that is renewed on an open connection."""

import asyncio

import pytest
from edge_world import MODERATES, Client, World

from ws_edge.errors import TokensUnavailable
from ws_edge.protocol.frames import AuthenticateData
from ws_edge.protocol.identity import Identity, Rank, Slug, UserId
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope


def sanction(action: Action, rank: Rank = Rank.MODERATOR) -> SanctionEvent:
    one = Sanction(1, action, UserId(7), None, frozenset(), Slug("s"), rank, None)
    return SanctionEvent(1, action, UserId(7), None, UserId(9), 0, Scope.ROOM, Slug("s"), 0, (one,), (), True)


async def renew(world: World, client: Client, token: str) -> list[str]:
    """The types of what the client is sent about it."""
    client.raw = b""
    client.send("authenticate", token=token)
    await world.settle()
    return client.types


def data(client: Client) -> dict[str, object]:
    found = client.frames[-1]["data"]
    assert isinstance(found, dict)
    return found


async def test_the_new_roles_hold_and_the_client_is_told_what_it_may_do(world: World) -> None:
    ana = await world.join("s", "7:user")
    assert await renew(world, ana, "7:moderator@60") == ["authenticated"]
    you = {"user_id": 7, "username": "user_7", "roles": ["moderator"], "may": ["write", *MODERATES]}
    assert data(ana) == {"expires_at": "2023-11-14T22:31:00.000Z", "you": you}
    assert world.worker.connections.connected_rank(UserId(7), None, Slug("s")) is Rank.MODERATOR
    assert await renew(world, ana, "7:user") == ["authenticated"]
    assert (data(ana)["expires_at"], world.worker.connections.connected_rank(UserId(7), None, None)) == (
        None,
        Rank.USER,
    )
    ana.send("moderation_action", action="mute", target_user_id=3)
    assert ana.types[-1] == "not_moderator"


async def test_rooms_is_told_of_a_rank_that_changed_and_of_nothing_else(world: World) -> None:
    ana = await world.join("s", "7:user")
    for token in ("7:user@60", "7:admin", "7:admin@60", "nonsense", "8:superuser", "7:moderator"):
        await renew(world, ana, token)
    assert world.rooms.changed_ranks == [(1, Rank.ADMIN), (1, Rank.MODERATOR)]


async def test_what_is_registered_again_has_the_rank_of_the_renewed_token(world: World) -> None:
    ana = await world.join("s", "7:user")
    await renew(world, ana, "7:admin")
    assert [held.identity.rank for held in world.worker.held_connections()] == [Rank.ADMIN]


@pytest.mark.parametrize("token", ["nonsense", "8:admin"])
async def test_a_bad_token_or_one_of_somebody_else_changes_nothing(world: World, token: str) -> None:
    ana = await world.join("s", "7:moderator")
    assert await renew(world, ana, token) == ["invalid_token"]
    assert (ana.closed_with, world.worker.connections.connected_rank(UserId(7), None, None)) == (None, Rank.MODERATOR)


async def test_an_anonymous_connection_has_no_token_to_renew(world: World) -> None:
    guest = await world.join("s")
    assert await renew(world, guest, "7:user") == ["invalid_token"]
    assert guest.closed_with is None


@pytest.mark.parametrize("token", [None, 5, ""])
async def test_a_token_is_a_text(world: World, token: object) -> None:
    ana = await world.join("s", "7:user")
    ana.send("authenticate", token=token)
    assert ana.types == ["invalid_format"]


async def test_the_new_end_takes_the_place_of_the_old_one(world: World) -> None:
    ana = await world.join("s", "7:user@0.5")  # time enough to come in on a busy machine
    assert await renew(world, ana, "7:user@3600") == ["authenticated"]
    bob = await world.join("s", "8:user@1.0")
    async with asyncio.timeout(30):
        await bob.over.wait()
    assert ana.closed_with is None
    assert await renew(world, ana, "7:user@0.01") == ["authenticated"]
    async with asyncio.timeout(30):
        await ana.over.wait()
    assert ana.closed_with == 1008


async def test_a_ban_that_the_old_rank_was_above_closes_with_4003(world: World) -> None:
    ana = await world.join("s", "7:admin")
    world.worker.sanction_changed(sanction(Action.BAN))
    await world.settle()
    assert ana.closed_with is None
    assert await renew(world, ana, "7:user") == ["access_denied"]
    assert ana.closed_with == 4003


async def test_moderation_is_asked_again(world: World) -> None:
    ana = await world.join("s", "7:user")
    world.moderation.banned.add(UserId(7))
    assert await renew(world, ana, "7:user") == ["access_denied"]
    assert ana.closed_with == 4003


async def test_a_ban_that_comes_while_moderation_is_asked_holds_against_the_new_rank(world: World) -> None:
    ana = await world.join("s", "7:admin")
    world.moderation.finally_checking.shut()
    await renew(world, ana, "7:user")
    world.worker.sanction_changed(sanction(Action.BAN))
    await world.settle()
    assert ana.closed_with == 4003
    world.moderation.finally_checking.open()
    await world.settle()
    assert world.holds_nothing()


async def test_who_may_not_write_any_more_does_not_go_on_typing(world: World) -> None:
    ana = await world.join("s", "7:admin")
    world.worker.sanction_changed(sanction(Action.MUTE))
    ana.send("typing_start")
    await world.settle()
    assert [change.active for change in world.bus.typing] == [True]
    assert await renew(world, ana, "7:user") == ["authenticated"]
    assert [change.active for change in world.bus.typing] == [True, False]
    assert data(ana)["you"]["may"] == []  # type: ignore[index] # JSON


async def test_where_it_cannot_be_checked_the_connection_stays_as_it_was(world: World) -> None:
    ana = await world.join("s", "7:user")
    world.moderation.is_away = True
    world.clock.time_s += 3600
    assert await renew(world, ana, "7:admin") == ["unavailable"]
    assert world.worker.connections.connected_rank(UserId(7), None, None) is Rank.USER
    assert world.rooms.changed_ranks == [(1, Rank.ADMIN), (1, Rank.USER)]


@pytest.mark.parametrize("failure", [TokensUnavailable(), RuntimeError("SECRET")])
async def test_where_keys_are_away_or_anything_fails_the_client_is_answered(
    world: World, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object, _token: str) -> Identity:
        raise failure

    ana = await world.join("s", "7:user")
    monkeypatch.setattr(type(world.entrance.tokens), "verify", fail)
    assert await renew(world, ana, "7:admin") == ["unavailable"]


async def test_twenty_in_ten_seconds_are_enough(world: World) -> None:
    ana = await world.join("s", "7:user")
    for _ in range(20):
        assert await renew(world, ana, "7:user") == ["authenticated"]
    assert await renew(world, ana, "7:user") == ["rate_limited"]


def test_a_token_is_in_no_repr() -> None:
    assert "SECRET" not in repr(AuthenticateData("SECRET"))
