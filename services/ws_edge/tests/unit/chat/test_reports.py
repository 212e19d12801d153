"""Reports on one worker: what goes to moderation, and what who reports is told."""

import pytest
from edge_world import World

from ws_edge.ports import ReportAnswer, ReportOutcome
from ws_edge.protocol.commands import Report, Target
from ws_edge.protocol.identity import MessageId, UserId


async def test_a_report_goes_to_moderation_and_who_filed_it_alone_is_told(world: World) -> None:
    client, witness = await world.join("s", "5:user"), await world.join("s", "6:user")
    client.send("report", message_id=773, category="spam", note="again", nonce="r1")
    await world.settle()
    assert world.moderation.filed == [("u:5", "s", Report(MessageId(773), None, "spam", "again"))]
    assert client.frames == [{"type": "reported", "data": {"message_id": 773, "nonce": "r1"}}]
    assert witness.frames == []


@pytest.mark.parametrize(
    ("named", "target"),
    [
        ({"target_user_id": 6}, Target(UserId(6), None)),
        ({"target_username": "Anonymous_192.0.2.1"}, Target(None, "Anonymous_192.0.2.1")),
    ],
)
async def test_of_somebody_without_a_message(world: World, named: dict[str, object], target: Target) -> None:
    client = await world.join("s", "5:user")
    client.send("report", category="other", **named)
    await world.settle()
    assert world.moderation.filed == [("u:5", "s", Report(None, target, "other", ""))]
    assert client.frames == [{"type": "reported", "data": {}}]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            ReportAnswer(ReportOutcome.NOT_PERMITTED),
            {"message": "You do not have permission to moderate this room", "code": "not_moderator"},
        ),
        (ReportAnswer(ReportOutcome.NOT_FOUND), {"message": "Not found", "code": "not_found"}),
        (
            ReportAnswer(ReportOutcome.TOO_MANY, 2_140),
            {"message": "Rate limit exceeded", "code": "rate_limited", "retry_after_ms": 2_140},
        ),
    ],
)
async def test_a_refusal_has_its_reason_and_the_nonce(
    world: World, answer: ReportAnswer, error: dict[str, object]
) -> None:
    client = await world.join("s", "5:user")
    world.moderation.report_answer = answer
    client.send("report", message_id=773, category="hate", nonce="r1")
    await world.settle()
    assert client.frames == [{"type": "error", "data": {**error, "nonce": "r1"}}]


async def test_without_moderation_who_reports_hears_so_and_may_do_it_again(world: World) -> None:
    client = await world.join("s", "5:user")
    world.moderation.is_away = True
    client.send("report", message_id=773, category="spam")
    await world.settle()
    world.moderation.is_away = False
    client.send("report", message_id=773, category="spam")
    await world.settle()
    assert client.types == ["unavailable", "reported"]


async def test_who_is_gone_before_their_turn_reports_nothing(world: World) -> None:
    client = await world.join("s", "5:user")
    client.send("report", message_id=773, category="spam")
    client.hang_up()
    await world.settle()
    assert world.moderation.filed == []


async def test_anonymous_people_report_nothing(world: World) -> None:
    client = await world.join("s")
    client.send("report", message_id=773, category="spam", nonce="r1")
    await world.settle()
    assert world.moderation.filed == []
    assert client.frames[0]["data"] == {
        "message": "You do not have permission to moderate this room",
        "code": "not_moderator",
        "nonce": "r1",
    }
