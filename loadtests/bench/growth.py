"""How the cost of a message grows with the members of a room, and with the number of rooms."""

from loadtests.bench.generator import Load
from loadtests.bench.measuring import MICRO, Bench, Measured, flaw_of, without_idle
from loadtests.bench.systems import Running

MEMBERS = (10, 100, 1000, 3000, 6000, 9900)
DELIVERIES_PER_S = 30_000
ROOMS = (10, 100, 500, 1000, 5000)
MESSAGES_PER_S = 1000
WARM_PER_S = 3000
SLOW_RATE = 50
SLOW_S = 8


def by_members(bench: Bench, running: Running) -> Measured:
    """CPU a message at equal deliveries a second in one room."""
    loads = {}
    for members in dict.fromkeys(bench.settings.scaled(size, 10) for size in MEMBERS):
        rate = DELIVERIES_PER_S * bench.settings.share / members
        # Few messages a second need longer: the system counts CPU in steps of 10 ms.
        send_s = bench.settings.seconds if rate > SLOW_RATE else max(SLOW_S, bench.settings.seconds)
        loads[members] = Load(members, senders=min(members, 100), rate=rate, send_s=send_s, settle_s=3)
    return _sweep(bench, running, loads)


def by_rooms(bench: Bench, running: Running) -> Measured:
    """CPU a message at equal messages a second, two members a room."""
    loads = {}
    for rooms in dict.fromkeys(bench.settings.scaled(size) for size in ROOMS):
        members = rooms * 2
        loads[rooms] = Load(
            members,
            groups=rooms,
            senders=members,
            rate=MESSAGES_PER_S * bench.settings.share,
            send_s=bench.settings.seconds,
            warm=WARM_PER_S,  # an edge makes some of what it keeps of a client with the first frame
            settle_s=4,  # what is idle is taken off: its share must be known to a microsecond or two
        )
    return _sweep(bench, running, loads)


def _sweep(bench: Bench, running: Running, loads: dict[int, Load]) -> Measured:
    figures: dict[str, float] = {}
    flaws = []
    for size, load in loads.items():
        phases = bench.run(running, load)
        joined, sent = phases["join"], phases["send"]
        flaw = flaw_of(joined, sent, load.members)
        if flaw:
            flaws.append(f"at {size}: {flaw}")
        messages = max(1, sent["sent"])
        figures[f"us_at_{size}"] = without_idle(joined, sent) * MICRO / messages
        figures[f"raw_us_at_{size}"] = sum(sent["cpu_s"].values()) * MICRO / messages
        figures[f"kernel_us_at_{size}"] = sum(sent["kernel_cpu_s"].values()) * MICRO / messages
        figures[f"p99_at_{size}"] = sent["latency_ms"]["p99"]
    return figures, "; ".join(flaws)
