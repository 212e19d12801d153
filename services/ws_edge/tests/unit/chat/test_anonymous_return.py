"""Anonymous people who come back: the same participant, on one connection at a time, and freed of nothing."""

import pytest
from edge_world import EDGE, Client, World

from ws_edge.ports import Decision, Verdict
from ws_edge.protocol.identity import Life, Rank, Slug, UserId
from ws_edge.protocol.resume_text import LIFETIME_S, ResumeTexts
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope

HOME, AWAY = "192.0.2.1", "198.51.100.9"


def you(client: Client) -> dict[str, object]:
    found = next(frame for frame in client.frames if frame["type"] == "room_joined")["data"]["you"]  # type: ignore[index]
    assert isinstance(found, dict)
    return found


def text_of(client: Client) -> str:
    return str(you(client)["resume"])


async def enter(world: World, text: str | None = None, address: str = HOME, token: str | None = None) -> Client:
    client = await world.arrive("s", token, address, resume_text=text)
    await world.settle()
    return client


def keys(world: World) -> list[str]:
    return [connection.speaker.key for connection in world.worker.connections]


def ban(address: str) -> SanctionEvent:
    sanction = Sanction(1, Action.BAN, None, f"Anonymous_{address}", frozenset({address}), Slug("s"), Rank.ADMIN, None)
    return SanctionEvent(
        1,
        Action.BAN,
        None,
        f"Anonymous_{address}",
        UserId(9),
        0,
        Scope.ROOM,
        Slug("s"),
        0,
        imposed=(sanction,),
    )


async def test_who_comes_back_is_the_same_participant_with_the_same_text(world: World) -> None:
    await world.join("s", "9:user")
    first = await enter(world)
    first.hang_up()
    back = await enter(world, text_of(first), AWAY)
    assert you(back) == you(first)
    assert keys(world)[1:] == [f"c:{EDGE}:2"]
    again = await enter(world, text_of(back))
    assert text_of(again) == text_of(first)


async def test_a_nonce_of_before_is_known_when_the_participant_has_come_back(world: World) -> None:
    await world.join("s", "9:user")
    first = await enter(world)
    first.say("once", nonce="n")
    await world.settle()
    back = await enter(world, text_of(first), AWAY)
    world.moderation.verdict = Verdict(Decision.REPEATED)
    back.say("once", nonce="n")
    await world.settle()
    stored = [frame["data"] for frame in back.frames if frame["type"] == "chat_message"]
    assert [(data["message"], data["nonce"]) for data in stored] == [("once", "n")]  # type: ignore[index]
    assert len(world.bus.stream) == 1


async def test_the_newest_connection_stays_and_the_older_one_is_closed_with_1012(world: World) -> None:
    await world.join("s", "9:user")
    first = await enter(world)
    second = await enter(world, text_of(first))
    third = await enter(world, text_of(first))
    assert [client.closed_with for client in (first, second, third)] == [1012, 1012, None]
    assert not world.rooms.away, "nobody waits for those who gave way"
    third.say("still here")
    await world.settle()
    assert "chat_message" in third.types


async def test_an_older_one_that_gets_in_late_ends_itself(world: World) -> None:
    """The newer one hears of it and says once more that it is newer."""
    await world.join("s", "9:user")
    first = await enter(world)
    first.hang_up()
    world.moderation.finally_checking.shut()
    older = await world.arrive("s", None, HOME, resume_text=text_of(first))
    await world.settle()
    newer = await world.arrive("s", None, HOME, resume_text=text_of(first))
    await world.settle()
    world.bus.listeners[Life(1)][0].participant_returned(f"c:{EDGE}:2", 1)
    world.moderation.finally_checking.open()
    await world.settle()
    assert (older.closed_with, newer.closed_with) == (1012, None)


async def test_a_newer_connection_of_another_edge_closes_the_one_here_and_an_older_one_does_not(world: World) -> None:
    await world.join("s", "9:user")
    first = await enter(world)
    (listener,) = world.bus.listeners[Life(1)]
    listener.participant_returned(f"c:{EDGE}:2", 1)
    listener.participant_returned(f"c:{EDGE}:77", 9)
    assert first.closed_with is None
    listener.participant_returned(f"c:{EDGE}:2", 9)
    assert first.closed_with == 1012


async def test_beside_a_token_the_text_is_not_read(world: World) -> None:
    first = await enter(world)
    ana = await enter(world, text_of(first), token="7:user")
    assert (you(ana)["user_id"], "resume" in you(ana), first.closed_with) == (7, False, None)


@pytest.mark.parametrize("age_s", [0.0, LIFETIME_S])
async def test_what_cannot_be_read_makes_somebody_new(world: World, age_s: float) -> None:
    first = await enter(world)
    text = text_of(first) if age_s else "nonsense"
    world.clock.time_s += age_s
    other = await enter(world, text, AWAY)
    assert you(other)["username"] == f"Anonymous_{AWAY}"
    assert text_of(other) not in (text, text_of(first))
    assert first.closed_with is None


async def test_a_text_of_another_life_makes_somebody_new(world: World) -> None:
    first = await enter(world)
    first.hang_up()
    other = await enter(world, text_of(first), AWAY)
    assert you(other)["username"] == f"Anonymous_{AWAY}"
    assert keys(world) == [f"c:{EDGE}:2"]
    other.hang_up()
    assert world.holds_nothing()


async def test_without_a_key_there_is_no_text(world: World) -> None:
    world.entrance.resume_texts = ResumeTexts(None)
    assert "resume" not in you(await enter(world))


@pytest.mark.parametrize("address", [HOME, AWAY])
async def test_a_ban_of_either_address_closes_who_came_back_and_keeps_them_out(world: World, address: str) -> None:
    await world.join("s", "9:user")
    first = await enter(world)
    back = await enter(world, text_of(first), AWAY)
    world.worker.sanction_changed(ban(address))
    await world.settle()
    assert back.closed_with == 4003
    assert (await enter(world, text_of(first), AWAY)).closed_with == 4003
    assert (await enter(world, text_of(first), "203.0.113.5")).closed_with == (4003 if address == HOME else None)


async def test_moderation_is_asked_about_both_addresses_at_the_door(world: World) -> None:
    await world.join("s", "9:user")
    first = await enter(world)
    world.moderation.checks.clear()
    await enter(world, text_of(first), AWAY)
    assert world.moderation.checks == [("s", True)] * 2


async def test_a_message_is_judged_at_both_addresses_and_refused_where_one_refuses_it(world: World) -> None:
    await world.join("s", "9:user")
    first = await enter(world)
    back = await enter(world, text_of(first), AWAY)
    world.moderation.verdicts_wait = True
    back.say("one", nonce="n")
    world.moderation.waiting.pop()(Verdict(Decision.RATE_LIMITED, 500))
    assert (back.types[-1], world.moderation.waiting, world.bus.stream) == ("rate_limited", [], [])
    back.say("two", nonce="m")
    world.moderation.waiting.pop()(Verdict(Decision.ADMITTED))
    world.moderation.waiting.pop()(Verdict(Decision.ADMITTED))
    await world.settle()
    assert back.types[-1] == "chat_message"


async def test_who_came_back_is_registered_again_under_their_key(world: World) -> None:
    await world.join("s", "9:user")
    first = await enter(world)
    await enter(world, text_of(first), AWAY)
    held = [(one.participant_key, one.identity.username) for one in world.worker.held_connections()]
    assert held == [("", "user_9"), (f"c:{EDGE}:2", f"Anonymous_{HOME}")]
