"""Joining and leaving: read, ask the domain, write, make known."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from rooms.domain.membership import Arrival, ById, BySlug, ByVideo, JoinOutcome, JoinRefusal, RoomRef, plan_joins
from rooms.domain.naming import is_id, is_video_slug, is_well_formed
from rooms.domain.people import ConnectionId, EdgeId, Rank, Slug
from rooms.ports import Ports

ROUNDS = 20
"""A room may vanish, or appear, between being read and being locked: whom that concerns is planned again."""


async def join(ports: Ports, edge: EdgeId, arrivals: Sequence[Arrival], *, uses_partitions: bool) -> list[JoinOutcome]:
    """Put connections into rooms; outcomes in the order of the arrivals. `uses_partitions`: the edge reads and writes
    the partitions of the log; False: it is one of before. Raises DatabaseUnavailable."""
    wanted = [_by_video(arrival) for arrival in arrivals]
    video_ids = frozenset(arrival.ref.video_id for arrival in wanted if isinstance(arrival.ref, ByVideo))
    exists = await ports.videos.existing(video_ids) if video_ids else {}
    refused = {i: refusal for i, arrival in enumerate(wanted) if (refusal := _refusal(arrival.ref, exists)) is not None}
    admitted = [_by_slug(arrival) for i, arrival in enumerate(wanted) if i not in refused]
    rest = iter(await _enter(ports, edge, admitted, uses_partitions))
    return [refused[i] if i in refused else next(rest) for i in range(len(wanted))]


async def leave(
    ports: Ports, edge: EdgeId, connections: Sequence[ConnectionId], *, away: Set[ConnectionId] = frozenset()
) -> None:
    """Take connections out; rooms that become empty end. Unknown ones are ignored. Those in `away` were closed by the
    server: who does not come back in time has left then. Raises DatabaseUnavailable."""
    ports.events.publish(await ports.memberships.leave(edge, connections, away=away, now=ports.clock()))


async def change_ranks(ports: Ports, edge: EdgeId, ranks: Mapping[ConnectionId, Rank], *, ordinal: int) -> None:
    """Tokens of connections were renewed: from now on they have these ranks. Unknown ones are ignored, and so is all of
    it where the edge has come to a later ordinal: it gave this request up, and has sent the ranks again or will. Raises
    DatabaseUnavailable."""
    await ports.memberships.change_ranks(edge, ranks, ordinal=ordinal)


async def resolve(ports: Ports, refs: Sequence[RoomRef]) -> list[Slug]:
    """The slug behind each reference; creates nothing. Raises DatabaseUnavailable."""
    ids = {ref.room_id for ref in refs if isinstance(ref, ById)}
    known = await ports.memberships.resolve(sorted(ids)) if ids else {}
    return [_slug(ref, known.get(ref.room_id) if isinstance(ref, ById) else None) for ref in refs]


async def _enter(ports: Ports, edge: EdgeId, arrivals: Sequence[Arrival], uses_partitions: bool) -> list[JoinOutcome]:
    now = ports.clock()
    outcomes: dict[ConnectionId, JoinOutcome] = {}
    first_of_each = {arrival.connection: arrival for arrival in reversed(arrivals)}
    for _ in range(ROUNDS):
        waiting = [one for one in arrivals if first_of_each[one.connection] is one and one.connection not in outcomes]
        if not waiting:
            break
        states = await ports.memberships.states(waiting)
        plan = plan_joins(states, waiting, ports.policy, uses_partitions=uses_partitions)
        entered = await ports.memberships.enter(edge, plan, now=now)
        ports.events.publish(entered.changes)
        outcomes |= entered.outcomes
    return [outcomes.get(arrival.connection, JoinRefusal.UNAVAILABLE) for arrival in arrivals]


def _slug(ref: RoomRef, known: Slug | None) -> Slug:
    match ref:
        case ById(room_id):
            return known or Slug(str(room_id))
        case BySlug(slug):
            return slug
        case ByVideo(video_id):
            return Slug(f"video-{video_id}")


def _by_video(arrival: Arrival) -> Arrival:
    """The slug video-N is the room of video N, whichever way it was written."""
    if isinstance(arrival.ref, BySlug) and is_video_slug(arrival.ref.slug):
        return replace(arrival, ref=ByVideo(int(arrival.ref.slug.removeprefix("video-"))))
    return arrival


def _by_slug(arrival: Arrival) -> Arrival:
    if isinstance(arrival.ref, ByVideo):
        return replace(arrival, ref=BySlug(_slug(arrival.ref, None)))
    return arrival


def _refusal(ref: RoomRef, exists: Mapping[int, bool | None]) -> JoinRefusal | None:
    if isinstance(ref, BySlug) and (is_id(ref.slug) or not is_well_formed(ref.slug)):
        return JoinRefusal.NOT_FOUND
    if not isinstance(ref, ByVideo):
        return None
    found = exists.get(ref.video_id)
    if found is None:
        return JoinRefusal.UNAVAILABLE
    return None if found else JoinRefusal.NOT_FOUND
