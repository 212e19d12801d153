"""Between the contract of the rooms service and the words of the edge."""

from collections.abc import Iterable

from salon.rooms.v1 import rooms_pb2 as pb
from ws_edge.ports import HeldConnection, JoinRefusal, Membership, Participant, RoomSnapshot
from ws_edge.protocol.identity import ConnectionId, Identity, Life, Rank, RoomId, Slug, UserId
from ws_edge.protocol.reference import ById, BySlug, ByVideo, RoomRef

_RANKS = {rank.value: rank for rank in Rank}
_REFUSALS = {
    pb.JoinOutcome.RESULT_NOT_FOUND: JoinRefusal.NOT_FOUND,
    pb.JoinOutcome.RESULT_ACCESS_DENIED: JoinRefusal.ACCESS_DENIED,
}


def to_ref(ref: RoomRef) -> pb.RoomRef:
    """What the client wrote in the path."""
    match ref:
        case ById(room_id):
            return pb.RoomRef(room_id=room_id)
        case BySlug(slug):
            return pb.RoomRef(slug=slug)
        case ByVideo(video_id):
            return pb.RoomRef(video_id=video_id)


def to_person(identity: Identity) -> pb.Person:
    """Who holds a connection."""
    return pb.Person(
        user_id=identity.user_id or 0, username=identity.username, rank=pb.Rank.ValueType(identity.rank.value)
    )


def to_join_item(connection: ConnectionId, ref: RoomRef, identity: Identity) -> pb.JoinItem:
    """One connection that wants in."""
    return pb.JoinItem(connection=connection, ref=to_ref(ref), person=to_person(identity))


def to_held(held: HeldConnection) -> pb.HeldConnection:
    """One open connection, to be registered again."""
    return pb.HeldConnection(
        connection=held.connection,
        room_id=held.room_id,
        life=held.life,
        slug=held.slug,
        person=to_person(held.identity),
    )


def from_outcome(outcome: pb.JoinOutcome) -> Membership | JoinRefusal:
    """A result of a later version is an unavailable room."""
    if outcome.result != pb.JoinOutcome.RESULT_JOINED:
        return _REFUSALS.get(outcome.result, JoinRefusal.UNAVAILABLE)
    return Membership(
        room_id=RoomId(outcome.room_id),
        life=Life(outcome.life),
        slug=Slug(outcome.slug),
        connection_count=outcome.connection_count,
        version=outcome.version,
        crowded=outcome.crowded,
    )


def from_participants(participants: Iterable[pb.Participant]) -> tuple[Participant, ...]:
    """The people in a room."""
    return tuple(
        Participant(person.key, UserId(person.user_id) if person.user_id else None, person.username, person.version)
        for person in participants
    )


def from_snapshot(answer: pb.ListParticipantsResponse) -> RoomSnapshot:
    """One life of a room."""
    return RoomSnapshot(
        version=answer.version,
        connection_count=answer.connection_count,
        crowded=answer.crowded,
        participants=from_participants(answer.participants),
        deleted=answer.deleted,
    )


def from_rank(rank: pb.Rank.ValueType) -> Rank | None:
    """Ranks have the edge's numbers; None: not connected, or a rank of a later version."""
    return _RANKS.get(rank)
