"""The moderators' feed between messages of the contract and values of the domain."""

import json
from collections.abc import Iterable, Sequence

from moderation.api.grpc.convert import audit_to_proto, sanction_to_proto, slug_from_proto
from moderation.domain.feed import ACTION, FeedEvent, FeedHead, FeedPart, FeedState
from moderation.errors import MalformedRequest
from salon.moderation.v1 import moderation_pb2 as pb

MOST_SLUGS = 1000


def since_from_proto(request: pb.OpenFeedRequest) -> int | None:
    """The last event that a moderator knows; None: they begin anew. Raises MalformedRequest."""
    if request.since < 0:
        raise MalformedRequest("since")
    return request.since if request.HasField("since") else None


def feed_slugs_from_proto(request: pb.ReadFeedsRequest) -> list[str]:
    """Whose feeds are asked for. Raises MalformedRequest."""
    if not 0 < len(request.slugs) <= MOST_SLUGS or request.after_id < 0:
        raise MalformedRequest("slugs")
    return [slug_from_proto(slug) for slug in request.slugs]


def feed_state_to_proto(state: FeedState) -> pb.OpenFeedResponse:
    """What a moderator begins with, for the wire."""
    answer = pb.OpenFeedResponse(
        event_id=state.event_id,
        held=map(json.dumps, state.items.held),
        reports=map(json.dumps, state.items.reports),
        unban_requests=map(json.dumps, state.items.unban_requests),
        sanctions=map(sanction_to_proto, state.sanctions),
        has_more_sanctions=state.has_more_sanctions,
        events=_events_to_proto(state.events),
        recovered=state.recovered,
    )
    if state.raid is not None:
        answer.raid.CopyFrom(_event_to_proto(state.raid))
    return answer


def feed_part_to_proto(part: FeedPart) -> pb.ReadFeedsResponse:
    """What came, for the wire."""
    return pb.ReadFeedsResponse(events=_events_to_proto(part.events), up_to_id=part.up_to_id, more=part.has_more)


def encode_feed(heads: Sequence[FeedHead]) -> bytes:
    """What is published: of each slug the newest event."""
    newest = {head.slug: head.event_id for head in heads}
    return pb.FeedReached(
        heads=(pb.FeedReached.Head(slug=slug, event_id=event_id) for slug, event_id in newest.items())
    ).SerializeToString()


def _events_to_proto(events: Iterable[FeedEvent]) -> Iterable[pb.FeedEvent]:
    """Without those whose row is not kept any more: there is nothing to say of them."""
    return (_event_to_proto(event) for event in events if event.kind != ACTION or event.action is not None)


def _event_to_proto(event: FeedEvent) -> pb.FeedEvent:
    message = pb.FeedEvent(
        event_id=event.id,
        slug=event.slug,
        kind=event.kind,
        at_ms=event.at_ms,
        data=json.dumps(event.data),
        previous_id=event.previous_id,
    )
    if event.action is not None:
        message.action.CopyFrom(audit_to_proto(event.action, None))
        details = event.action.details or {}
        imposed = [event.action.imposed_id] if event.action.imposed_id else details.get("imposed_ids", ())
        message.imposed_ids.extend(imposed)
        message.lifted_ids.extend(event.action.lifted_ids)
    return message
