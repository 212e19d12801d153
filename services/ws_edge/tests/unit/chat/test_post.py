"""From a client's message to its outcome: nothing is dropped in silence, nothing is sent twice."""

import pytest
import structlog
from edge_world import World

from ws_edge.chat.post import WAITING_LIMIT
from ws_edge.ports import AdmissionLimits, Decision, Incident, Verdict
from ws_edge.protocol.identity import Rank, Slug, UserId
from ws_edge.protocol.limits import NONCE_AGE_S
from ws_edge.protocol.sanctions import Action, Sanction
from ws_edge.room.outcomes import OUTCOME_S


async def test_chat_message_is_delivered_to_everyone_the_sender_too(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("Hello everyone!")
    await world.settle()
    assert ana.frames == ben.frames
    assert ana.frames[0]["data"] == {
        "id": 1,
        "message": "Hello everyone!",
        "username": "user_1",
        "user_id": 1,
        "timestamp": "2025-11-27T16:30:00.000Z",
        "room_id": 7,
        "prev_id": 0,
        "role": "user",
    }


async def test_a_message_in_one_room_is_not_seen_in_another(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("t", "2:user")
    ana.say("here")
    await world.settle()
    assert (ana.types, ben.types) == (["chat_message"], [])


async def test_rate_limited_is_told_with_retry_after_and_the_nonce(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.RATE_LIMITED, 1500)
    ana.say("x", nonce="n1")
    assert ana.frames == [
        {
            "type": "error",
            "data": {
                "message": "Rate limit exceeded",
                "code": "rate_limited",
                "retry_after_ms": 1500,
                "nonce": "n1",
            },
        }
    ]


async def test_who_was_refused_is_refused_by_the_edge_itself_until_the_time_has_passed(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.RATE_LIMITED, 1500)
    ana.say("1")
    world.moderation.verdict = Verdict(Decision.ADMITTED)
    world.clock.time_s += 1.0
    ana.say("2")
    assert ana.frames[1]["data"]["retry_after_ms"] == 500  # type: ignore[index]
    world.clock.time_s += 0.5
    ana.say("3")
    await world.settle()
    assert ana.types == ["rate_limited", "rate_limited", "chat_message"]


async def test_a_frame_with_a_nonce_is_always_judged_since_it_may_be_a_repeat(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.RATE_LIMITED, 1500)
    ana.say("1")
    world.moderation.verdict = Verdict(Decision.REPEATED)
    ana.say("2", nonce="n")
    await world.settle()
    assert ana.types == ["rate_limited", "chat_message"]


async def test_muted_or_banned_is_told(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.SANCTIONED)
    ana.say("x")
    assert ana.frames == [{"type": "error", "data": {"message": "You are muted or banned", "code": "muted_or_banned"}}]


async def test_second_frame_with_the_same_nonce_gets_the_stored_copy_alone(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("once", nonce="n")
    await world.settle()
    ana.say("once", nonce="n")
    await world.settle()
    assert ben.types == ["chat_message"]
    assert ana.frames[0] == ana.frames[1]
    assert ana.frames[1]["data"]["nonce"] == "n"  # type: ignore[index]


async def test_a_repeat_whose_first_copy_this_edge_never_saw_is_read_from_the_stream(world: World) -> None:
    ana = await world.join("s", "1:user")
    ben = await world.join("s", "2:user")
    ana.say("first", nonce="m")
    ana.say("once", nonce="n")
    await world.settle()
    for held in world.worker.held_rooms.by_life.values():
        held.room._shown._repeatable.clear()
    ana.say("once", nonce="n")
    await world.settle()
    assert len(ben.frames) == 2
    assert ana.frames[2] == ana.frames[1]


async def test_at_most_64_frames_of_one_connection_wait(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdicts_wait = True
    for number in range(WAITING_LIMIT + 1):
        ana.say(str(number))
    assert ana.types == ["rate_limited"]
    for done in world.moderation.waiting:
        done(Verdict(Decision.ADMITTED))
    await world.settle()
    assert [f["data"]["message"] for f in ana.frames[1:]] == [str(n) for n in range(WAITING_LIMIT)]  # type: ignore[index]


async def test_nats_away_senders_are_told_unavailable_and_stay_connected(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.bus.is_away = True
    ana.say("x", nonce="n")
    assert ana.frames == [
        {"type": "error", "data": {"message": "Service unavailable", "code": "unavailable", "nonce": "n"}}
    ]
    world.bus.is_away = False
    ana.say("y")
    await world.settle()
    assert ana.types == ["unavailable", "chat_message"]
    assert ana.closed_with is None


async def test_what_has_no_outcome_after_2_seconds_is_looked_up_in_the_stream(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.bus.keeps_copies = True
    ana.say("stored, but its copy was lost")
    world.bus.copies.clear()
    world.clock.time_s += OUTCOME_S
    world.worker.recovery.look_up_overdue()
    await world.settle()
    assert ana.types == ["chat_message"]
    assert len(world.worker.outcomes) == 0


async def test_what_is_not_found_in_the_stream_is_unavailable(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.bus.loses_messages = True
    ana.say("lost", nonce="n")
    world.clock.time_s += OUTCOME_S - 0.01
    world.worker.recovery.look_up_overdue()
    await world.settle()
    assert ana.types == []
    world.clock.time_s += 0.01
    world.worker.recovery.look_up_overdue()
    world.worker.recovery.look_up_overdue()
    await world.settle()
    assert ana.types == ["unavailable"]
    assert ana.frames[0]["data"]["nonce"] == "n"  # type: ignore[index]


async def test_what_cannot_be_looked_up_is_unavailable(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.bus.loses_messages = True
    ana.say("lost")
    world.bus.is_away = True
    world.clock.time_s += OUTCOME_S
    world.worker.recovery.look_up_overdue()
    await world.settle()
    assert ana.types == ["unavailable"]


async def test_moderation_away_the_edge_s_own_limiter_holds_the_limit(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("0")
    world.moderation.is_away = True
    for number in range(1, 12):
        ana.say(str(number))
    await world.settle()
    assert ana.types.count("chat_message") == 10
    assert ana.types.count("rate_limited") == 2
    assert len(world.moderation.noted) == 9


async def test_moderation_away_a_message_sent_again_costs_nothing(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("judged by moderation", nonce="m")
    world.moderation.is_away = True
    ana.say("judged here", nonce="n")
    for _ in range(20):
        ana.say("judged by moderation", nonce="m")
        ana.say("judged here", nonce="n")
    for number in range(8):
        ana.say(str(number))
    ana.say("one too many")
    await world.settle()
    assert ana.types.count("rate_limited") == 1
    assert ben.types.count("chat_message") == 10
    assert len(world.moderation.noted) == 9


async def test_moderation_away_a_nonce_costs_again_once_the_stream_has_forgotten_it(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.is_away = True
    ana.say("x", nonce="n")
    world.clock.time_s += NONCE_AGE_S
    ana.say("x", nonce="n")
    assert len(world.moderation.noted) == 2


async def test_moderation_away_who_was_muted_meanwhile_repeats_nothing(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.is_away = True
    ana.say("x", nonce="n")
    mute = Sanction(1, Action.MUTE, UserId(1), None, frozenset(), Slug("s"), Rank.MODERATOR, None)
    world.ports.cache.replace([Slug("s")], [mute], read_at_s=world.clock.now_s())
    await world.settle()
    ana.say("x", nonce="n")
    assert ana.types == ["chat_message", "muted_or_banned"]


async def test_moderation_away_the_sanctions_that_were_read_hold(world: World) -> None:
    mute = Sanction(1, Action.MUTE, UserId(1), None, frozenset(), Slug("s"), Rank.MODERATOR, None)
    world.moderation.sanctions.append(mute)
    ana = await world.join("s", "1:user")
    world.moderation.is_away = True
    ana.say("x")
    assert ana.types == ["muted_or_banned"]


@pytest.mark.parametrize("world", [{"outage": "reject"}], indirect=True)
async def test_moderation_away_and_reject_refuses(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.is_away = True
    ana.say("x")
    assert ana.types == ["unavailable"]


async def test_a_message_of_who_left_meanwhile_is_still_published(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    world.moderation.verdicts_wait = True
    ana.say("bye")
    ana.hang_up()
    world.moderation.waiting[0](Verdict(Decision.ADMITTED))
    await world.settle()
    assert ben.types == ["chat_message"]


@pytest.mark.parametrize("decision", [Decision.RATE_LIMITED, Decision.SANCTIONED, Decision.UNAVAILABLE])
async def test_a_verdict_for_who_left_meanwhile_harms_nobody(world: World, decision: Decision) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdicts_wait = True
    ana.say("bye")
    ana.hang_up()
    world.moderation.waiting[0](Verdict(decision, 5))
    await world.settle()
    assert ana.frames == []
    assert world.holds_nothing()


async def test_50_refused_frames_in_10_seconds_close_with_1008(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.SANCTIONED)
    for _ in range(50):
        ana.say("x")
    assert ana.types == ["muted_or_banned"] * 50
    assert ana.closed_with == 1008
    assert world.holds_nothing()


async def test_sending_ends_typing_before_the_message(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.send("typing_start")
    ana.say("x")
    await world.settle()
    assert ben.types == ["typing_start", "typing_stop", "chat_message"]


async def test_typing_of_a_muted_user_is_dropped(world: World) -> None:
    mute = Sanction(1, Action.MUTE, UserId(1), None, frozenset(), Slug("s"), Rank.MODERATOR, None)
    world.moderation.sanctions.append(mute)
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.send("typing_start")
    await world.settle()
    assert (ana.types, ben.types) == ([], [])


async def test_leaving_ends_typing(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.send("typing_start")
    ana.hang_up()
    await world.settle()
    assert ben.types == ["typing_start", "typing_stop"]


async def test_typing_that_is_extended_ends_10_seconds_after_the_last_start(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.send("typing_start")
    world.clock.time_s += 1.5
    ana.send("typing_start")
    connection = next(iter(world.worker.connections))
    world.clock.time_s += 8.6
    connection.tick()  # type: ignore[attr-defined]
    await world.settle()
    assert ben.types == ["typing_start"]
    assert connection._typing.handle is not None  # type: ignore[attr-defined]
    world.clock.time_s += 1.4
    connection.tick()  # type: ignore[attr-defined]
    await world.settle()
    assert ben.types == ["typing_start", "typing_stop"]


async def test_while_nats_is_away_each_message_is_counted_and_all_are_one_line(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.bus.is_away = True
    with structlog.testing.capture_logs() as logs:
        for _ in range(40):
            ana.say("hello")
    assert ana.types == ["unavailable"] * 40
    assert world.meter.incidents == [Incident.MESSAGE_WITHOUT_OUTCOME] * 40
    assert [(line["event"], line["count"]) for line in logs] == [("messages_without_outcome", 1)]


@pytest.mark.parametrize(
    ("world", "outage"), [({"outage": each}, each) for each in ("local", "reject")], indirect=["world"]
)
async def test_while_moderation_is_away_each_message_is_counted_and_all_are_one_line(world: World, outage: str) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.is_away = True
    with structlog.testing.capture_logs() as logs:
        for _ in range(10):
            ana.say("hello")
    assert world.meter.incidents == [Incident.MODERATION_AWAY] * 10
    assert [(line["event"], line["count"], line["outage"]) for line in logs] == [
        ("messages_judged_without_moderation", 1, outage)
    ]


async def test_who_has_lent_windows_is_admitted_without_a_question(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.lent.add("u:1")
    ana.say("a")
    ana.say("b", nonce="n")
    await world.settle()
    assert [frame["data"]["message"] for frame in ana.frames] == ["a", "b"]  # type: ignore[index]
    assert world.moderation.asked == []
    assert [(key, nonce, text) for key, _, nonce, text in world.moderation.reported] == [
        ("u:1", "", "a"),
        ("u:1", "n", "b"),
    ]


async def test_what_is_over_the_limit_of_a_lent_window_is_asked_about(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.lent.add("u:1")
    world.moderation.verdict = Verdict(Decision.RATE_LIMITED, 1500)
    for number in range(11):
        ana.say(str(number))
    await world.settle()
    assert ana.types == ["rate_limited", *["chat_message"] * 10]
    assert (len(world.moderation.reported), len(world.moderation.asked)) == (10, 1)


async def test_what_moderation_admitted_before_counts_in_a_lent_window(world: World) -> None:
    ana = await world.join("s", "1:user")
    for number in range(4):
        ana.say(str(number))
    world.moderation.lent.add("u:1")
    for number in range(7):
        ana.say(str(number))
    await world.settle()
    assert (len(world.moderation.reported), len(world.moderation.asked)) == (6, 5)


async def test_a_nonce_that_was_used_in_a_lent_window_is_asked_about(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    world.moderation.lent.add("u:1")
    ana.say("once", nonce="n")
    await world.settle()
    world.moderation.verdict = Verdict(Decision.REPEATED)
    ana.say("once", nonce="n")
    await world.settle()
    assert ana.frames[0] == ana.frames[1]
    assert ben.types == ["chat_message"]
    assert len(world.moderation.reported) == 1


async def test_what_was_admitted_by_a_lent_window_and_not_stored_is_released(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.lent.add("u:1")
    world.bus.is_away = True
    ana.say("x", nonce="n")
    world.bus.is_away = False
    assert [(key, nonce, number) for key, _, _, nonce, number in world.moderation.released] == [("u:1", "n", 2001)]
    for number in range(11):
        ana.say(str(number))
    await world.settle()
    assert (len(world.moderation.reported), len(world.moderation.asked)) == (11, 1)


async def test_all_that_was_admitted_counts_in_a_lent_window_however_high_the_limit_is(world: World) -> None:
    """It was not known when the worker began."""
    ana = await world.join("s", "1:user")
    world.moderation.limits = AdmissionLimits(14, 10.0, 100)
    for number in range(12):
        ana.say(str(number))
    world.moderation.lent.add("u:1")
    for number in range(3):
        ana.say(str(number))
    await world.settle()
    assert (len(world.moderation.reported), len(world.moderation.asked)) == (2, 13)
