"""The policy of a room on an edge: told, changed, and gone by while moderation is away."""

import json

import pytest
from edge_world import AT, EDGE, Client, World

from ws_edge.ports import CommandRefusal, CommandResult, Decision, Verdict
from ws_edge.protocol.commands import ChangePolicy, SetShield
from ws_edge.protocol.identity import Life, MessageId, Slug, UserId
from ws_edge.protocol.log import PolicyChanged, UnknownEntry
from ws_edge.protocol.policies import Links, Policy, ReadOnly, shielded
from ws_edge.protocol.references import ResumePoint
from ws_edge.room.outcomes import OUTCOME_S

SLUG = Slug("s")
NO_LIMITS = {
    "members_only": False,
    "min_account_minutes": 0,
    "min_follow_minutes": 0,
    "emote_only": False,
    "max_length": 1000,
    "unique": False,
    "links": "allow",
    "shield_automatic": False,
    "max_shown_per_second": 0,
    "delay_seconds": 0,
    "shield": None,
}


def told(world: World, policy: Policy, *, nonce: str = "", token: int = 0) -> MessageId:
    """Moderation puts an entry into the log of the room."""
    (life,) = world.worker.held_rooms.by_life
    number = MessageId(len(world.bus.stream) + 1)
    entry = PolicyChanged(number, MessageId(number - 1), AT, policy, UserId(9), EDGE, token, nonce)
    world.bus.stream.append((life, entry))
    world.bus.copies.append((life, entry))
    world.bus.give_copies()
    return number


def last_token(world: World) -> int:
    return world.moderation.requests[-1].token


def joined(client: Client) -> dict[str, object]:
    data = client.frames[0]["data"]
    assert isinstance(data, dict)
    return data


async def change(world: World, chair: Client, **changes: object) -> None:
    chair.send("moderation_action", action="policy", changes=changes, reason="raid", nonce="p1")
    await world.settle()


# --- told ------------------------------------------------------------------------------------------------------------


async def test_room_joined_carries_the_policy_that_was_read_with_the_room(world: World) -> None:
    world.moderation.policies[SLUG] = Policy(7, 30, ReadOnly.ANONYMOUS)
    ana = await world.arrive("s", "1:user")
    await world.settle()
    assert b'"policy":{"version":7,"slow_mode_seconds":30,"read_only":"anonymous",' in ana.raw


async def test_everybody_is_told_room_policy_and_who_asked_for_it_with_the_nonce(world: World) -> None:
    chair, ana = await world.join("s", "9:admin"), await world.join("s", "1:user")
    chair.raw = b""
    world.moderation.result = CommandResult(None, None, is_repeated=False)
    await change(world, chair, slow_mode_seconds=30)
    request = world.moderation.requests[0]
    assert (request.command, request.reason, request.nonce) == (ChangePolicy(30, None), "raid", "p1")
    assert (request.target, request.target_rank, request.slug) == (None, None, SLUG)
    told(world, Policy(7, 30), nonce="p1", token=last_token(world))
    await world.settle()
    assert ana.raw[4:] == (
        b'{"type":"room_policy","data":{"id":1,"prev_id":0,"policy":{"version":7,"slow_mode_seconds":30,'
        b'"read_only":"nobody","members_only":false,"min_account_minutes":0,"min_follow_minutes":0,'
        b'"emote_only":false,"max_length":1000,"unique":false,"links":"allow","shield_automatic":false,"max_shown_per_second":0,"delay_seconds":0,"shield":null},"moderator_user_id":9,"timestamp":"2025-11-27T16:30:00.000Z"}}'
    )
    (own,) = [frame for frame in chair.frames if frame["type"] == "room_policy"]
    assert own == {"type": "room_policy", "data": {**joined(ana), "nonce": "p1"}}


PRESET = Policy(0, 30, ReadOnly.ANONYMOUS, min_account_minutes=1440, links=Links.REFUSE)
UNTIL_MS = 1_764_261_968_000


async def test_a_shield_is_asked_for_and_told_with_its_end_and_what_lies_under_it(world: World) -> None:
    chair, ana = await world.join("s", "9:moderator"), await world.join("s", "1:user")
    world.moderation.result = CommandResult(None, None, is_repeated=False)
    chair.send("moderation_action", action="shield", on=True, minutes=5, reason="raid", nonce="p1")
    await world.settle()
    request = world.moderation.requests[0]
    assert (request.command, request.reason, request.target) == (SetShield(5), "raid", None)
    told(world, shielded(Policy(7, 5), PRESET, UNTIL_MS), nonce="p1", token=last_token(world))
    await world.settle()
    assert ana.raw[4:] == (
        b'{"type":"room_policy","data":{"id":1,"prev_id":0,"policy":{"version":7,"slow_mode_seconds":30,'
        b'"read_only":"anonymous","members_only":false,"min_account_minutes":1440,"min_follow_minutes":0,'
        b'"emote_only":false,"max_length":1000,"unique":false,"links":"refuse","shield_automatic":false,"max_shown_per_second":0,"delay_seconds":0,"shield":{'
        b'"until":"2025-11-27T16:46:08.000Z","underlying":{"version":7,"slow_mode_seconds":5,"read_only":"nobody",'
        b'"members_only":false,"min_account_minutes":0,"min_follow_minutes":0,"emote_only":false,"max_length":1000,'
        b'"unique":false,"links":"allow","shield_automatic":false,"max_shown_per_second":0,"delay_seconds":0,"shield":null}}},"moderator_user_id":9,"timestamp":"2025-11-27T16:30:00.000Z"}}'
    )
    assert joined(chair)["nonce"] == "p1"


async def test_users_may_not_ask_for_a_shield(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.send("moderation_action", action="shield", on=True, nonce="n")
    assert ana.types == ["not_moderator"]
    assert world.moderation.requests == []


async def test_who_comes_while_a_shield_is_on_is_told_of_it_and_who_comes_after_its_end_is_not(world: World) -> None:
    until_ms = int(world.clock.unix_s() * 1000) + 60_000
    world.moderation.policies[SLUG] = shielded(Policy(7, 5), PRESET, until_ms)
    ana = await world.arrive("s", "1:user")
    await world.settle()
    policy = joined(ana)["policy"]
    assert isinstance(policy, dict)
    assert policy["shield"]["underlying"] == {**NO_LIMITS, "version": 7, "slow_mode_seconds": 5, "read_only": "nobody"}
    world.clock.time_s += 60
    ben = await world.arrive("s", "2:user")
    await world.settle()
    assert joined(ben)["policy"] == policy["shield"]["underlying"]


async def test_while_moderation_is_away_a_shield_holds_up_to_its_end_slow_mode_too(world: World) -> None:
    until_ms = int(world.clock.unix_s() * 1000) + 60_000
    preset = Policy(0, 30, ReadOnly.ANONYMOUS)
    world.moderation.policies[SLUG] = shielded(Policy(7, 5), preset, until_ms)
    ana, guest = await world.join("s", "1:user"), await world.join("s")
    world.moderation.is_away = True
    for client in (ana, guest, ana):
        client.say("x")
        await world.settle()
    assert ana.types == ["chat_message", "slow_mode"]
    assert guest.types == ["chat_message", "read_only"]
    world.clock.time_s += 29
    ana.say("x")
    await world.settle()
    assert ana.types[-1] == "slow_mode"
    world.clock.time_s += 31
    guest.say("x")
    await world.settle()
    assert guest.types[-1] == "chat_message"


async def test_the_highest_version_is_in_room_joined_wherever_it_was_heard_first(world: World) -> None:
    await world.join("s", "1:user")
    told(world, Policy(7, 30))
    told(world, Policy(6, 600))
    world.moderation.policies[SLUG] = Policy(5, 1)
    await world.worker.actions.refresh()
    ben = await world.arrive("s", "2:user")
    await world.settle()
    assert joined(ben)["policy"] == {**NO_LIMITS, "version": 7, "slow_mode_seconds": 30, "read_only": "nobody"}
    world.moderation.policies[SLUG] = Policy(8)
    await world.worker.actions.refresh()
    cleo = await world.arrive("s", "3:user")
    await world.settle()
    assert joined(cleo)["policy"] == {**NO_LIMITS, "version": 8, "slow_mode_seconds": 0, "read_only": "nobody"}


async def test_a_policy_that_is_told_while_the_room_is_opened_is_in_room_joined(world: World) -> None:
    """What moderation answers is from before the change."""
    world.moderation.reading.shut()
    ana = await world.arrive("s", "1:user")
    await world.moderation.reading.reached.wait()
    told(world, Policy(7, 30))
    world.moderation.reading.open()
    await world.settle()
    assert joined(ana)["last_id"] == 1
    assert joined(ana)["policy"] == {**NO_LIMITS, "version": 7, "slow_mode_seconds": 30, "read_only": "nobody"}


async def test_room_policy_is_replayed_to_who_comes_back(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("before")
    await world.settle()
    told(world, Policy(7, 30))
    back = await world.arrive("s", "2:user", resume=ResumePoint(MessageId(1), "1.1"))
    await world.settle()
    assert back.types == ["room_joined", "room_policy"]
    assert back.frames[1]["data"]["prev_id"] == 1  # type: ignore[index]


async def test_the_policy_of_a_room_that_nobody_here_is_in_is_forgotten(world: World) -> None:
    world.moderation.policies[SLUG] = Policy(7, 30)
    ana = await world.join("s", "1:user")
    (held,) = world.worker.held_rooms.by_life.values()
    ana.hang_up()
    await world.settle()
    assert world.holds_nothing()
    held.room.entries_restored([PolicyChanged(MessageId(1), MessageId(0), AT, Policy(8, 30), UserId(9))])
    assert world.holds_nothing()


async def test_a_repeated_nonce_is_answered_with_the_entry_of_the_first_to_its_sender_alone(world: World) -> None:
    chair, ana = await world.join("s", "9:admin"), await world.join("s", "1:user")
    number = told(world, Policy(7, 30))
    await world.settle()
    chair.raw = ana.raw = b""
    world.moderation.result = CommandResult(None, number, is_repeated=True)
    await change(world, chair, slow_mode_seconds=30)
    assert (chair.types, ana.types) == (["room_policy"], [])
    assert joined(chair)["nonce"] == "p1"


async def test_a_repeated_nonce_is_answered_with_what_holds_where_the_log_has_no_entry_of_it_any_more(
    world: World,
) -> None:
    chair = await world.join("s", "9:admin")
    chair.raw = b""
    policy = Policy(7, 30)
    world.moderation.result = CommandResult(
        None, MessageId(77), is_repeated=True, action_id=5, policy=policy, at_ms=1_764_261_068_123
    )
    await change(world, chair, slow_mode_seconds=30)
    data = joined(chair)
    assert chair.types == ["room_policy"]
    assert (data["id"], data["nonce"], data["action_id"]) == (77, "p1", 5)
    assert data["policy"]["version"] == 7  # type: ignore[index]
    assert (data["moderator_user_id"], data["timestamp"]) == (9, "2025-11-27T16:31:08.123Z")
    assert "prev_id" not in data


async def test_a_moderator_is_refused_by_moderation_and_a_user_by_the_edge(world: World) -> None:
    chair, ana = await world.join("s", "9:moderator"), await world.join("s", "1:user")
    chair.raw = b""
    world.moderation.result = CommandRefusal.NOT_PERMITTED
    await change(world, chair, read_only="everyone")
    await change(world, ana, read_only="everyone")
    refused = {
        "message": "You do not have permission to moderate this room",
        "code": "not_moderator",
        "nonce": "p1",
    }
    assert (joined(chair), joined(ana)) == (refused, refused)
    assert len(world.moderation.requests) == 1


# --- refused by moderation -------------------------------------------------------------------------------------------


async def test_slow_mode_is_told_with_retry_after_ms(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.SLOW_MODE, 1500)
    ana.say("x", nonce="n1")
    assert ana.raw.endswith(
        json.dumps(
            {
                "type": "error",
                "data": {"message": "Slow mode", "code": "slow_mode", "retry_after_ms": 1500, "nonce": "n1"},
            },
            separators=(",", ":"),
        ).encode()
    )
    world.moderation.verdict = Verdict(Decision.ADMITTED)
    ana.say("the edge itself refuses nothing: the policy may have been changed")
    await world.settle()
    assert ana.types == ["slow_mode", "chat_message"]


async def test_read_only_is_told(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.READ_ONLY)
    ana.say("x")
    assert ana.frames == [{"type": "error", "data": {"message": "The room is read-only", "code": "read_only"}}]


@pytest.mark.parametrize(
    ("decision", "text", "code"),
    [
        (Decision.MEMBERS_ONLY, "Members only", "members_only"),
        (Decision.ACCOUNT_TOO_NEW, "Your account is too new", "account_too_new"),
        (Decision.FOLLOW_TOO_SHORT, "You have not followed for long enough", "follow_too_short"),
        (Decision.EMOTE_ONLY, "Emotes only", "emote_only"),
        (Decision.TOO_LONG, "Message too long", "message_too_long"),
        (Decision.DUPLICATE, "Somebody said that just now", "duplicate"),
        (Decision.LINKS, "Links are not allowed", "links"),
    ],
)
async def test_what_else_the_policy_refuses_is_told(world: World, decision: Decision, text: str, code: str) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(decision)
    ana.say("x", nonce="n")
    assert joined(ana) == {"message": text, "code": code, "nonce": "n"}


async def test_while_moderation_is_away_the_whole_policy_holds_as_last_read(world: World) -> None:
    world.moderation.policies[SLUG] = Policy(7, emote_only=True)
    ana = await world.join("s", "1:user")
    world.moderation.is_away = True
    ana.say("words")
    ana.say("😀")
    await world.settle()
    assert ana.types == ["emote_only", "chat_message"]


async def test_who_came_back_from_another_address_is_held_to_the_policy_under_their_first_name_alone(
    world: World,
) -> None:
    first = await world.arrive("s")
    await world.settle()
    resume_text = first.frames[0]["data"]["you"]["resume"]  # type: ignore[index]
    back = await world.arrive("s", address="198.51.100.1", resume_text=resume_text)
    await world.settle()
    back.say("x")
    assert world.moderation.asked_without_policy == [True, False]


# --- places that are given back --------------------------------------------------------------------------------------


async def test_a_message_that_could_not_be_published_gives_its_place_back(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.ADMITTED, place=5, number=5)
    world.bus.is_away = True
    ana.say("x", nonce="n")
    assert ana.types == ["unavailable"]
    assert world.moderation.released == [("u:1", SLUG, Life(1), "n", 5)]


async def test_a_message_that_the_stream_turns_out_not_to_have_gives_its_place_back(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.ADMITTED, place=5, number=5)
    world.bus.loses_messages = True
    ana.say("x")
    world.clock.time_s += OUTCOME_S
    await world.worker.look_up_overdue()
    await world.settle()
    assert ana.types == ["unavailable"]
    assert world.moderation.released == [("u:1", SLUG, Life(1), "", 5)]


async def test_a_message_of_which_nobody_knows_whether_it_is_stored_keeps_its_place(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.ADMITTED, place=5, number=5)
    world.bus.loses_messages = True
    ana.say("x")
    world.bus.is_away = True
    world.clock.time_s += OUTCOME_S
    await world.worker.look_up_overdue()
    await world.settle()
    assert ana.types == ["unavailable"]
    assert world.moderation.released == []


async def test_a_message_that_is_stored_keeps_its_place(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.ADMITTED, place=5, number=5)
    ana.say("x")
    await world.settle()
    assert (ana.types, world.moderation.released) == (["chat_message"], [])


async def test_a_message_that_could_not_be_published_counts_for_no_limit_in_a_room_without_slow_mode(
    world: World,
) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.ADMITTED, number=6)
    world.bus.is_away = True
    for _ in range(10):
        ana.say("x")
    assert world.moderation.released == [("u:1", SLUG, Life(1), "", 6)] * 10
    world.moderation.is_away, world.bus.is_away = True, False
    for _ in range(11):
        ana.say("x")
    await world.settle()
    assert ana.types == ["unavailable"] * 10 + ["rate_limited"] + ["chat_message"] * 10


@pytest.mark.parametrize("is_away", [False, True])
async def test_who_came_back_from_another_address_is_released_there_where_their_message_comes_to_nothing(
    world: World, is_away: bool
) -> None:
    world.moderation.policies[SLUG] = Policy(7, read_only=ReadOnly.EVERYONE)
    first = await world.arrive("s")
    await world.settle()
    resume_text = first.frames[0]["data"]["you"]["resume"]  # type: ignore[index]
    back = await world.arrive("s", address="198.51.100.1", resume_text=resume_text)
    await world.settle()
    world.moderation.verdicts_wait = True
    back.say("x")
    there, here = f"c:{EDGE}:1", f"c:{EDGE}:2"
    world.moderation.waiting.pop()(Verdict(Decision.ADMITTED, number=8))
    world.moderation.waiting.pop()(Verdict(Decision.UNAVAILABLE if is_away else Decision.READ_ONLY))
    assert back.types[-1] == "read_only"
    assert world.moderation.released == [(here, SLUG, Life(1), "", 8)]
    world.bus.is_away = True
    back.say("x")
    world.moderation.waiting.pop()(Verdict(Decision.ADMITTED, number=9))
    world.moderation.waiting.pop()(Verdict(Decision.ADMITTED, number=10))
    assert world.moderation.released[1:] == [(there, SLUG, Life(1), "", 10), (here, SLUG, Life(1), "", 9)]


# --- unique ----------------------------------------------------------------------------------------------------------

OPEN = Verdict(Decision.ADMITTED, number=5, text_open=True)


async def test_a_message_whose_text_the_rooms_home_has_to_judge_is_published_when_that_says_so(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = OPEN
    ana.say("hello")
    await world.settle()
    assert world.moderation.asked_of_texts == [("u:1", SLUG, "hello", 5)]
    assert ana.types == []
    world.moderation.waiting_of_texts.pop()(Verdict(Decision.ADMITTED))
    await world.settle()
    assert ana.types == ["chat_message"]
    assert world.moderation.released == []


async def test_duplicate_is_told_with_retry_after_ms_and_counts_for_nothing(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = OPEN
    ana.say("hello", nonce="n")
    world.moderation.waiting_of_texts.pop()(Verdict(Decision.DUPLICATE, 1500))
    assert joined(ana) == {
        "message": "Somebody said that just now",
        "code": "duplicate",
        "retry_after_ms": 1500,
        "nonce": "n",
    }
    assert world.moderation.released == [("u:1", SLUG, Life(1), "n", 5)]


async def test_what_an_author_says_next_waits_for_what_is_said_of_the_text_before_it(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    world.moderation.verdict = OPEN
    ana.say("first")
    world.moderation.verdict = Verdict(Decision.ADMITTED, number=6)
    ana.say("second")
    ben.say("of somebody else")
    await world.settle()
    first, second = world.moderation.waiting_of_texts
    first(Verdict(Decision.ADMITTED))
    second(Verdict(Decision.ADMITTED))
    ana.say("third")
    await world.settle()
    said = [frame["data"]["message"] for frame in ben.frames]  # type: ignore[index]
    assert said == ["of somebody else", "first", "second", "third"]
    assert len(world.moderation.asked_of_texts) == 2


async def test_where_the_rooms_home_is_away_what_was_said_through_this_edge_is_no_more_said(world: World) -> None:
    world.moderation.policies[SLUG] = Policy(7, unique=True)
    ana, chair = await world.join("s", "1:user"), await world.join("s", "9:moderator")
    chair.say("hello")  # moderators may, and what they said may be said
    await world.settle()
    for _ in range(2):
        world.moderation.verdict = OPEN
        ana.say("Hello")
        world.moderation.waiting_of_texts.pop()(Verdict(Decision.UNAVAILABLE))
        await world.settle()
    assert ana.types == ["chat_message", "chat_message", "duplicate"]
    assert ana.frames[2]["data"]["retry_after_ms"] == 120_000  # type: ignore[index]
    assert world.moderation.released == [("u:1", SLUG, Life(1), "", 5)]


async def test_a_repetition_is_not_published_while_nobody_has_judged_the_text(world: World) -> None:
    """Or everything could be said twice: what is sent twice with one nonce would be stored before the first is
    refused."""
    ana = await world.join("s", "1:user")
    world.moderation.verdict = OPEN
    ana.say("hello", nonce="n")
    world.moderation.verdict = Verdict(Decision.REPEATED, number=6, text_open=True)
    ana.say("hello", nonce="n")
    await world.settle()
    assert (len(world.bus.stream), len(world.moderation.waiting_of_texts)) == (0, 2)
    for done in world.moderation.waiting_of_texts:
        done(Verdict(Decision.DUPLICATE, 1500))
    await world.settle()
    assert ana.types == ["duplicate", "duplicate"]
    assert (len(world.bus.stream), world.moderation.released) == (0, [("u:1", SLUG, Life(1), "n", 5)])
    ana.say("hello", nonce="n")
    world.moderation.waiting_of_texts[2](Verdict(Decision.REPEATED))
    await world.settle()
    assert ana.types[2:] == ["chat_message"]


async def test_what_was_said_through_this_edge_is_no_more_said_where_the_rooms_home_was_replaced(world: World) -> None:
    world.moderation.policies[SLUG] = Policy(7, unique=True)
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    world.moderation.verdict = Verdict(Decision.ADMITTED, number=5)
    ana.say("hello")
    world.moderation.verdict = Verdict(Decision.ADMITTED, number=6)
    ben.say("HELLO")
    world.moderation.verdict = Verdict(Decision.REPEATED, number=7, text_open=True)
    ana.say("hello", nonce="n")
    world.moderation.waiting_of_texts.pop()(Verdict(Decision.UNAVAILABLE))
    await world.settle()
    assert ben.types.count("duplicate") == 1
    assert ana.types == ["chat_message"] * 2
    assert world.moderation.released == [("u:2", SLUG, Life(1), "", 6)]


@pytest.mark.parametrize("world", [{"outage": "reject"}], indirect=True)
async def test_where_messages_are_refused_without_moderation_so_is_one_whose_text_nobody_judges(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = OPEN
    ana.say("hello")
    world.moderation.waiting_of_texts.pop()(Verdict(Decision.UNAVAILABLE))
    assert ana.types == ["unavailable"]
    assert world.moderation.released == [("u:1", SLUG, Life(1), "", 5)]


async def test_while_moderation_is_away_nobody_says_what_was_said_through_this_edge(world: World) -> None:
    world.moderation.policies[SLUG] = Policy(7, unique=True)
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    world.moderation.verdict = Verdict(Decision.ADMITTED, number=5)
    ana.say("judged by moderation")
    await world.settle()
    world.moderation.is_away = True
    ben.say("JUDGED by  moderation")
    world.bus.is_away = True
    ben.say("not stored")
    world.bus.is_away = False
    ana.say("not stored")
    await world.settle()
    assert ben.types == ["chat_message", "duplicate", "unavailable", "chat_message"]
    world.clock.time_s += 120.0
    ben.say("judged by moderation")
    await world.settle()
    assert ben.types[-1] == "chat_message"
    assert len(ben.types) == 5


# --- while moderation is away ----------------------------------------------------------------------------------------


async def test_while_moderation_is_away_slow_mode_holds_as_last_read(world: World) -> None:
    world.moderation.policies[SLUG] = Policy(7, 30)
    ana, twin = await world.join("s", "1:user"), await world.join("s", "1:user")
    chair = await world.join("s", "9:moderator")
    world.moderation.verdict = Verdict(Decision.ADMITTED, place=5, number=5)
    ana.say("judged by moderation")
    world.moderation.is_away = True
    world.clock.time_s += 29.0
    twin.say("too early", nonce="n")
    assert twin.frames[-1]["data"] == {
        "message": "Slow mode",
        "code": "slow_mode",
        "retry_after_ms": 1000,
        "nonce": "n",
    }
    world.clock.time_s += 1.0
    twin.say("in time", nonce="n")
    ana.say("too early again")
    for _ in range(3):
        chair.say("exempt")
    await world.settle()
    assert [kind for kind in ana.types if kind != "chat_message"] == ["slow_mode"]
    assert ana.types.count("chat_message") == 5
    assert world.moderation.noted == ["u:1", "u:9", "u:9", "u:9"]


async def test_while_moderation_is_away_read_only_holds_as_last_heard(world: World) -> None:
    ana = await world.join("s", "1:user")
    told(world, Policy(7, 0, ReadOnly.EVERYONE))
    await world.settle()
    world.moderation.is_away = True
    ana.say("x")
    assert ana.types[-1:] == ["read_only"]


async def test_what_the_edge_admitted_alone_gives_its_place_back_as_well(world: World) -> None:
    world.moderation.policies[SLUG] = Policy(7, 30)
    ana = await world.join("s", "1:user")
    world.moderation.is_away = world.bus.is_away = True
    ana.say("x", nonce="n")
    assert world.moderation.released == [("u:1", SLUG, Life(1), "n", 1001)]
    world.bus.is_away = False
    ana.say("x", nonce="n")
    await world.settle()
    assert ana.types == ["unavailable", "chat_message"]


async def test_an_edge_of_before_shows_a_policy_to_nobody_and_keeps_its_place(world: World) -> None:
    ana = await world.join("s", "1:user")
    (life,) = world.worker.held_rooms.by_life
    world.bus.stream.append((life, UnknownEntry(MessageId(1), MessageId(0), AT)))
    world.bus.copies.append(world.bus.stream[-1])
    ana.say("after it")
    await world.settle()
    assert [(f["type"], f["data"]["prev_id"]) for f in ana.frames] == [("chat_message", 0)]  # type: ignore[index]


@pytest.mark.parametrize(
    "changes",
    [
        None,
        {},
        {"links": "ask"},
        {"unique": 1},
        {"slow_mode_seconds": 601},
        {"max_shown_per_second": 4},
        {"max_shown_per_second": 201},
        {"read_only": "all"},
    ],
)
async def test_changes_that_are_no_policy_are_a_wrong_format(world: World, changes: object) -> None:
    chair = await world.join("s", "9:admin")
    chair.send("moderation_action", action="policy", changes=changes, nonce="n")
    assert joined(chair) == {"message": "Invalid message format", "code": "invalid_format", "nonce": "n"}


async def test_links_may_be_held(world: World) -> None:
    chair = await world.join("s", "9:admin")
    chair.send("moderation_action", action="policy", changes={"links": "hold", "unique": True}, nonce="n")
    await world.settle()
    assert world.moderation.requests[0].command == ChangePolicy(links=Links.HOLD, unique=True)
