"""Between the contract of the moderation service and the words of the edge."""

from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.protocol.identity import Rank, Slug, Speaker, UserId
from ws_edge.protocol.sanction import Action, Sanction, SanctionEvent, Scope


def to_speaker(speaker: Speaker, into: pb.Speaker | None = None) -> pb.Speaker:
    """Who a decision is about; filled in place where there is a place, which costs a third."""
    message = pb.Speaker() if into is None else into
    identity = speaker.identity
    if identity.user_id is not None:
        message.user_id = identity.user_id
    message.username = identity.username
    message.address = speaker.address
    message.rank = to_rank(identity.rank)
    message.connection = speaker.connection
    return message


def to_rank(rank: Rank | None) -> pb.Rank.ValueType:
    """The edge's ranks have the numbers of the contract."""
    return pb.Rank.ValueType(0 if rank is None else rank.value)


def from_sanction(sanction: pb.Sanction) -> Sanction:
    """Raises ValueError for an action or rank of a later version."""
    return Sanction(
        id=sanction.id,
        action=Action(sanction.action),
        target_user_id=UserId(sanction.target_user_id) if sanction.target_user_id else None,
        target_username=sanction.target_username or None,
        addresses=frozenset(sanction.addresses),
        slug=None if sanction.scope == pb.SCOPE_EVERYWHERE else Slug(sanction.slug),
        moderator_rank=Rank(sanction.moderator_rank),
        expires_at_s=sanction.expires_at_ms / 1000 if sanction.expires_at_ms else None,
    )


def from_event(event: pb.SanctionEvent) -> SanctionEvent:
    """Raises ValueError for an action, scope or rank of a later version."""
    return SanctionEvent(
        event_id=event.event_id,
        action=Action(event.action),
        target_user_id=UserId(event.target_user_id) if event.target_user_id else None,
        target_username=event.target_username or None,
        moderator_user_id=UserId(event.moderator_user_id),
        duration_minutes=event.duration_minutes,
        scope=Scope(event.scope),
        slug=Slug(event.slug) if event.slug else None,
        at_ms=event.at_ms,
        imposed=tuple(from_sanction(sanction) for sanction in event.imposed),
        lifted_ids=tuple(event.lifted_ids),
        silent=event.silent,
    )
