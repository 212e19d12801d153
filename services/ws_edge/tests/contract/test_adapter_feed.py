"""The moderators' feed in the contract of moderation and in the words of frames."""

import json
from typing import Any

import structlog

from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.adapters.grpc.convert_feed import feed_part_from_proto, feed_state_from_proto
from ws_edge.protocol import codec
from ws_edge.protocol.policies import NO_POLICY

AT_MS, AT = 1_764_261_180_000, "2025-11-27T16:33:00.000Z"


def shown(frame: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(frame[frame.index(b"{") :])["data"]
    return found


def told(event: pb.FeedEvent) -> dict[str, Any]:
    """As a client is sent it."""
    (one,) = feed_part_from_proto(pb.ReadFeedsResponse(events=[event], up_to_id=9)).events
    assert one.slug == event.slug
    return shown(codec.moderation_event(one.data))


def row(**fields: Any) -> pb.FeedEvent:
    entry = pb.AuditEntry(action_id=812, actor_user_id=9, actor_rank=pb.RANK_MODERATOR, scope=pb.SCOPE_ROOM, **fields)
    return pb.FeedEvent(event_id=7, slug="s", kind="action", at_ms=AT_MS, data="{}", action=entry)


WHAT = {"action_id": 812, "moderator_user_id": 9, "moderator_role": "moderator", "scope": "room"}


async def test_a_deletion_is_told_with_its_text() -> None:
    event = row(action="delete", target_user_id=5, reason="rude", message_id=42, message_text="hello")
    assert told(event) == {
        "event_id": 7,
        "kind": "action",
        "timestamp": AT,
        "action": {
            **WHAT,
            "action": "delete",
            "target_user_id": 5,
            "reason": "rude",
            "message_id": 42,
            "message": "hello",
        },
    }


async def test_a_mute_by_rule_of_an_anonymous_target_is_told_with_what_holds_since() -> None:
    event = row(action="mute", target_username="Anonymous_1", duration_minutes=0, rule="spam")
    event.action.actor_user_id, event.action.scope = 0, pb.SCOPE_EVERYWHERE
    event.imposed_ids.append(31)
    event.lifted_ids.append(30)
    assert told(event)["action"] == {
        "action_id": 812,
        "action": "mute",
        "moderator_user_id": None,
        "moderator_role": None,
        "target_user_id": None,
        "scope": "everywhere",
        "reason": "",
        "target_username": "Anonymous_1",
        "duration_minutes": 0,
        "rule": "spam",
        "sanction_ids": [31],
        "lifted_ids": [30],
    }


async def test_a_change_of_the_policy_is_told_field_by_field_and_what_undoes_it_too() -> None:
    event = row(action="undo", undoes=811, completes=4)
    event.action.policy_changes.add(field="slow_mode_seconds", before="5", after="0")
    action = told(event)["action"]
    assert action["changes"] == [{"field": "slow_mode_seconds", "before": 5, "after": 0}]
    assert (action["undoes"], action["completes"]) == (811, 4)


async def test_other_kinds_are_passed_on_as_they_are() -> None:
    event = pb.FeedEvent(event_id=7, slug="s", kind="later", at_ms=AT_MS, data='{"hold_id":4,"who":{"user_id":5}}')
    details = {"hold_id": 4, "who": {"user_id": 5}}
    assert told(event) == {"event_id": 7, "kind": "later", "timestamp": AT, "details": details}


async def test_an_event_brings_the_one_before_it_which_clients_are_not_told() -> None:
    event = pb.FeedEvent(event_id=7, slug="s", kind="later", at_ms=AT_MS, previous_id=5)
    part = feed_part_from_proto(pb.ReadFeedsResponse(events=[event], up_to_id=7))
    assert part.events[0].previous_id == 5
    assert told(event) == {"event_id": 7, "kind": "later", "timestamp": AT}


async def test_what_is_no_object_keeps_nothing_from_the_others() -> None:
    with structlog.testing.capture_logs() as logs:
        assert "details" not in told(pb.FeedEvent(event_id=7, slug="s", kind="later", data="[1]"))
        state = feed_state_from_proto(pb.OpenFeedResponse(held=["no", '{"hold_id":1}']))
    assert state.held == ({"hold_id": 1},)
    assert {line["event"] for line in logs} <= {"feed_not_understood"}


async def test_a_moderator_begins_with_what_is_in_force_and_what_waits() -> None:
    ban = pb.Sanction(
        id=31,
        action=pb.ACTION_BAN,
        target_username="Anonymous_1",
        scope=pb.SCOPE_ROOM,
        slug="s",
        reason="spam",
        moderator_user_id=9,
        created_at_ms=AT_MS,
        expires_at_ms=AT_MS + 60_000,
    )
    mute = pb.Sanction(id=30, action=pb.ACTION_MUTE, target_user_id=5, scope=pb.SCOPE_EVERYWHERE, created_at_ms=AT_MS)
    later = pb.Sanction(id=29, action=99)  # type: ignore[arg-type] # of a later version
    state = feed_state_from_proto(
        pb.OpenFeedResponse(
            event_id=7,
            held=['{"hold_id":1}'],
            reports=['{"report_id":2}'],
            unban_requests=['{"unban_request_id":3}'],
            sanctions=[ban, mute, later],
            has_more_sanctions=True,
            events=[row(action="clear")],
            recovered=False,
        )
    )
    assert [event.id for event in state.events] == [7]
    assert shown(codec.moderation_feed(state, NO_POLICY, is_resumed=True)) == {
        "on": True,
        "event_id": 7,
        "held": [{"hold_id": 1}],
        "reports": [{"report_id": 2}],
        "unban_requests": [{"unban_request_id": 3}],
        "sanctions": [
            {
                "sanction_id": 31,
                "action": "ban",
                "target_user_id": None,
                "scope": "room",
                "reason": "spam",
                "moderator_user_id": 9,
                "created_at": AT,
                "expires_at": "2025-11-27T16:34:00.000Z",
                "target_username": "Anonymous_1",
            },
            {
                "sanction_id": 30,
                "action": "mute",
                "target_user_id": 5,
                "scope": "everywhere",
                "reason": "",
                "moderator_user_id": None,
                "created_at": AT,
                "expires_at": None,
            },
        ],
        "has_more_sanctions": True,
        "shield": None,
        "raid": None,
        "recovered": False,
    }
