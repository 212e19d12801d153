"""The moderators' feed in the contract."""

import json

import pytest

from moderation.api.grpc.convert_feed import (
    encode_feed,
    feed_part_to_proto,
    feed_slugs_from_proto,
    feed_state_to_proto,
    since_from_proto,
)
from moderation.domain.audit import AuditRecord
from moderation.domain.feed import ACTION, FeedEvent, FeedHead, FeedPart, FeedState, OpenItems
from moderation.errors import MalformedRequest
from salon.moderation.v1 import moderation_pb2 as pb

BAN = AuditRecord(
    812, 1, 5, "", 9, 3, 60, 1, "live", "spam", 1_000, imposed_id=31, lifted_ids=(30,), message_text="buy", digest="d"
)
EVENT = FeedEvent(1_001, "live", 0, ACTION, 1_000, {}, BAN)
HOLD = FeedEvent(1_002, "live", 1_001, "hold", 1_000, {"hold_id": 4})


def test_an_action_is_told_with_its_row_and_the_sanctions_that_it_changed() -> None:
    part = feed_part_to_proto(FeedPart([EVENT, HOLD], 1_007, has_more=True))
    action, hold = part.events
    assert (part.up_to_id, part.more) == (1_007, True)
    assert (action.event_id, action.slug, action.kind, action.at_ms, action.data) == (
        1_001,
        "live",
        "action",
        1_000,
        "{}",
    )
    assert (action.action.action_id, action.action.action, action.action.message_text) == (812, "ban", "buy")
    assert (list(action.imposed_ids), list(action.lifted_ids)) == ([31], [30])
    assert (action.previous_id, hold.previous_id) == (0, 1_001)
    assert (hold.kind, json.loads(hold.data), hold.HasField("action")) == ("hold", {"hold_id": 4}, False)


def test_an_undo_may_have_imposed_several() -> None:
    undo = AuditRecord(813, 23, 5, "", 9, 3, 0, 1, "live", "", 1_000, details={"imposed_ids": [32, 33]}, undoes_id=812)
    (event,) = feed_part_to_proto(FeedPart([EVENT._replace(action=undo)], 9)).events
    assert (list(event.imposed_ids), event.action.undoes) == ([32, 33], 812)


def test_of_an_action_whose_row_is_not_kept_any_more_there_is_nothing_to_say() -> None:
    part = feed_part_to_proto(FeedPart([EVENT._replace(action=None), HOLD._replace(action=None)], 9))
    assert [event.kind for event in part.events] == ["hold"]


def test_a_moderator_begins_with_lists_in_the_words_of_frames() -> None:
    items = OpenItems(({"hold_id": 1},), ({"report_id": 2},), ({"unban_request_id": 3},))
    state = feed_state_to_proto(FeedState(7, items, (), True, (HOLD,), False))
    assert (state.event_id, state.has_more_sanctions, state.recovered) == (7, True, False)
    assert [*state.held, *state.reports, *state.unban_requests] == [
        '{"hold_id": 1}',
        '{"report_id": 2}',
        '{"unban_request_id": 3}',
    ]
    assert [event.event_id for event in state.events] == [1_002]


def test_edges_are_told_the_newest_event_of_each_slug() -> None:
    heads = [FeedHead("live", 4), FeedHead("other", 5), FeedHead("live", 6)]
    told = pb.FeedReached.FromString(encode_feed(heads))
    assert [(head.slug, head.event_id) for head in told.heads] == [("live", 6), ("other", 5)]


def test_who_begins_anew_differs_from_who_knows_nothing_yet() -> None:
    assert since_from_proto(pb.OpenFeedRequest()) is None
    assert since_from_proto(pb.OpenFeedRequest(since=0)) == 0
    with pytest.raises(MalformedRequest):
        since_from_proto(pb.OpenFeedRequest(since=-1))


def test_feeds_are_asked_for_by_slug() -> None:
    assert feed_slugs_from_proto(pb.ReadFeedsRequest(slugs=["a", "b"], after_id=3)) == ["a", "b"]
    for wrong in (
        pb.ReadFeedsRequest(),
        pb.ReadFeedsRequest(slugs=["a"] * 1001),
        pb.ReadFeedsRequest(slugs=["a"], after_id=-1),
        pb.ReadFeedsRequest(slugs=["a" * 129]),
    ):
        with pytest.raises(MalformedRequest):
            feed_slugs_from_proto(wrong)
