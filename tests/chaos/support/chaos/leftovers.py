"""What may be left in databases, streams and edges when everybody has gone: nothing."""

import asyncio
import time
from collections import Counter

from chaos.place import Place

EMPTY_TABLES = {
    "rooms": ("room", "connection", "participant", "ended_life"),
    "moderation": ("outbox WHERE done_at_ms IS NULL",),
}
"""Who is where, and what is still to be done."""
GAUGES = ("connections", "rooms", "messages_pending")
_LOOK_EVERY_S = 0.5


async def leftovers(place: Place, before: Counter[str], *, within_s: float, logs: bool = True) -> list[str]:
    """What is still there after that time. `before`: what was listened for when nobody was there. `logs`: those of
    rooms that have ended too, which lie dormant for a minute."""
    deadline = time.monotonic() + within_s
    while True:
        found = await _look(place, before, logs)
        if not found or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_LOOK_EVERY_S)


async def _look(place: Place, before: Counter[str], logs: bool) -> list[str]:
    found = await asyncio.to_thread(_of_databases, place)
    for edge in place.edges:
        for name in GAUGES:
            value = await asyncio.to_thread(place.gauge, edge, name)
            if value:
                found.append(f"{edge.process.name} has {name} {value:g}")
    there = await asyncio.to_thread(place.subscriptions)
    found += [f"{count} listen on {subject}" for subject, count in there.items() if subject not in before]
    if logs:
        ((dormant,),) = await asyncio.to_thread(place.salon.query, "rooms", "SELECT count(*) FROM dormant_log")
        found += [f"{dormant} dormant logs"] * bool(int(dormant))
        async with place.streams() as each:
            found += [f"a stream has {messages} messages" for _, messages in each if messages]
    return found


def _of_databases(place: Place) -> list[str]:
    found = []
    for service, tables in EMPTY_TABLES.items():
        for table in tables:
            ((count,),) = place.salon.query(service, f"SELECT count(*) FROM {table}")
            if int(count):
                found.append(f"{count} rows in {table} of {service}")
    ((leases,),) = place.salon.query("rooms", "SELECT count(*) FROM edge_lease")
    workers = len(place.edges) * place.salon.shape.workers
    if int(leases) != workers:
        found.append(f"{leases} leases of {workers} workers")
    return found


async def wrong_counts(place: Place, room: str) -> list[str]:
    """Whether what rooms counts in a room agrees with itself."""
    rows = await asyncio.to_thread(
        place.salon.query,
        "rooms",
        f"SELECT r.connection_count, (SELECT count(*) FROM connection c WHERE c.life = r.life),"
        f" (SELECT coalesce(sum(p.connections), 0) FROM participant p WHERE p.life = r.life)"
        f" FROM room r WHERE r.slug = '{room}'",
    )
    if len(rows) != 1:
        return [f"{room} has {len(rows)} rows"]
    return [] if len(set(rows[0])) == 1 else [f"{room}: count, connections and participants are {rows[0]}"]
