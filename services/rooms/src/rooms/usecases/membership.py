"""Joining, leaving and leases: change the database, then tell the others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from rooms.domain.membership import Arrival, ById, BySlug, ByVideo, HeldConnection, JoinOutcome, JoinRefusal, RoomRef
from rooms.domain.naming import is_id, is_video_slug, is_well_formed
from rooms.domain.people import ConnectionId, EdgeId, Rank, Slug, UserId
from rooms.domain.presence import Changes
from rooms.ports import Events, Ports


async def join(ports: Ports, edge: EdgeId, arrivals: Sequence[Arrival]) -> list[JoinOutcome]:
    """Put connections into rooms; outcomes in the order of the arrivals."""
    wanted = [_by_video(arrival) for arrival in arrivals]
    video_ids = frozenset(arrival.ref.video_id for arrival in wanted if isinstance(arrival.ref, ByVideo))
    exists = await ports.videos.existing(video_ids) if video_ids else {}
    refused = {i: refusal for i, arrival in enumerate(wanted) if (refusal := _refusal(arrival.ref, exists)) is not None}
    admitted = [_by_slug(arrival) for i, arrival in enumerate(wanted) if i not in refused]
    tell = partial(publish, ports.events)
    outcomes = await ports.memberships.join(edge, admitted, now=ports.clock(), tell=tell)
    rest = iter(outcomes)
    return [refused[i] if i in refused else next(rest) for i in range(len(wanted))]


async def leave(ports: Ports, edge: EdgeId, connections: Sequence[ConnectionId]) -> None:
    """Take connections out; rooms that become empty end."""
    publish(ports.events, await ports.memberships.leave(edge, connections, now=ports.clock()))


async def sync(
    ports: Ports, edge: EdgeId, held: Sequence[HeldConnection], *, first: bool, last: bool
) -> list[ConnectionId]:
    """Register again what an edge holds; gives the connections that are lost."""
    tell = partial(publish, ports.events)
    return await ports.memberships.sync(edge, held, first=first, last=last, now=ports.clock(), tell=tell)


async def release(ports: Ports, edge: EdgeId) -> None:
    """End an edge incarnation."""
    await ports.memberships.release(edge, now=ports.clock(), tell=partial(publish, ports.events))


async def sweep(ports: Ports) -> Changes:
    """Remove what expired edges held, and rooms that nobody is in."""
    told: list[Changes] = []

    def tell(changes: Changes) -> None:
        publish(ports.events, changes)
        told.append(changes)

    await ports.memberships.sweep(now=ports.clock(), tell=tell)
    return Changes(tuple(p for each in told for p in each.presence), tuple(e for each in told for e in each.ended))


async def reap(ports: Ports) -> None:
    """Remove some of those who are or were in lives that are over."""
    await ports.memberships.reap(now=ports.clock())


async def resolve(ports: Ports, refs: Sequence[RoomRef]) -> list[Slug]:
    """The slug behind each reference; creates nothing."""
    ids = {ref.room_id for ref in refs if isinstance(ref, ById)}
    known = await ports.memberships.resolve(sorted(ids)) if ids else {}
    return [_slug(ref, known.get(ref.room_id) if isinstance(ref, ById) else None) for ref in refs]


async def connected_rank(ports: Ports, user_id: UserId | None, username: str, slug: Slug | None) -> Rank | None:
    """The highest rank somebody is connected with; slug None: anywhere."""
    return await ports.memberships.connected_rank(user_id, username, slug)


def publish(events: Events, changes: Changes) -> None:
    """Tell what a committed transaction did."""
    for change in changes.presence:
        events.publish_presence(change)
    for ended in changes.ended:
        events.purge_messages(ended)


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
