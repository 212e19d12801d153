"""Between the contracts of the rooms and moderation services and the words of the edge."""

from collections.abc import Iterable

from salon.moderation.v1 import moderation_pb2
from salon.rooms.v1 import rooms_pb2
from ws_edge.ports import JoinRefusal
from ws_edge.protocol.identity import ConnectionId, Identity, Life, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.references import ById, BySlug, ByVideo, RoomRef
from ws_edge.protocol.rooms import HeldConnection, Membership, Participant, RoomSnapshot
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope

_RANKS = {rank.value: rank for rank in Rank}
_REFUSALS = {
    rooms_pb2.JoinOutcome.RESULT_NOT_FOUND: JoinRefusal.NOT_FOUND,
    rooms_pb2.JoinOutcome.RESULT_ACCESS_DENIED: JoinRefusal.ACCESS_DENIED,
}


def to_ref(ref: RoomRef) -> rooms_pb2.RoomRef:
    """What the client wrote in the path."""
    match ref:
        case ById(room_id):
            return rooms_pb2.RoomRef(room_id=room_id)
        case BySlug(slug):
            return rooms_pb2.RoomRef(slug=slug)
        case ByVideo(video_id):
            return rooms_pb2.RoomRef(video_id=video_id)


def to_person(identity: Identity) -> rooms_pb2.Person:
    """Who holds a connection."""
    return rooms_pb2.Person(
        user_id=identity.user_id or 0, username=identity.username, rank=rooms_pb2.Rank.ValueType(identity.rank.value)
    )


def to_join_item(connection: ConnectionId, ref: RoomRef, identity: Identity) -> rooms_pb2.JoinItem:
    """One connection that wants in."""
    return rooms_pb2.JoinItem(connection=connection, ref=to_ref(ref), person=to_person(identity))


def to_held(held: HeldConnection) -> rooms_pb2.HeldConnection:
    """One open connection, to be registered again."""
    return rooms_pb2.HeldConnection(
        connection=held.connection,
        room_id=held.room_id,
        life=held.life,
        slug=held.slug,
        person=to_person(held.identity),
    )


def from_outcome(outcome: rooms_pb2.JoinOutcome) -> Membership | JoinRefusal:
    """A result of a later version is an unavailable room."""
    if outcome.result != rooms_pb2.JoinOutcome.RESULT_JOINED:
        return _REFUSALS.get(outcome.result, JoinRefusal.UNAVAILABLE)
    return Membership(
        room_id=RoomId(outcome.room_id),
        life=Life(outcome.life),
        slug=Slug(outcome.slug),
        connection_count=outcome.connection_count,
        version=outcome.version,
        crowded=outcome.crowded,
    )


def from_participants(participants: Iterable[rooms_pb2.Participant]) -> tuple[Participant, ...]:
    """The people in a room."""
    return tuple(
        Participant(person.key, UserId(person.user_id) if person.user_id else None, person.username, person.version)
        for person in participants
    )


def from_snapshot(answer: rooms_pb2.ListParticipantsResponse) -> RoomSnapshot:
    """One life of a room."""
    return RoomSnapshot(
        version=answer.version,
        connection_count=answer.connection_count,
        crowded=answer.crowded,
        participants=from_participants(answer.participants),
        deleted=answer.deleted,
    )


def from_rank(rank: rooms_pb2.Rank.ValueType) -> Rank | None:
    """Ranks have the edge's numbers; None: not connected, or a rank of a later version."""
    return _RANKS.get(rank)


def to_speaker(speaker: Speaker, into: moderation_pb2.Speaker | None = None) -> moderation_pb2.Speaker:
    """Who a decision is about; filled in place where there is a place, which costs a third."""
    message = moderation_pb2.Speaker() if into is None else into
    identity = speaker.identity
    if identity.user_id is not None:
        message.user_id = identity.user_id
    message.username = identity.username
    message.address = speaker.address
    message.rank = to_rank(identity.rank)
    message.connection = speaker.connection
    return message


def to_rank(rank: Rank | None) -> moderation_pb2.Rank.ValueType:
    """The edge's ranks have the numbers of the contract."""
    return moderation_pb2.Rank.ValueType(0 if rank is None else rank.value)


def from_sanction(sanction: moderation_pb2.Sanction) -> Sanction:
    """Raises ValueError for an action or rank of a later version."""
    return Sanction(
        id=sanction.id,
        action=Action(sanction.action),
        target_user_id=UserId(sanction.target_user_id) if sanction.target_user_id else None,
        target_username=sanction.target_username or None,
        addresses=frozenset(sanction.addresses),
        slug=None if sanction.scope == moderation_pb2.SCOPE_EVERYWHERE else Slug(sanction.slug),
        moderator_rank=Rank(sanction.moderator_rank),
        expires_at_s=sanction.expires_at_ms / 1000 if sanction.expires_at_ms else None,
    )


def from_event(event: moderation_pb2.SanctionEvent) -> SanctionEvent:
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
