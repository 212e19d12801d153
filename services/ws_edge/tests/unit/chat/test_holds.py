"""Held messages on one worker: who is told, what comes back with a nonce, and what becomes of each."""

import pytest
from edge_world import AT, Client, World
from msgspec import structs

from ws_edge.chat import holds as module
from ws_edge.ports import CommandRefusal, CommandResult, Decision, HoldRefusal, Verdict
from ws_edge.protocol.commands import DecideHeld
from ws_edge.protocol.holds import Allowed, Decided, HeldMessage, HoldReason, HoldState
from ws_edge.protocol.identity import Life, MessageId, Slug, UserId
from ws_edge.protocol.log import MessageDeleted, StoredMessage
from ws_edge.protocol.policies import Policy

SLUG = Slug("s")
REASON = HoldReason(3, "words")
HELD = Verdict(Decision.HELD, 0, 0, 41, held=REASON)
UNTIL = "2025-11-27T16:38:00.000Z"
WAITS = {"type": "message_held", "data": {"hold_id": 1, "nonce": "n1", "state": "waiting", "expires_at": UNTIL}}
REJECTED = {"type": "message_rejected", "data": {"hold_id": 1, "nonce": "n1", "state": "denied"}}


def life_of(world: World) -> Life:
    (life,) = {life for life, room in world.worker.held_rooms.by_life.items() if room.room.slug == SLUG}
    return life


async def held(world: World, client: Client, *, nonce: str = "n1", verdict: Verdict = HELD) -> None:
    """Somebody says something that is to wait."""
    world.moderation.verdict = verdict
    client.say("see evil.com", nonce=nonce)
    await world.settle()


def decided(world: World, state: HoldState = HoldState.DENIED, *, is_heard: bool = True) -> HeldMessage:
    """Moderation has decided about the first one."""
    hold = structs.replace(
        world.moderation.holds[1], state=state, decided_by=UserId(9), decided_at_ms=1_764_261_180_000
    )
    world.moderation.holds[1] = hold
    if is_heard:
        world.worker.holds_changed([hold])
    return hold


async def published(
    world: World, *, token: int = 0, edge: str = "", key: str = "u:5", user_id: int | None = 5
) -> MessageId:
    """The outbox has put the message into the log."""
    author = None if user_id is None else UserId(user_id)
    life, number = life_of(world), MessageId(len(world.bus.stream) + 1)
    said = StoredMessage(
        number,
        MessageId(number - 1),
        AT,
        "see evil.com",
        author,
        "ana",
        edge,
        token,
        "n1",
        allowed=Allowed(1, key, "a1", 99),
    )
    world.bus.stream.append((life, said))
    world.bus.copies.append((life, said))
    world.bus.give_copies()
    world.moderation.entries_of_holds[1] = number
    await world.settle()
    return number


async def test_the_author_alone_is_told_on_all_connections_in_the_room_once(world: World) -> None:
    here, again = await world.join("s", "5:user"), await world.join("s", "5:user")
    elsewhere, witness = await world.join("t", "5:user"), await world.join("s", "6:user")
    await held(world, here)
    world.worker.holds_changed([world.moderation.holds[1]])
    await world.worker.actions.refresh()
    assert here.frames == again.frames == [WAITS]
    assert elsewhere.frames == witness.frames == []
    assert world.bus.stream == []
    (request,) = world.moderation.hold_requests
    assert (request.text, request.nonce, request.number, request.reason) == ("see evil.com", "n1", 41, REASON)
    assert (request.author.key, request.slug, request.log.life) == ("u:5", SLUG, life_of(world))
    here.raw = b""
    world.moderation.verdict = Verdict(Decision.ADMITTED)
    here.say("goes on")
    await world.settle()
    assert here.types == ["chat_message"]


async def test_anonymous_people_of_one_name_do_not_hear_of_each_other(world: World) -> None:
    here, neighbour = await world.join("s"), await world.join("s")
    await held(world, here)
    assert (here.types, neighbour.types) == (["message_held"], [])


async def test_sent_again_with_its_nonce_it_is_not_judged_again_and_its_author_hears_how_it_stands(
    world: World,
) -> None:
    client = await world.join("s", "5:user")
    await held(world, client)
    world.moderation.verdict = Verdict(Decision.ADMITTED)
    client.say("see evil.com", nonce="n1")
    assert client.frames == [WAITS, WAITS]
    decided(world)
    client.say("see evil.com", nonce="n1")
    assert client.frames[2:] == [REJECTED, REJECTED]
    assert len(world.moderation.hold_requests) == 1
    assert world.bus.stream == []


async def test_sent_twice_at_once_it_is_the_same_message_also_where_texts_are_unique(world: World) -> None:
    world.moderation.policies[SLUG] = Policy(1, unique=True)
    client = await world.join("s", "5:user")
    world.moderation.verdict = HELD
    world.moderation.holding.shut()
    client.say("see evil.com", nonce="n1")
    client.say("see evil.com", nonce="n1")
    await world.settle()
    world.moderation.holding.open()
    await world.settle()
    assert client.frames == [WAITS, WAITS]
    assert len(world.moderation.holds) == 1


async def test_an_allowed_one_that_is_not_shown_to_viewers_yet_comes_besides_to_its_author(world: World) -> None:
    client = await world.join("s", "5:user")
    await held(world, client)
    decided(world, HoldState.ALLOWED)
    world.ports.policies.apply(Slug("s"), Policy(1, max_shown_per_second=5))
    world.moderation.verdict = Verdict(Decision.ADMITTED)
    client.say("waits for the end of its second")
    await world.settle()
    number = await published(world)
    client.raw = b""
    client.say("see evil.com", nonce="n1")
    await world.settle()
    (frame,) = client.frames
    data = frame["data"]
    assert isinstance(data, dict)
    assert (data["id"], data["nonce"], data["hold_id"], data.get("prev_id")) == (number, "n1", 1, None)


async def test_an_allowed_one_that_is_sent_again_is_shown_once_more_to_its_author(world: World) -> None:
    client, witness = await world.join("s", "5:user"), await world.join("s", "6:user")
    await held(world, client)
    decided(world, HoldState.ALLOWED)
    client.say("see evil.com", nonce="n1")
    await world.settle()
    assert client.types == ["message_held", "unavailable"]  # the log does not have it yet
    number = await published(world)
    client.say("see evil.com", nonce="n1")
    await world.settle()
    first, again = client.frames[2:]
    assert first == again
    assert again["data"]["id"] == number  # type: ignore[index]
    assert witness.types == ["chat_message"]
    deletion = MessageDeleted(MessageId(2), number, AT, number, UserId(5), "ana", UserId(9))
    world.bus.beside.append((life_of(world), deletion))
    world.bus.stream.append((life_of(world), deletion))
    world.bus.copies.append((life_of(world), deletion))
    world.bus.give_copies()
    await world.settle()
    client.say("see evil.com", nonce="n1")
    await world.settle()
    assert client.types[4:] == ["message_deleted", "message_deleted"]  # the entry, and the error


async def test_of_an_allowed_one_that_is_sent_again_and_again_moderation_is_asked_once_at_a_time(world: World) -> None:
    client = await world.join("s", "5:user")
    await held(world, client)
    decided(world, HoldState.ALLOWED)
    await published(world)
    client.raw = b""
    asked = len(world.moderation.hold_requests)
    world.moderation.holding.shut()
    for _ in range(3):
        client.say("see evil.com", nonce="n1")
    await world.settle()
    assert [frame["data"]["code"] for frame in client.frames] == ["rate_limited"] * 2  # type: ignore[index]
    world.moderation.holding.open()
    await world.settle()
    assert client.types[2:] == ["chat_message"]
    client.say("see evil.com", nonce="n1")
    await world.settle()
    assert client.types[3:] == ["chat_message"]
    assert len(world.moderation.hold_requests) == asked + 2


async def test_what_another_edge_knows_of_a_message_is_told_by_moderation(world: World) -> None:
    """This edge has not heard of it: moderation knows the nonce."""
    client = await world.join("s", "5:user")
    await held(world, client)
    decided(world, is_heard=False)
    world.ports.holds.forget(SLUG)
    client.raw = b""
    await held(world, client)
    assert client.frames == [REJECTED]
    world.ports.holds.forget(SLUG)
    world.moderation.holds[1] = structs.replace(world.moderation.holds[1], state=HoldState.ALLOWED)
    await published(world)
    client.raw = b""
    await held(world, client)
    assert client.types == ["chat_message"]


@pytest.mark.parametrize(
    ("refusal", "code"), [(HoldRefusal.FULL, "hold_full"), (HoldRefusal.BANNED, "muted_or_banned")]
)
async def test_what_may_not_wait_is_refused_and_counts_for_nothing(
    world: World, refusal: HoldRefusal, code: str
) -> None:
    client = await world.join("s", "5:user")
    world.moderation.hold_result = refusal
    await held(world, client)
    assert client.types == [code]
    assert world.moderation.released == [("u:5", SLUG, life_of(world), "n1", 41)]


async def test_where_nobody_can_say_whether_it_waits_it_is_unavailable(world: World) -> None:
    client = await world.join("s", "5:user")
    world.moderation.holding.shut()
    await held(world, client)
    world.moderation.is_away = True
    world.moderation.holding.open()
    await world.settle()
    assert client.types == ["unavailable"]
    assert len(world.moderation.released) == 1
    world.moderation.is_away = False
    await held(world, client, nonce="n2")
    decided(world, HoldState.ALLOWED)
    world.moderation.is_away = True
    client.say("see evil.com", nonce="n2")
    await world.settle()
    assert client.types[1:] == ["message_held", "unavailable"]


async def test_denied_it_gives_its_place_back_and_its_author_is_told_once(world: World) -> None:
    here, witness = await world.join("s", "5:user"), await world.join("s", "6:user")
    await held(world, here, verdict=HELD._replace(place=41))
    decided(world)
    decided(world)
    assert here.frames == [WAITS, REJECTED]
    assert witness.frames == []
    assert world.moderation.released == [("u:5", SLUG, life_of(world), "n1", 41)]


async def test_an_edge_that_only_has_its_author_gives_the_place_back_as_well(world: World) -> None:
    await world.join("s", "5:user")
    elsewhere = HeldMessage(
        1, SLUG, life_of(world), UserId(5), "ana", "other:1", "n1", 17, HoldState.WAITING, 1_764_261_480_000
    )
    world.moderation.holds[1] = elsewhere
    world.worker.holds_changed([elsewhere])
    assert world.moderation.released == []
    decided(world)
    assert world.moderation.released == [("u:5", SLUG, life_of(world), "", 17)]


async def test_allowed_it_keeps_its_place_and_everybody_sees_it(world: World) -> None:
    here, again = await world.join("s", "5:user"), await world.join("s", "5:user")
    witness = await world.join("s", "6:user")
    await held(world, here)
    decided(world, HoldState.ALLOWED)
    await published(world)
    assert here.types == again.types == ["message_held", "chat_message"]
    own = here.frames[1]["data"]
    assert (own["nonce"], own["hold_id"]) == ("n1", 1)  # type: ignore[index]
    (seen,) = witness.frames
    assert not {"nonce", "hold_id", "action_id"} & set(seen["data"])  # type: ignore[call-overload]
    assert world.moderation.released == []


async def test_an_anonymous_author_has_their_own_copy(world: World) -> None:
    here, neighbour = await world.join("s"), await world.join("s")
    await held(world, here)
    (hold,) = world.moderation.holds.values()
    await published(world, key=f"c:{hold.connection}", user_id=None)
    assert "hold_id" in here.frames[1]["data"]  # type: ignore[operator]
    assert "hold_id" not in neighbour.frames[0]["data"]  # type: ignore[operator]


async def test_who_comes_back_is_told_how_it_stands(world: World) -> None:
    first = await world.join("s", "5:user")
    await held(world, first)
    first.hang_up()
    await world.join("s", "6:user")
    back = await world.arrive("s", "5:user")
    await world.settle()
    assert (back.types, back.frames[1]) == (["room_joined", "message_held"], WAITS)
    back.hang_up()
    decided(world)
    again = await world.arrive("s", "5:user")
    await world.settle()
    assert again.frames[1:] == [REJECTED]
    other = await world.join("s", "7:user")
    assert other.frames == []


async def test_an_event_that_was_lost_is_made_up_for_by_the_next_reading(world: World) -> None:
    client = await world.join("s", "5:user")
    await held(world, client)
    decided(world, HoldState.EXPIRED, is_heard=False)
    assert client.types == ["message_held"]
    await world.worker.actions.refresh()
    assert client.types == ["message_held", "message_rejected"]
    assert len(world.moderation.released) == 1


async def test_what_was_decided_before_the_edge_heard_that_it_waits_is_told_as_it_is(world: World) -> None:
    client = await world.join("s", "5:user")
    world.moderation.holding.shut()
    await held(world, client)
    life = life_of(world)
    early = HeldMessage(1, SLUG, life, UserId(5), "u", "e:1", "n1", 41, HoldState.DENIED, 1_764_261_480_000)
    world.worker.holds_changed([early])
    world.moderation.holding.open()
    await world.settle()
    assert client.types == ["message_rejected"]
    assert [released[4] for released in world.moderation.released] == [41, 41]


async def test_the_releases_that_wait_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RELEASES_LIMIT", 1)
    client = await world.join("s", "5:user")
    await held(world, client)
    await held(world, client, nonce="n2")
    decided(world)
    assert [released[3] for released in world.moderation.released] == [""]


async def test_where_texts_are_unique_the_room_is_asked_before_it_waits(world: World) -> None:
    client = await world.join("s", "5:user")
    await held(world, client, verdict=HELD._replace(text_open=True))
    assert world.moderation.hold_requests == []
    world.moderation.waiting_of_texts.pop()(Verdict(Decision.DUPLICATE, 500))
    assert client.types == ["duplicate"]
    await held(world, client, verdict=HELD._replace(text_open=True))
    world.moderation.waiting_of_texts.pop()(Verdict(Decision.ADMITTED))
    await world.settle()
    assert client.types == ["duplicate", "message_held"]


# --- moderators -----------------------------------------------------------------------------------------------------


async def act(world: World, chair: Client, action: str = "allow", nonce: str = "a1") -> None:
    chair.send("moderation_action", action=action, hold_id=1, nonce=nonce)
    await world.settle()


async def test_who_allows_it_sees_it_with_the_nonce_of_the_action(world: World) -> None:
    author, chair = await world.join("s", "5:user"), await world.join("s", "9:moderator")
    await held(world, author)
    hold = structs.replace(world.moderation.holds[1], state=HoldState.ALLOWED)
    world.moderation.result = CommandResult(None, None, is_repeated=False, action_id=99, hold=hold)
    await act(world, chair)
    (request,) = world.moderation.requests
    assert request.command == DecideHeld(1, allows=True)
    assert chair.frames == []
    await published(world, token=request.token, edge=request.edge)
    (own,) = chair.frames
    data = own["data"]
    assert (data["nonce"], data["action_id"], data["hold_id"]) == ("a1", 99, 1)  # type: ignore[index]
    assert author.frames[1]["data"]["nonce"] == "n1"  # type: ignore[index]
    world.moderation.result = CommandResult(None, MessageId(1), is_repeated=True, action_id=99, hold=hold)
    await act(world, chair)
    assert chair.frames[1] == own


async def test_who_denies_it_is_told_so_alone(world: World) -> None:
    author, chair = await world.join("s", "5:user"), await world.join("s", "9:moderator")
    await held(world, author)
    hold = structs.replace(
        world.moderation.holds[1], state=HoldState.DENIED, decided_by=UserId(9), decided_at_ms=1_764_261_180_000
    )
    for is_repeated in (False, True):
        world.moderation.result = CommandResult(None, None, is_repeated=is_repeated, action_id=99, hold=hold)
        await act(world, chair, "deny")
    assert chair.frames[0] == chair.frames[1]
    assert chair.frames[0]["data"] == {
        "action": "deny",
        "target_user_id": 5,
        "moderator_user_id": 9,
        "duration_minutes": 0,
        "timestamp": "2025-11-27T16:33:00.000Z",
        "nonce": "a1",
        "action_id": 99,
        "hold_id": 1,
    }
    assert author.frames == [WAITS, REJECTED]


async def test_a_second_decision_is_told_who_was_first_and_another_life_that_it_is_gone(world: World) -> None:
    chair = await world.join("s", "9:moderator")
    world.moderation.result = Decided(HoldState.ALLOWED, UserId(8))
    await act(world, chair)
    world.moderation.result = CommandRefusal.ROOM_GONE
    await act(world, chair)
    first, second = chair.frames
    assert first["data"] == {
        "message": "Somebody has decided about this message already",
        "code": "already_decided",
        "nonce": "a1",
        "decided_by": 8,
        "decision": "allowed",
    }
    assert second["data"]["code"] == "room_gone"  # type: ignore[index]


async def test_who_is_no_moderator_decides_nothing(world: World) -> None:
    client = await world.join("s", "5:user")
    await act(world, client)
    assert client.types == ["not_moderator"]
    assert world.moderation.requests == []


async def test_what_is_being_held_is_asked_about_also_where_its_authors_window_is_lent(world: World) -> None:
    """Its room asks for nothing any more."""
    ana = await world.join("s", "5:user")
    world.moderation.holding.shut()
    await held(world, ana)
    world.moderation.lent.add("u:5")
    await held(world, ana)
    assert (len(world.moderation.asked), world.moderation.reported) == (2, [])
    world.moderation.holding.open()
    await world.settle()
    assert len(world.moderation.holds) == 1
    assert len(world.bus.stream) == 0
