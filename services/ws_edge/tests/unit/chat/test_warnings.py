"""Warnings on one worker: who is told, once a connection, what is refused meanwhile, and how each ends."""

import pytest
from edge_world import Client, World
from msgspec import structs

from ws_edge.chat import connection as module
from ws_edge.ports import CommandResult, Decision, Verdict, WarningStep
from ws_edge.protocol.commands import IssueWarning, Target
from ws_edge.protocol.identity import MessageId, Rank, Slug, UserId
from ws_edge.protocol.references import ResumePoint
from ws_edge.protocol.warnings import RoomWarning

AT = "2025-11-27T16:33:00.000Z"
SENT = {"type": "warning", "data": {"warning_id": 17, "reason": "No links, please", "timestamp": AT}}
CLOSED = {"type": "warning_closed", "data": {"warning_id": 17}}
PENDING = {"type": "error", "data": {"message": "Acknowledge the warning first", "code": "warning_pending"}}
ACKNOWLEDGED = [("u:5", 17, WarningStep.ACKNOWLEDGE)]


def warning(
    number: int = 17, *, user_id: int | None = 5, name: str | None = None, slug: str = "s", is_open: bool = True
) -> RoomWarning:
    target = None if user_id is None else UserId(user_id)
    return RoomWarning(
        number, Slug(slug), target, name, "No links, please", Rank.MODERATOR, 1_764_261_180_000, is_open=is_open
    )


async def warned(world: World, one: RoomWarning | None = None, *, is_heard: bool = True) -> None:
    """Moderation has stored a warning; this edge hears of it."""
    one = one or warning()
    assert world.moderation.warnings is not None
    world.moderation.warnings[one.id] = one
    if is_heard:
        world.worker.warnings_changed([one])
    await world.settle()


async def later(world: World, seconds: float) -> None:
    world.clock.time_s += seconds
    await world.worker.warnings.lapse_due()
    await world.settle()


def lapses(world: World) -> list[tuple[str, int, WarningStep]]:
    return [report for report in world.moderation.reports if report[2] is WarningStep.LAPSE]


async def test_it_is_told_to_all_connections_of_its_target_in_the_room_once_and_to_nobody_else(world: World) -> None:
    here, again = await world.join("s", "5:user"), await world.join("s", "5:user")
    elsewhere, witness = await world.join("t", "5:user"), await world.join("s", "6:user")
    await warned(world)
    await warned(world)
    await world.worker.actions.refresh()
    assert here.frames == again.frames == [SENT]
    assert elsewhere.frames == witness.frames == []
    assert world.moderation.reports == [("u:5", 17, WarningStep.DELIVER)]


async def test_an_anonymous_target_is_who_has_that_name(world: World) -> None:
    target, other = await world.join("s", address="192.0.2.1"), await world.join("s", address="192.0.2.2")
    await warned(world, warning(user_id=None, name="Anonymous_192.0.2.1"))
    assert (target.types, other.types) == (["warning"], [])


async def test_it_binds_nobody_of_an_equal_or_higher_rank(world: World) -> None:
    moderator = await world.join("s", "5:moderator")
    await warned(world)
    assert moderator.types == []


async def test_it_is_told_on_joining_behind_room_joined_as_long_as_it_is_open(world: World) -> None:
    await warned(world, is_heard=False)
    client = await world.arrive("s", "5:user")
    await world.settle()
    assert client.types == ["room_joined", "warning"]
    world.worker.warnings_changed([warning(is_open=False)])
    late = await world.arrive("s", "5:user")
    await world.settle()
    assert late.types == ["room_joined"]


async def test_an_event_that_was_lost_is_made_up_for_by_the_next_reading(world: World) -> None:
    client = await world.join("s", "5:user")
    await warned(world, is_heard=False)
    assert client.types == []
    await world.worker.actions.refresh()
    assert client.types == ["warning"]


async def test_a_closing_whose_event_was_lost_is_told_by_the_next_reading(world: World) -> None:
    """Once, and to nobody who was not sent the warning."""
    target, other = await world.join("s", "5:user"), await world.join("s", "6:user")
    await warned(world)
    assert world.moderation.warnings is not None
    world.moderation.warnings.clear()
    world.clock.time_s += 30
    await world.worker.actions.refresh()
    await world.worker.actions.refresh()
    assert (target.frames, other.frames) == ([SENT, CLOSED], [])


async def test_a_message_that_is_refused_for_an_unknown_warning_has_it_read_once_a_second_at_most(
    world: World,
) -> None:
    client = await world.join("s", "5:user")
    world.moderation.verdict = Verdict(Decision.WARNING_PENDING)
    world.moderation.reads.clear()
    for _ in range(3):
        client.say("no")
    await world.settle()
    assert world.moderation.reads == [("s",)]
    assert client.frames == [PENDING] * 3
    await warned(world, is_heard=False)
    world.clock.time_s += 1
    client.say("no")
    await world.settle()
    assert client.frames[3:] == [PENDING, SENT]
    client.say("no")
    await world.settle()
    assert world.moderation.reads == [("s",)] * 2


async def test_the_refusal_carries_the_nonce(world: World) -> None:
    client = await world.join("s", "5:user")
    await warned(world)
    world.moderation.verdict = Verdict(Decision.WARNING_PENDING)
    client.say("no", nonce="n1")
    assert client.frames[1] == {"type": "error", "data": {**PENDING["data"], "nonce": "n1"}}  # type: ignore[dict-item]


async def test_while_moderation_is_away_messages_are_refused_by_what_was_read(world: World) -> None:
    client, other = await world.join("s", "5:user"), await world.join("s", "6:user")
    await warned(world)
    world.moderation.is_away = True
    client.say("no")
    other.say("yes")
    await world.settle()
    assert (client.types, other.types) == (["warning", "warning_pending", "chat_message"], ["chat_message"])
    client.send("acknowledge_warning", warning_id=17, nonce="a1")
    await world.settle()
    assert client.frames[-1] == {
        "type": "error",
        "data": {"message": "Service unavailable", "code": "unavailable", "nonce": "a1"},
    }
    world.moderation.is_away = False
    client.send("acknowledge_warning", warning_id=17)
    await world.settle()
    assert client.frames[-1] == CLOSED


async def test_acknowledging_is_told_on_every_connection_that_had_it_and_twice_changes_nothing(world: World) -> None:
    here, again = await world.join("s", "5:user"), await world.join("s", "5:user")
    await warned(world)
    world.moderation.reports.clear()
    here.send("acknowledge_warning", warning_id=17)
    await world.settle()
    assert here.frames == again.frames == [SENT, CLOSED]
    world.worker.warnings_changed([warning(is_open=False)])
    assert here.frames == [SENT, CLOSED]
    here.send("acknowledge_warning", warning_id=17)
    await world.settle()
    assert (here.frames, again.frames) == ([SENT, CLOSED, CLOSED], [SENT, CLOSED])
    assert world.moderation.reports == ACKNOWLEDGED
    assert not world.ports.warnings.refuses(here.receiver.speaker, Slug("s"))  # type: ignore[attr-defined]


async def test_somebody_elses_warning_and_one_that_never_was_are_not_found_and_not_asked_for(world: World) -> None:
    await world.join("s", "5:user")
    stranger = await world.join("s", "6:user")
    await warned(world)
    world.moderation.reports.clear()
    for number in (17, 99):
        stranger.send("acknowledge_warning", warning_id=number)
        await world.settle()
    assert stranger.types == ["not_found"] * 2
    assert world.moderation.reports == []


async def test_one_that_is_known_from_elsewhere_is_read_before_it_is_acknowledged(world: World) -> None:
    client = await world.join("s", "5:user")
    await warned(world, is_heard=False)
    client.send("acknowledge_warning", warning_id=17)
    await world.settle()
    assert client.frames == [SENT, CLOSED]


async def test_one_that_moderation_has_lost_is_not_found(world: World) -> None:
    client = await world.join("s", "5:user")
    await warned(world)
    world.moderation.warnings = {}
    client.send("acknowledge_warning", warning_id=17)
    await world.settle()
    assert client.types == ["warning", "not_found"]


async def test_after_30_s_it_counts_as_acknowledged_on_a_client_that_knows_nothing_of_warnings(world: World) -> None:
    client = await world.join("s", "5:user")
    client.send("typing_start")
    client.send("ping")
    client.send("moderation_action", action="ban", target_user_id=6)
    await warned(world)
    client.raw = b""
    await later(world, 29.9)
    assert lapses(world) == []
    await later(world, 0.2)
    assert lapses(world) == [("u:5", 17, WarningStep.LAPSE)]
    assert client.types == ["warning_closed"]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("history", {}),
        ("authenticate", {"token": "5:user"}),
        ("acknowledge_warning", {"warning_id": 1}),
        ("moderation_action", {"action": "purge", "target_user_id": 6}),
        ("moderation_action", {"action": "mute", "target_user_id": 6, "purge": True}),
    ],
)
async def test_a_client_that_has_sent_what_clients_could_not_send_at_first_has_to_acknowledge(
    world: World, kind: str, data: dict[str, object]
) -> None:
    client = await world.join("s", "5:user")
    await warned(world)
    client.send(kind, **data)
    await later(world, 60)
    assert lapses(world) == []


@pytest.mark.parametrize("how", ["since", "resume"])
async def test_so_has_one_that_came_with_since_or_resume(world: World, how: str) -> None:
    await world.join("s", "6:user")
    resume = ResumePoint(MessageId(0), "1.1") if how == "since" else None
    await world.arrive("s", "5:user", resume=resume, resume_text=None if resume else "x")
    await world.settle()
    await warned(world)
    await later(world, 60)
    assert lapses(world) == []


async def test_a_connection_that_goes_before_30_s_does_not_count_and_the_next_one_has_its_own_30_s(
    world: World,
) -> None:
    first, _ = await world.join("s", "5:user"), await world.join("s", "6:user")
    await warned(world)
    await later(world, 20)
    first.hang_up()
    second = await world.arrive("s", "5:user")
    await world.settle()
    await later(world, 20)
    assert lapses(world) == []
    await later(world, 10)
    assert lapses(world) == [("u:5", 17, WarningStep.LAPSE)]
    assert second.types == ["room_joined", "warning", "warning_closed"]


async def test_it_lapses_once_however_many_connections_there_are_and_is_told_to_moderation_until_that_knows(
    world: World,
) -> None:
    client, _ = await world.join("s", "5:user"), await world.join("s", "5:user")
    await warned(world)
    world.moderation.is_away = True
    await later(world, 30)
    client.say("counts as acknowledged here already")
    await world.settle()
    assert client.types == ["warning", "chat_message"]
    await later(world, 2)
    assert lapses(world) == []
    world.moderation.is_away = False
    await later(world, 2)
    assert lapses(world) == [("u:5", 17, WarningStep.LAPSE)]
    assert client.types == ["warning", "chat_message", "warning_closed"]


async def test_one_that_was_acknowledged_does_not_lapse_and_one_that_is_lost_is_not_asked_for_again(
    world: World,
) -> None:
    client = await world.join("s", "5:user")
    await warned(world)
    client.send("acknowledge_warning", warning_id=17)
    await later(world, 60)
    assert lapses(world) == []
    await world.join("s", "6:user")
    await warned(world, warning(18, user_id=6))
    world.moderation.warnings = {}
    await later(world, 30)
    await later(world, 30)
    assert lapses(world) == [("u:6", 18, WarningStep.LAPSE)]


async def test_warn_is_asked_for_with_target_and_rank_and_answered_to_the_actor_alone(world: World) -> None:
    moderator, target = await world.join("s", "1:moderator"), await world.join("s", "5:user")
    witness = await world.join("s", "6:moderator")
    assert world.moderation.warnings is not None
    world.moderation.warnings[17] = warning()
    world.moderation.result = CommandResult(None, None, is_repeated=False, warning=warning())
    for _ in range(2):
        moderator.send("moderation_action", action="warn", target_user_id=5, reason="No links, please", nonce="w1")
        await world.settle()
        world.moderation.result = structs_replaced(world.moderation.result)
    own = {
        "type": "moderation_action",
        "data": {
            "action": "warn",
            "target_user_id": 5,
            "moderator_user_id": 1,
            "duration_minutes": 0,
            "timestamp": AT,
            "nonce": "w1",
            "warning_id": 17,
        },
    }
    assert moderator.frames == [own, own]
    assert (target.frames, witness.frames) == ([SENT], [])
    request = world.moderation.requests[0]
    assert (request.command, request.target) == (IssueWarning(Target(UserId(5), None)), Target(UserId(5), None))
    assert (request.target_rank, request.reason, request.nonce) == (Rank.USER, "No links, please", "w1")
    assert moderator.receiver.waiting == 0  # type: ignore[attr-defined]


def structs_replaced(result: object) -> CommandResult:
    assert isinstance(result, CommandResult)
    return CommandResult(None, None, is_repeated=True, warning=result.warning)


async def test_warn_names_an_anonymous_target_and_goes_on_while_rooms_is_away(world: World) -> None:
    moderator = await world.join("s", "1:moderator")
    one = warning(user_id=None, name="Anonymous_192.0.2.9")
    world.moderation.result = CommandResult(None, None, is_repeated=False, warning=one)
    world.rooms.is_away = True
    moderator.send("moderation_action", action="warn", target_username="Anonymous_192.0.2.9", reason="x")
    await world.settle()
    (frame,) = moderator.frames
    assert frame["data"] == {
        "action": "warn",
        "target_user_id": None,
        "target_username": "Anonymous_192.0.2.9",
        "moderator_user_id": 1,
        "duration_minutes": 0,
        "timestamp": AT,
        "warning_id": 17,
    }


async def test_users_may_not_warn_and_a_warning_needs_a_reason_and_a_target(world: World) -> None:
    user, moderator = await world.join("s", "5:user"), await world.join("s", "1:moderator")
    user.send("moderation_action", action="warn", target_user_id=6, reason="x")
    for data in ({"target_user_id": 6}, {"target_user_id": 6, "reason": " "}, {"reason": "x"}):
        moderator.send("moderation_action", action="warn", **data)
    await world.settle()
    assert user.types == ["not_moderator"]
    assert moderator.types == ["invalid_format"] * 3
    assert world.moderation.requests == []


async def test_a_room_that_is_left_keeps_nothing_and_warnings_of_other_rooms_are_not_kept(world: World) -> None:
    client = await world.join("s", "5:user")
    await warned(world)
    await warned(world, warning(18, slug="elsewhere"))
    assert [each.id for each in world.ports.warnings] == [17]
    client.hang_up()
    await world.settle()
    assert world.holds_nothing()
    await later(world, 60)
    assert lapses(world) == []


async def test_moderation_of_before_knows_no_warnings_and_takes_none_away(world: World) -> None:
    await world.join("s", "5:user")
    await warned(world)
    world.moderation.warnings = None
    world.clock.time_s += 1
    await world.worker.actions.refresh()
    assert [each.id for each in world.ports.warnings] == [17]


async def test_so_many_warnings_of_a_connection_are_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WARNINGS_REMEMBERED", 2)
    client = await world.join("s", "5:user")
    for number in (1, 2, 3):
        await warned(world, warning(number))
    assert client.types == ["warning"] * 3
    assert [client_was_warned(client, number) for number in (1, 2, 3)] == [False, True, True]


def client_was_warned(client: Client, number: int) -> bool:
    found: bool = client.receiver.was_warned(number)  # type: ignore[attr-defined]
    return found


async def test_acknowledgements_have_the_window_of_what_asks_services(world: World) -> None:
    client = await world.join("s", "5:user")
    await warned(world)
    for _ in range(21):
        client.send("acknowledge_warning", warning_id=17, nonce="a")
        await world.settle()
    assert client.types == ["warning", *["warning_closed"] * 20, "rate_limited"]
    assert client.frames[-1]["data"]["nonce"] == "a"  # type: ignore[index]


async def test_what_was_superseded_or_withdrawn_is_told_as_closed(world: World) -> None:
    client = await world.join("s", "5:user")
    await warned(world)
    world.worker.warnings_changed([warning(18), structs.replace(warning(), is_open=False)])
    assert client.types == ["warning", "warning", "warning_closed"]
