"""Sanctions and their events between the contract and the domain; bootstrap.py lends these to NATS as well."""

from collections.abc import Iterable

from google.protobuf.message import DecodeError

from moderation.domain.people import Rank, Target
from moderation.domain.sanction import Action, Sanction, SanctionEvent, Scope
from salon.moderation.v1 import moderation_pb2 as pb


def sanction_to_message(sanction: Sanction) -> pb.Sanction:
    """One sanction for the wire."""
    return pb.Sanction(
        id=sanction.id,
        action=pb.Action.ValueType(sanction.kind),
        target_user_id=sanction.target.user_id,
        target_username=sanction.target.username,
        addresses=sorted(sanction.addresses),
        scope=pb.Scope.ValueType(sanction.scope),
        slug=sanction.slug or "",
        reason=sanction.reason,
        moderator_user_id=sanction.moderator_user_id,
        moderator_rank=pb.Rank.ValueType(sanction.moderator_rank),
        created_at_ms=sanction.created_at_ms,
        expires_at_ms=sanction.expires_at_ms or 0,
        lifted_at_ms=sanction.lifted_at_ms or 0,
    )


def sanctions_to_messages(sanctions: Iterable[Sanction]) -> list[pb.Sanction]:
    """Several sanctions for the wire."""
    return [sanction_to_message(s) for s in sanctions]


def sanction_from_message(message: pb.Sanction) -> Sanction:
    """One sanction from the wire. Raises ValueError where an enumeration has no such value."""
    return Sanction(
        id=message.id,
        kind=Action(message.action),
        target=Target(message.target_user_id, message.target_username),
        addresses=frozenset(message.addresses),
        slug=None if message.scope == pb.SCOPE_EVERYWHERE else message.slug,
        reason=message.reason,
        moderator_user_id=message.moderator_user_id,
        moderator_rank=Rank(message.moderator_rank),
        created_at_ms=message.created_at_ms,
        expires_at_ms=message.expires_at_ms or None,
        lifted_at_ms=message.lifted_at_ms or None,
    )


def event_to_message(event: SanctionEvent) -> pb.SanctionEvent:
    """An event for the wire."""
    return pb.SanctionEvent(
        event_id=event.event_id,
        action=pb.Action.ValueType(event.action),
        target_user_id=event.target.user_id,
        target_username=event.target.username,
        moderator_user_id=event.moderator_user_id,
        duration_minutes=event.duration_minutes,
        scope=pb.Scope.ValueType(event.scope),
        slug=event.slug,
        at_ms=event.at_ms,
        imposed=sanctions_to_messages(event.imposed),
        lifted_ids=event.lifted_ids,
        silent=event.silent,
    )


def event_from_message(message: pb.SanctionEvent) -> SanctionEvent:
    """An event from the wire. Raises ValueError where an enumeration has no such value."""
    return SanctionEvent(
        event_id=message.event_id,
        action=Action(message.action),
        target=Target(message.target_user_id, message.target_username),
        moderator_user_id=message.moderator_user_id,
        duration_minutes=message.duration_minutes,
        scope=Scope(message.scope),
        slug=message.slug,
        at_ms=message.at_ms,
        imposed=tuple(sanction_from_message(s) for s in message.imposed),
        lifted_ids=tuple(message.lifted_ids),
        silent=message.silent,
    )


def encode_event(event: SanctionEvent) -> bytes:
    """An event as it travels on NATS."""
    return event_to_message(event).SerializeToString()


def decode_event(payload: bytes) -> SanctionEvent:
    """An event from NATS. Raises ValueError where it is not one."""
    try:
        return event_from_message(pb.SanctionEvent.FromString(payload))
    except DecodeError:
        raise ValueError("not a SanctionEvent") from None
