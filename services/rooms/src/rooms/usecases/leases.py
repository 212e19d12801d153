"""Leases of edges, and what follows when one is renewed, lost, given up or has expired. What may be much is done in
parts, and each part made known when it is committed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from chassis.errors import DatabaseUnavailable
from chassis.tasks import to_its_end
from rooms.domain.leases import Lease
from rooms.domain.log_position import Resumption
from rooms.domain.membership import HeldConnection
from rooms.domain.people import ConnectionId, EdgeId
from rooms.domain.presence import Changes
from rooms.ports import Ports

_log = structlog.get_logger()


async def heartbeat(ports: Ports, edge: EdgeId, sequences: Mapping[int, int]) -> Lease:
    """Renew a lease, and remember the highest sequence of each partition of the log that the edge has seen. Raises
    DatabaseUnavailable where the lease was not renewed."""
    lease = await ports.leases.renew(edge)
    try:
        await ports.log.remember(sequences)
    except DatabaseUnavailable:
        _log.warning("log_position_not_remembered")  # the next heartbeat brings it
    return lease


async def resume_log(ports: Ports, partition: int, seen: int, *, behind: int) -> Resumption:
    """Up to where the sequences of a partition were given out. `behind`: the sequence that its stream should have
    reached and has not; 0: it has. Raises DatabaseUnavailable."""
    found = await ports.log.resume(partition, seen, behind=behind)
    if found.purge_to:
        _log.warning("log_behind", partition=partition, behind=behind, purge_to=found.purge_to)
    return found


async def sync(
    ports: Ports, edge: EdgeId, held: Sequence[HeldConnection], *, first: bool, last: bool, ordinal: int
) -> list[ConnectionId]:
    """Register again one part of what an edge holds; what no part names is forgotten with the last one. The edge has no
    joins, leaves and changes of ranks under way. `ordinal`: 0 of an edge of before. Gives the connections whose slug
    lives under another life. Raises DatabaseUnavailable; SyncSuperseded where it is not the newest sync of its edge any
    more, or the edge has come to a later ordinal."""
    if first:
        ports.syncs.begin(edge)
    this = ports.syncs.newest(edge)

    def is_newest() -> bool:
        return ports.syncs.newest(edge) is this

    if first:
        await _mark_stale(ports, edge, ordinal, is_newest)
    registered = await ports.leases.register(edge, held, ordinal=ordinal, is_newest=is_newest, now=ports.clock())
    ports.events.publish(registered.changes)
    if last:
        await _forget_stale(ports, edge, ordinal, is_newest)
        ports.syncs.end(edge)
    return registered.lost


async def release(ports: Ports, edge: EdgeId) -> None:
    """End an edge incarnation: its memberships and its lease. Raises DatabaseUnavailable."""
    ports.syncs.end(edge)
    is_over = False
    while not is_over:
        removed = await ports.leases.remove(edge, now=ports.clock())
        ports.events.publish(removed.changes)
        is_over = removed.last is None


def note_outage(ports: Ports) -> None:
    """No lease could be renewed until now: the service is starting, or its database is away."""
    ports.outage.note(now_s=ports.elapsed_s())


async def is_database_answering(ports: Ports) -> bool:
    """Whether the database answers just now. Where it does not, sweeps wait until every edge could renew its lease."""
    is_answering = await ports.leases.is_answering()
    if not is_answering:
        note_outage(ports)
    return is_answering


async def sweep_if_due(ports: Ports) -> Changes:
    """Sweep, unless there was no time yet for every edge to renew its lease. What has begun goes on to its end when
    the caller is cancelled. Raises as `sweep` does."""
    if not ports.outage.is_over(now_s=ports.elapsed_s()):
        return Changes()
    changes = await to_its_end(sweep(ports))
    if changes.presence or changes.ended:
        _log.info("swept", rooms_changed=len(changes.presence), rooms_ended=len(changes.ended))
    return changes


async def sweep(ports: Ports) -> Changes:
    """Remove what expired edges held, by turns, who was away for too long, and rooms that nobody is in. An edge that
    cannot be removed is left for the next time. Raises DatabaseUnavailable where the database is away altogether."""
    published: list[Changes] = []

    def publish(changes: Changes) -> None:
        ports.events.publish(changes)
        published.append(changes)

    edges = await ports.leases.expired()
    while edges:
        edges = [edge for edge in edges if await _remove_expired(ports, edge, publish)]
    is_last = False
    while not is_last:
        part = await ports.leases.end_away(now=ports.clock())
        publish(part.changes)
        is_last = part.is_last
    publish(await ports.leases.end_abandoned(now=ports.clock()))
    return Changes.together(published)


async def reap(ports: Ports) -> None:
    """Remove some of those who are or were in lives that are over, and settings that nobody used for long. Raises
    DatabaseUnavailable."""
    await ports.leases.reap(now=ports.clock())


async def purge_logs(ports: Ports) -> None:
    """Purge the logs of lives that are over and to which nobody came back, a few at a time. What cannot be purged is
    left for another time. Raises DatabaseUnavailable."""
    while ports.events.is_connected and (claimed := await ports.dormant.claim()):
        purged = await asyncio.gather(*(ports.events.purge(ended) for ended in claimed))
        done = [ended.life for ended, is_purged in zip(claimed, purged, strict=True) if is_purged]
        if not done:
            break
        await ports.dormant.forget(done)


async def _mark_stale(ports: Ports, edge: EdgeId, ordinal: int, is_newest: Callable[[], bool]) -> None:
    after: ConnectionId | None = ConnectionId(0)
    while after is not None:
        after = await ports.leases.mark_stale(edge, after=after, ordinal=ordinal, is_newest=is_newest)


async def _forget_stale(ports: Ports, edge: EdgeId, ordinal: int, is_newest: Callable[[], bool]) -> None:
    after: ConnectionId | None = ConnectionId(0)
    while after is not None:
        removed = await ports.leases.remove_stale(
            edge, after=after, ordinal=ordinal, is_newest=is_newest, now=ports.clock()
        )
        ports.events.publish(removed.changes)
        after = removed.last


async def _remove_expired(ports: Ports, edge: EdgeId, publish: Callable[[Changes], None]) -> bool:
    """Whether more of it is left."""
    try:
        removed = await ports.leases.remove(edge, now=ports.clock(), only_expired=True)
    except DatabaseUnavailable as problem:
        # Where it is not the edge, the next hundred would wait for their timeouts for nothing.
        if not await ports.leases.is_answering():
            raise
        _log.warning("edge_not_swept", edge=edge, reason=type(problem.__cause__ or problem).__name__)
        return False
    publish(removed.changes)
    ports.syncs.end(edge)
    return removed.last is not None
