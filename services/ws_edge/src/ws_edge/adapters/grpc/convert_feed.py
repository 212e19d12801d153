"""The moderators' feed, from the contract of moderation into the words of frames."""

import json
from collections.abc import Iterable
from typing import Any

import structlog
from msgspec import UNSET

from chassis.logs import LogSummary
from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.protocol.codec import rfc3339
from ws_edge.protocol.feed import FeedEvent, FeedPart, FeedState
from ws_edge.protocol.identity import Rank, Slug
from ws_edge.protocol.sanctions import Action
from ws_edge.protocol.server_frames import FeedActionData, FieldChangeData, ModerationEventData, SanctionData

_skipped = LogSummary(structlog.get_logger(__name__), "feed_not_understood")
_ROLES = {rank.value: rank.role for rank in Rank}
_SANCTIONS = {pb.ACTION_BAN: Action.BAN.word, pb.ACTION_MUTE: Action.MUTE.word}
_LASTING = ("ban", "mute")


def feed_state_from_proto(state: pb.OpenFeedResponse) -> FeedState:
    """What a moderator begins with. Needs a running event loop, as do the others."""
    return FeedState(
        state.event_id,
        tuple(_sanction(each) for each in state.sanctions if each.action in _SANCTIONS),
        state.has_more_sanctions,
        _objects(state.held),
        _objects(state.reports),
        _objects(state.unban_requests),
        tuple(map(_event, state.events)),
        state.recovered,
        _event(state.raid).data if state.HasField("raid") else None,
    )


def feed_part_from_proto(part: pb.ReadFeedsResponse) -> FeedPart:
    """What came since."""
    return FeedPart(tuple(map(_event, part.events)), part.up_to_id, part.more)


def _sanction(sanction: pb.Sanction) -> SanctionData:
    return SanctionData(
        sanction_id=sanction.id,
        action=_SANCTIONS[sanction.action],
        target_user_id=sanction.target_user_id or None,
        scope=_scope(sanction.scope),
        reason=sanction.reason,
        moderator_user_id=sanction.moderator_user_id or None,
        created_at=rfc3339(sanction.created_at_ms),
        expires_at=rfc3339(sanction.expires_at_ms) if sanction.expires_at_ms else None,
        target_username=UNSET if sanction.target_user_id else sanction.target_username,
    )


def _event(event: pb.FeedEvent) -> FeedEvent:
    details = _objects([event.data] if event.data else ())
    data = ModerationEventData(
        event_id=event.event_id,
        kind=event.kind,
        timestamp=rfc3339(event.at_ms),
        action=_action(event) if event.HasField("action") else UNSET,
        details=(details[0] if details else None) or UNSET,
    )
    return FeedEvent(Slug(event.slug), data, event.previous_id)


def _action(event: pb.FeedEvent) -> FeedActionData:
    row = event.action
    return FeedActionData(
        action_id=row.action_id,
        action=row.action,
        moderator_user_id=row.actor_user_id or None,
        moderator_role=_ROLES.get(row.actor_rank) if row.actor_user_id else None,
        target_user_id=row.target_user_id or None,
        scope=_scope(row.scope),
        reason=row.reason,
        target_username=row.target_username if row.target_username and not row.target_user_id else UNSET,
        duration_minutes=row.duration_minutes if row.action in _LASTING or row.duration_minutes else UNSET,
        message_id=row.message_id or UNSET,
        message=row.message_text if row.HasField("message_text") else UNSET,
        changes=[_field_change(each) for each in row.policy_changes] or UNSET,
        undoes=row.undoes or UNSET,
        completes=row.completes or UNSET,
        rule=row.rule or UNSET,
        sanction_ids=list(event.imposed_ids) or UNSET,
        lifted_ids=list(event.lifted_ids) or UNSET,
    )


def _field_change(change: pb.PolicyFieldChange) -> FieldChangeData:
    return FieldChangeData(change.field, json.loads(change.before), json.loads(change.after))


def _scope(scope: int) -> str:
    return "everywhere" if scope == pb.SCOPE_EVERYWHERE else "room"


def _objects(texts: Iterable[str]) -> tuple[dict[str, Any], ...]:
    """Those that are JSON objects; the others are counted in the log, which has none of what people say."""
    found = []
    for text in texts:
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if isinstance(value, dict):
            found.append(value)
        else:
            _skipped.note(length=len(text))
    return tuple(found)
