"""Between the contract's messages and the domain's values. Raises MalformedRequest for what no edge may send."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from rooms.domain.emotes import Emote
from rooms.domain.log_position import PARTITIONS
from rooms.domain.membership import (
    Arrival,
    ById,
    BySlug,
    ByVideo,
    Formerly,
    HeldConnection,
    JoinOutcome,
    JoinRefusal,
    Membership,
    RoomRef,
)
from rooms.domain.people import (
    LARGEST_ID,
    ConnectionId,
    EdgeId,
    Life,
    ParticipantKey,
    Person,
    Rank,
    RoomId,
    Slug,
    UserId,
    Viewer,
)
from rooms.domain.presence import Announced, RoomSnapshot
from rooms.errors import MalformedRequest
from salon.rooms.v1 import rooms_pb2 as pb

BATCH_LIMIT = 1000
_PEOPLE_AT_ONCE = 5000
"""Of several lives in one answer, so that it stays short; of one life they are always all."""
EMOTES_AT_ONCE = 2000
"""In one answer, which stays below 2 MiB."""
USERS_AT_ONCE = 100
"""Of whom each may have blocked 1000."""
BLOCKED_AT_ONCE = 20_000
"""In one answer to joins, which they make longer by 160 KB at most."""
_EDGE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_ANONYMOUS_KEY = re.compile(r"c:[0-9a-f]{32}:[1-9][0-9]{0,18}", re.ASCII)
_LARGEST_CONNECTION = 2**63 - 1
_TOKEN_RANKS = {Rank.USER, Rank.MODERATOR, Rank.ADMIN, Rank.SUPERUSER}
_REFUSALS = {
    JoinRefusal.NOT_FOUND: pb.JoinOutcome.RESULT_NOT_FOUND,
    JoinRefusal.ACCESS_DENIED: pb.JoinOutcome.RESULT_ACCESS_DENIED,
    JoinRefusal.UNAVAILABLE: pb.JoinOutcome.RESULT_UNAVAILABLE,
}


def edge_from_proto(text: str) -> EdgeId:
    """An edge incarnation."""
    if not _EDGE.fullmatch(text):
        raise MalformedRequest("edge: 32 hexadecimal digits")
    return EdgeId(text)


def check_batch(number: int) -> None:
    """No request carries more than 1000 of anything."""
    if number > BATCH_LIMIT:
        raise MalformedRequest(f"at most {BATCH_LIMIT} in one request")


def connection_from_proto(number: int) -> ConnectionId:
    """A connection number."""
    if not 1 <= number <= _LARGEST_CONNECTION:
        raise MalformedRequest("connection: from 1 to 2^63-1")
    return ConnectionId(number)


def text_from_proto(text: str) -> str:
    """A text that PostgreSQL can hold, which the character 0 keeps it from. It is replaced, as moderation does, since
    without it one name could become another."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def person_from_proto(person: pb.Person, participant_key: str) -> Person:
    """Who holds a connection; `participant_key`: of an anonymous one who comes back, else empty."""
    if not 0 <= person.user_id <= LARGEST_ID:
        raise MalformedRequest("user_id: below 2^53")
    if not person.user_id:
        return Person(None, text_from_proto(person.username), Rank.ANONYMOUS, _participant_key(participant_key))
    return Person(UserId(person.user_id), text_from_proto(person.username), _rank(person.rank))


def viewer_from_proto(person: pb.Person) -> Viewer:
    """Who asks through GraphQL."""
    if not 1 <= person.user_id <= LARGEST_ID:
        raise MalformedRequest("viewer.user_id: from 1, below 2^53")
    return Viewer(UserId(person.user_id), text_from_proto(person.username), _rank(person.rank))


def ref_from_proto(ref: pb.RoomRef) -> RoomRef:
    """A room reference."""
    match ref.WhichOneof("ref"):
        case "room_id":
            return ById(RoomId(_id(ref.room_id, "room_id")))
        case "slug":
            return BySlug(Slug(ref.slug))
        case "video_id":
            return ByVideo(_id(ref.video_id, "video_id"))
        case _:
            raise MalformedRequest("ref: missing")


def arrival_from_proto(item: pb.JoinItem) -> Arrival:
    """One join."""
    formerly = _formerly(item) if item.participant_life else None
    return Arrival(
        connection_from_proto(item.connection),
        ref_from_proto(item.ref),
        person_from_proto(item.person, item.participant_key if formerly is None else ""),
        Life(_id(item.revive_life, "revive_life")) if item.revive_life else None,
        formerly,
    )


def _formerly(item: pb.JoinItem) -> Formerly | None:
    """None of who has a token: they are one participant, however often they come."""
    person = person_from_proto(item.person, item.participant_key)
    if person.user_id is not None or person.came_back_as is None:
        return None
    life = Life(_id(item.participant_life, "participant_life"))
    name = text_from_proto(item.participant_username) or person.username
    return Formerly(life, replace(person, username=name))


def rank_from_proto(change: pb.RankChange) -> tuple[ConnectionId, Rank]:
    """A signed-in connection and its rank."""
    return connection_from_proto(change.connection), _rank(change.rank)


def ordinal_from_proto(number: int) -> int:
    """How many requests with ranks the edge incarnation has sent; 0: it is one of before, and does not count them."""
    if not 0 <= number <= LARGEST_ID:
        raise MalformedRequest("ordinal: from 0, below 2^53")
    return number


def held_from_proto(held: pb.HeldConnection) -> HeldConnection:
    """One connection that an edge holds."""
    return HeldConnection(
        connection=connection_from_proto(held.connection),
        room_id=RoomId(_id(held.room_id, "room_id")),
        life=Life(_id(held.life, "life")),
        slug=Slug(held.slug),
        person=person_from_proto(held.person, held.participant_key),
        partition=partition_from_proto(held.partition) if held.HasField("partition") else None,
    )


def sequences_from_proto(positions: Iterable[pb.LogPosition]) -> dict[int, int]:
    """The highest sequence of each partition; of a partition that is named twice, the higher one."""
    sequences: dict[int, int] = {}
    for position in positions:
        partition, sequence = position_from_proto(position)
        sequences[partition] = max(sequence, sequences.get(partition, 0))
    return sequences


def position_from_proto(position: pb.LogPosition) -> tuple[int, int]:
    """A partition and its highest sequence."""
    return partition_from_proto(position.partition), sequence_from_proto(position.highest_sequence, "highest_sequence")


def partition_from_proto(number: int) -> int:
    """A partition of the log."""
    if number >= PARTITIONS:
        raise MalformedRequest(f"partition: from 0 to {PARTITIONS - 1}")
    return number


def sequence_from_proto(number: int, name: str) -> int:
    """A sequence of the log; 0: none."""
    if not 0 <= number <= LARGEST_ID:
        raise MalformedRequest(f"{name}: from 0, below 2^53")
    return number


def joins_to_proto(
    user_ids: Sequence[UserId | None],
    outcomes: Sequence[JoinOutcome],
    owner_rank: Rank,
    blocked: Mapping[UserId, Sequence[UserId]],
) -> pb.JoinResponse:
    """The answers in their order. A user who joins many times is told each time whom they have blocked, as long as the
    answer stays short."""
    answer, left = pb.JoinResponse(), BLOCKED_AT_ONCE
    for user_id, outcome in zip(user_ids, outcomes, strict=True):
        told = None if user_id is None else blocked.get(user_id)
        if told is not None and len(told) > left:
            told = None
        left -= len(told or ())
        answer.outcomes.append(outcome_to_proto(outcome, owner_rank, told))
    return answer


def outcome_to_proto(outcome: JoinOutcome, owner_rank: Rank, blocked: Sequence[UserId] | None) -> pb.JoinOutcome:
    """The answer to one join; `owner_rank`: see RoomPolicy; `blocked`: whom the user has blocked, None: nobody is
    signed in, or it was not read."""
    if isinstance(outcome, JoinRefusal):
        return pb.JoinOutcome(result=_REFUSALS[outcome])
    return _membership_to_proto(outcome, owner_rank, blocked)


def _membership_to_proto(membership: Membership, owner_rank: Rank, blocked: Sequence[UserId] | None) -> pb.JoinOutcome:
    return pb.JoinOutcome(
        result=pb.JoinOutcome.RESULT_JOINED,
        room_id=membership.room_id,
        life=membership.life,
        slug=membership.slug,
        connection_count=membership.connection_count,
        version=membership.version,
        crowded=membership.crowded,
        partition=membership.partition,
        owner_user_id=membership.owner or 0,
        owner_rank=pb.RANK_UNSPECIFIED if membership.owner is None else pb.Rank.ValueType(owner_rank),
        owned_since_ms=membership.owned_since_ms,
        blocked=None if blocked is None else pb.Blocked(user_ids=blocked),
    )


def snapshot_to_proto(snapshot: RoomSnapshot) -> pb.ListParticipantsResponse:
    """One life as it is now."""
    return pb.ListParticipantsResponse(
        version=snapshot.version,
        connection_count=snapshot.connection_count,
        crowded=snapshot.crowded,
        participants=[_participant_to_proto(person) for person in snapshot.participants],
        deleted=snapshot.deleted,
    )


def snapshots_to_proto(snapshots: Sequence[RoomSnapshot]) -> pb.ReadLivesResponse:
    """The first one, and as many after it as do not name too many people."""
    answer = pb.ReadLivesResponse()
    people = 0
    for snapshot in snapshots:
        people += len(snapshot.participants)
        if answer.lives and people > _PEOPLE_AT_ONCE:
            break
        answer.lives.append(snapshot_to_proto(snapshot))
    return answer


def _participant_to_proto(person: Announced) -> pb.Participant:
    return pb.Participant(key=person.key, user_id=person.user_id or 0, username=person.username, version=person.version)


def slugs_from_proto(slugs: Sequence[str]) -> list[Slug]:
    """Different slugs; an empty one stands for everywhere."""
    check_batch(len(slugs))
    return [Slug(text_from_proto(slug)) for slug in dict.fromkeys(slugs)]


def emotes_to_proto(slugs: Sequence[Slug], catalogs: Sequence[Sequence[Emote] | None]) -> pb.ReadEmotesResponse:
    """Those that were read, and the slugs whose were not."""
    answer = pb.ReadEmotesResponse()
    for slug, emotes in zip(slugs, catalogs, strict=True):
        if emotes is None:
            answer.unread.append(slug)
        elif emotes:
            answer.catalogs.add(slug=slug, emotes=[pb.Emote(name=emote.name, url=emote.url) for emote in emotes])
    return answer


def user_ids_from_proto(numbers: Sequence[int]) -> list[UserId]:
    """At most 100."""
    if len(numbers) > USERS_AT_ONCE:
        raise MalformedRequest(f"at most {USERS_AT_ONCE} users in one request")
    return [UserId(_id(number, "user_id")) for number in numbers]


def connected_to_proto(rank: Rank | None, *, owns: bool) -> pb.FindConnectedResponse:
    """What somebody is connected with, None: not at all, and whether they rank as the owner; in words that an edge of
    before knows as well."""
    known = Rank.MODERATOR if rank is Rank.OWNER else rank
    return pb.FindConnectedResponse(rank=pb.RANK_UNSPECIFIED if known is None else pb.Rank.ValueType(known), owner=owns)


def _participant_key(key: str) -> ParticipantKey | None:
    if not key:
        return None
    if not _ANONYMOUS_KEY.fullmatch(key):
        raise MalformedRequest("participant_key: c:<32 hexadecimal digits>:<number>")
    return ParticipantKey(key)


def _rank(rank: int) -> Rank:
    """Of somebody who is signed in. One of a later version counts as a user's; whose a room is, is known here."""
    if rank <= Rank.ANONYMOUS.value:
        raise MalformedRequest("rank: a signed-in one")
    return Rank(rank) if rank in _TOKEN_RANKS else Rank.USER


def _id(number: int, name: str) -> int:
    if not 1 <= number <= LARGEST_ID:
        raise MalformedRequest(f"{name}: from 1, below 2^53")
    return number
