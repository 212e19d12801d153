"""The moderators' feed on one worker: who is told, in which order, and what becomes of what was lost."""

import asyncio

import pytest
from edge_world import Client, World

from ws_edge.chat import feed as module
from ws_edge.errors import ModerationUnavailable
from ws_edge.protocol.feed import FeedEvent, FeedState
from ws_edge.protocol.identity import Slug
from ws_edge.protocol.policies import Policy, shielded
from ws_edge.protocol.server_frames import FeedActionData, ModerationEventData, SanctionData

AT = "2025-11-27T16:33:00.000Z"
CHAIR, OTHER_CHAIR = "9:moderator", "8:admin"
EMPTY = {
    "on": True,
    "event_id": 0,
    "held": [],
    "reports": [],
    "unban_requests": [],
    "sanctions": [],
    "has_more_sanctions": False,
    "shield": None,
    "raid": None,
}
OFF = {"type": "moderation_feed", "data": {"on": False}}


def event(number: int, slug: str = "s", *, previous_id: int = 0) -> FeedEvent:
    data = ModerationEventData(event_id=number, kind="hold", timestamp=AT, details={"n": number})
    return FeedEvent(Slug(slug), data, previous_id)


def shown(number: int) -> dict[str, object]:
    data = {"event_id": number, "kind": "hold", "timestamp": AT, "details": {"n": number}}
    return {"type": "moderation_event", "data": data}


async def watching(world: World, who: str = CHAIR, ref: str = "s", **how: object) -> Client:
    client = await world.join(ref, who)
    client.send("moderation_feed", on=True, **how)
    await world.settle()
    assert client.types[:1] == ["moderation_feed"], client.frames
    client.raw = b""
    return client


async def happened(world: World, *numbers: int, slug: str = "s") -> None:
    world.moderation.feed += [event(number, slug) for number in numbers]
    await world.worker.feeds.read()


async def test_a_moderator_is_answered_with_what_there_is(world: World) -> None:
    chair = await world.join("s", CHAIR)
    sanction = SanctionData(31, "ban", 5, "room", "spam", 9, AT, None)
    world.moderation.feed_state = FeedState(
        7, (sanction,), True, ({"hold_id": 1},), ({"report_id": 2},), ({"unban_request_id": 3},)
    )
    policy = Policy(version=4)
    world.ports.policies.apply(Slug("s"), shielded(policy, Policy(slow_mode_seconds=30), 4_000_000_000_000))
    chair.send("moderation_feed", on=True, nonce="f1")
    await world.settle()
    ((frame),) = chair.frames
    assert isinstance(frame["data"], dict)
    shield = frame["data"].pop("shield")
    assert (shield["until"], shield["underlying"]["version"]) == ("2096-10-02T07:06:40.000Z", 4)
    row = {
        "sanction_id": 31,
        "action": "ban",
        "target_user_id": 5,
        "scope": "room",
        "reason": "spam",
        "moderator_user_id": 9,
        "created_at": AT,
        "expires_at": None,
    }
    assert frame == {
        "type": "moderation_feed",
        "data": {
            "on": True,
            "event_id": 7,
            "held": [{"hold_id": 1}],
            "reports": [{"report_id": 2}],
            "unban_requests": [{"unban_request_id": 3}],
            "sanctions": [row],
            "has_more_sanctions": True,
            "raid": None,
            "nonce": "f1",
        },
    }
    assert world.moderation.feeds_opened == [("u:9", "s", None)]


async def test_from_then_on_all_moderators_who_asked_are_told_in_the_same_order_and_nobody_else(world: World) -> None:
    chair, other = await watching(world), await watching(world, OTHER_CHAIR)
    elsewhere = await watching(world, "7:moderator", "t")
    silent, user = await world.join("s", "6:moderator"), await world.join("s", "5:user")
    await happened(world, 1, 2)
    await happened(world, 3)
    await happened(world, 4, slug="t")
    assert chair.frames == other.frames == [shown(1), shown(2), shown(3)]
    assert elsewhere.frames == [shown(4)]
    assert silent.frames == user.frames == []


async def test_a_moderator_is_not_told_of_reports_about_themselves_and_the_others_are(world: World) -> None:
    about = ModerationEventData(event_id=1, kind="report", timestamp=AT, details={"report_id": 3, "target_user_id": 9})
    row = FeedActionData(
        action_id=4,
        action="resolve_report",
        moderator_user_id=8,
        moderator_role="admin",
        target_user_id=9,
        scope="room",
        reason="",
    )
    resolved = ModerationEventData(
        event_id=2, kind="report_resolved", timestamp=AT, action=row, details={"report_id": 3}
    )
    anonymous = ModerationEventData(
        event_id=3, kind="report", timestamp=AT, details={"report_id": 4, "target_user_id": None}
    )
    chair, other = await watching(world), await watching(world, OTHER_CHAIR)
    world.moderation.feed += [FeedEvent(Slug("s"), data) for data in (about, resolved, anonymous)]
    await happened(world, 4)
    assert [frame["data"]["event_id"] for frame in chair.frames] == [3, 4]  # type: ignore[index]
    assert [frame["data"]["event_id"] for frame in other.frames] == [1, 2, 3, 4]  # type: ignore[index]
    back = await world.join("s", CHAIR)
    back.send("moderation_feed", on=True, since=0)
    await world.settle()
    assert [frame["data"]["event_id"] for frame in back.frames[1:]] == [3, 4]  # type: ignore[index]


@pytest.mark.parametrize("who", ["5:user", None])
async def test_nobody_else_is(world: World, who: str | None) -> None:
    client = await world.join("s", who)
    client.send("moderation_feed", on=True, nonce="f1")
    client.send("moderation_feed", on=False)
    await world.settle()
    refusal = {
        "message": "You do not have permission to moderate this room",
        "code": "not_moderator",
        "nonce": "f1",
    }
    assert client.frames == [{"type": "error", "data": refusal}, OFF]
    assert world.moderation.feeds_opened == []


async def test_moderation_has_the_last_word(world: World) -> None:
    chair = await world.join("s", CHAIR)
    world.moderation.is_feed_denied = True
    chair.send("moderation_feed", on=True)
    await world.settle()
    assert chair.types == ["not_moderator"]
    assert len(world.worker.feeds) == 0


async def test_while_moderation_is_away_who_asks_is_told_so(world: World) -> None:
    chair = await world.join("s", CHAIR)
    world.moderation.is_away = True
    chair.send("moderation_feed", on=True, nonce="f1")
    await world.settle()
    assert chair.frames == [
        {"type": "error", "data": {"message": "Service unavailable", "code": "unavailable", "nonce": "f1"}}
    ]


async def test_who_comes_back_is_sent_what_they_missed_behind_the_answer_and_told_whether_that_is_all(
    world: World,
) -> None:
    world.moderation.feed = [event(1), event(2), event(3, "t"), event(4)]
    chair = await world.join("s", CHAIR)
    chair.send("moderation_feed", on=True, since=1)
    await world.settle()
    answer = {"type": "moderation_feed", "data": {**EMPTY, "event_id": 4, "recovered": True}}
    assert chair.frames == [answer, shown(2), shown(4)]
    chair.raw = b""
    world.moderation.feed_state = FeedState(4, events=(event(4),), recovered=False)
    chair.send("moderation_feed", on=True, since=1)
    await world.settle()
    answer["data"]["recovered"] = False  # type: ignore[index]
    assert chair.frames == [answer, shown(4)]
    chair.raw = b""
    await happened(world, 5)
    assert chair.frames == [shown(5)]


async def test_who_ends_it_is_told_no_more(world: World) -> None:
    chair = await watching(world)
    chair.send("moderation_feed", on=False, nonce="f2")
    await world.settle()
    await happened(world, 1)
    assert chair.frames == [{"type": "moderation_feed", "data": {"on": False, "nonce": "f2"}}]


async def test_who_is_no_moderator_any_more_is_told_so_and_nothing_more(world: World) -> None:
    chair, other = await watching(world), await watching(world, OTHER_CHAIR)
    chair.send("authenticate", token="9:user")
    await world.settle()
    assert chair.types == ["authenticated"]
    chair.raw = b""
    await happened(world, 1)
    await world.worker.feeds.dismiss()
    assert chair.frames == [OFF]
    assert other.frames == [shown(1)]


async def test_nor_is_who_was_no_moderator_any_more_when_moderation_answered(world: World) -> None:
    chair = await world.join("s", CHAIR)
    world.moderation.opening_feed.shut()
    chair.send("moderation_feed", on=True)
    chair.send("authenticate", token="9:user")
    await world.settle()
    world.moderation.opening_feed.open()
    await world.settle()
    assert chair.types == ["authenticated", "not_moderator"]
    assert len(world.worker.feeds) == 0


async def test_who_left_is_forgotten(world: World) -> None:
    chair = await watching(world)
    late = await world.join("s", OTHER_CHAIR)
    world.moderation.opening_feed.shut()
    late.send("moderation_feed", on=True)
    await world.settle()
    chair.hang_up()
    late.hang_up()
    world.moderation.opening_feed.open()
    await world.settle()
    await world.worker.feeds.dismiss()
    await happened(world, 1)
    assert chair.frames == late.frames == []
    assert len(world.worker.feeds) == 0
    assert world.moderation.feeds_read == []


async def test_what_comes_while_a_feed_opens_is_told_once_and_in_order(world: World) -> None:
    """Whatever of the two questions is answered first."""
    first = await watching(world)
    late = await world.join("s", OTHER_CHAIR)
    world.moderation.opening_feed.shut()
    late.send("moderation_feed", on=True)
    await world.settle()
    await happened(world, 1, 2)
    world.moderation.opening_feed.open()
    await world.settle()
    await happened(world, 3)
    assert first.frames == [shown(1), shown(2), shown(3)]
    assert late.frames == [{"type": "moderation_feed", "data": EMPTY}, shown(1), shown(2), shown(3)]


async def test_a_feed_that_opened_while_others_were_read_misses_nothing(world: World) -> None:
    await watching(world)
    world.moderation.reading_feeds.shut()
    world.moderation.feed += [event(1), event(2, "t")]
    reading = asyncio.create_task(world.worker.feeds.read())
    await world.settle()
    world.moderation.feed_state = FeedState(1)
    late = await world.join("t", OTHER_CHAIR)
    late.send("moderation_feed", on=True)
    await world.settle()
    world.moderation.reading_feeds.open()
    await reading
    await world.worker.feeds.read()
    assert late.frames[1:] == [shown(2)]
    assert world.moderation.feeds_read[-1] == (("s", "t"), 1)


async def test_many_are_read_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLUGS_PER_READ", 1)
    world.moderation.feed_part = 2
    chair, elsewhere = await watching(world), await watching(world, OTHER_CHAIR, "t")
    world.moderation.feed += [event(number) for number in range(1, 6)] + [event(6, "t")]
    for _ in range(3):
        await world.worker.feeds.read()
    assert chair.frames == [shown(number) for number in range(1, 6)]
    assert elsewhere.frames == [shown(6)]


async def test_the_feeds_are_read_when_nats_says_that_one_of_them_has_gone_on_or_was_away_and_else_now_and_then(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_EVERY_S", 3600.0)
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    chair = await watching(world)
    duty = asyncio.create_task(world.worker.feeds.keep_reading())
    await world.settle()
    world.moderation.feeds_read.clear()
    for heads in ({Slug("t"): 9}, {Slug("s"): 0}):
        world.worker.feed_reached(heads)
        await world.settle()
    assert world.moderation.feeds_read == []
    world.moderation.feed.append(event(1))
    world.worker.feed_reached({Slug("s"): 1})
    await world.settle()
    assert chair.frames == [shown(1)]
    world.moderation.feed.append(event(2))
    world.worker.bus_restored()
    await world.settle()
    assert chair.frames == [shown(1), shown(2)]
    duty.cancel()
    monkeypatch.setattr(module, "READ_EVERY_S", 0.0)
    world.moderation.feed.append(event(3))
    duty = asyncio.create_task(world.worker.feeds.keep_reading())
    await world.settle()
    assert chair.frames == [shown(1), shown(2), shown(3)]
    duty.cancel()


async def test_they_are_read_again_after_moderation_was_away_or_something_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_EVERY_S", 0.0)
    monkeypatch.setattr(module, "READ_AGAIN_S", 0.0)
    chair = await watching(world)
    answers = [ModerationUnavailable(), ZeroDivisionError()]
    read_feeds = world.moderation.read_feeds

    async def stumble(slugs: list[Slug], after: int) -> object:
        if answers:
            raise answers.pop(0)
        return await read_feeds(slugs, after)

    monkeypatch.setattr(world.moderation, "read_feeds", stumble)
    world.moderation.feed.append(event(1))
    duty = asyncio.create_task(world.worker.feeds.keep_reading())
    await world.settle()
    await world.settle()
    assert chair.frames == [shown(1)]
    duty.cancel()


async def missing(world: World) -> dict[str, object]:
    """Event 1 was told; 2 to 8 were deleted before anybody read them. What begins anew then."""
    await happened(world, 1)
    world.moderation.feed += [event(9, previous_id=8), event(10, "t", previous_id=3), event(11, previous_id=9)]
    world.moderation.feed_state = FeedState(11, events=(event(9), event(11)), recovered=False)
    return {"type": "moderation_feed", "data": {**EMPTY, "event_id": 11, "recovered": False}}


async def test_where_events_are_gone_before_they_were_read_who_is_told_begins_anew_and_knows_that_some_are_missing(
    world: World,
) -> None:
    chair, away = await watching(world), await watching(world, OTHER_CHAIR, "t")
    anew = await missing(world)
    world.moderation.feeds_opened.clear()
    await world.worker.feeds.read()
    assert chair.frames == [shown(1), anew, shown(9), shown(11)]
    assert world.moderation.feeds_opened[0] == ("u:9", "s", 1)
    world.moderation.feed.append(event(12, previous_id=11))
    await world.worker.feeds.read()
    assert chair.frames[4:] == [shown(12)]
    assert away.types[:1] == ["moderation_feed"]


async def test_they_begin_anew_when_moderation_is_there_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    chair = await watching(world)
    anew = await missing(world)
    open_feed = world.moderation.open_feed

    async def stumble(*_: object) -> None:
        raise ModerationUnavailable

    monkeypatch.setattr(world.moderation, "open_feed", stumble)
    for _ in range(2):
        with pytest.raises(ModerationUnavailable):
            await world.worker.feeds.read()
    assert chair.frames == [shown(1)]
    monkeypatch.setattr(world.moderation, "open_feed", open_feed)
    await world.worker.feeds.read()
    assert chair.frames == [shown(1), anew, shown(9), shown(11)]


async def test_not_who_may_not_any_more_has_left_or_has_begun_anew_themselves(world: World) -> None:
    denied, gone, again = [await watching(world, who) for who in (CHAIR, OTHER_CHAIR, "7:moderator")]
    anew = await missing(world)
    world.moderation.opening_feed.shut()
    reading = asyncio.create_task(world.worker.feeds.read())
    await world.settle()
    gone.hang_up()
    again.send("moderation_feed", on=True, since=1)
    world.moderation.is_feed_denied = True
    world.moderation.opening_feed.open()
    await reading
    await world.settle()
    assert denied.frames == [shown(1), OFF]
    assert gone.frames == [shown(1)]
    assert again.types[1:] == ["not_moderator"]
    assert anew not in again.frames


async def test_it_is_asked_for_as_often_as_a_history(world: World) -> None:
    chair = await world.join("s", CHAIR)
    for _ in range(21):
        chair.send("moderation_feed", on=False, nonce="f")
        await world.settle()
    assert chair.types == [*["moderation_feed"] * 20, "rate_limited"]
