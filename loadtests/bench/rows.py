"""The work: what is measured, and on which servers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from loadtests.bench import growth, measuring
from loadtests.bench.generator import Load
from loadtests.bench.measuring import Bench, Measured
from loadtests.bench.peers import GATHERING, PEERS
from loadtests.bench.salon import Setup, salon
from loadtests.bench.storm import cut_off, edge_away
from loadtests.bench.systems import Running, System

Measure = Callable[[Bench, Running, System], Measured]
FAST = ("nchan", "ws", "Socket.IO", "Centrifugo", "Centrifugo with history")
CENTRIFUGOS = ("Centrifugo", "Centrifugo with history")
SLOW = tuple(name for name in PEERS if name not in (*FAST, GATHERING))
"""Far behind and slow to measure: in the first repetition alone."""


@dataclass(frozen=True)
class Row:
    """One work. `columns`: the figures that its table shows."""

    name: str
    title: str
    salons: tuple[System, ...]
    peers: tuple[str, ...]
    measure: Measure
    columns: tuple[str, ...]
    users: int = 10_000
    """How many tokens there are for its members."""

    def with_before(self, checkout: Path) -> "Row":
        """The first of its Salons once more, as another checkout is."""
        before = self.salons[0].before
        assert before is not None
        return replace(self, salons=(*self.salons, before(checkout)))


MESSAGES = (
    "front_us",
    "all_us",
    "user_us",
    "message_us",
    "per_s",
    "deliveries_per_s",
    "p50",
    "p99",
    "max",
    "behind_s",
    "frame_bytes",
    "late_ms",
    "generator_us",
)


def rows() -> list[Row]:
    """Everything, in the order in which it is measured."""
    plain, nonces = salon(), salon("Salon, with nonces", Setup(nonces=True))
    both = (plain, nonces)
    packed = (plain, salon("Salon, compressed", Setup(compression=True)))
    gathers = (plain, salon("Salon, not gathering", Setup(settings=(("WS_EDGE_CROWDED_FLUSH_MS", "0"),))))
    workers = (salon("Salon, 1 edge worker"), salon("Salon, 2 edge workers", Setup(workers=2)))
    four = salon("Salon, 4 edge workers", Setup(workers=4))
    databases = (salon("Salon on SQLite"), salon("Salon on PostgreSQL", Setup(postgres=True)))
    everybody = tuple(name for name in PEERS if name != GATHERING)
    crowded = (*FAST, GATHERING)
    return [
        Row("fanout-100", "One room of 100, 300 messages/s", packed, (), _one_room(100, 300), MESSAGES),
        Row("fanout-1000", "One room of 1,000, 300 messages/s", packed, tuple(PEERS), _one_room(1000, 300), MESSAGES),
        Row("fanout-9900", "One room of 9,900, 20 messages/s", packed, crowded, _one_room(9900, 20), MESSAGES),
        *(
            Row(f"fanout-9900-{rate}", f"One room of 9,900, {rate} messages/s", gathers, (GATHERING,), work, MESSAGES)
            for rate in (40, 60)
            for work in [_one_room(9900, rate)]
        ),
        Row("rooms-2000", "500 rooms of 2, 2,000 messages/s", both, everybody, _rooms(2000), MESSAGES),
        Row("rooms-6000", "500 rooms of 2, 6,000 messages/s", both, FAST, _rooms(6000), MESSAGES),
        Row("rooms-highest", "500 rooms of 2, highest rate that delivers all", workers, (), _highest, MESSAGES),
        Row(
            "idle",
            "10,000 idle connections in one room",
            (plain,),
            (*FAST, "FastAPI loop"),
            _idle,
            ("kib_each", "all_kib_each", "idle_cpu_share"),
        ),
        Row("idle-70000", "70,000 idle connections in one room", (four,), (), _idle_of_many, IDLE_PARTS, 70_000),
        Row("joins", "5,000 joins into one room", databases, everybody, _joins(5000), JOINS),
        Row("joins-rooms", "5,000 joins into 2,500 rooms", databases, everybody, _joins(5000, 2500), JOINS),
        Row("storm-killed", "The edge is killed under 5,000", (plain,), (), _storm(True), STORM),
        Row("storm-stopped", "The edge is restarted under 5,000", (at_once(),), (), _storm(False), STORM),
        Row("storm-cut", "9,000 in one room are cut off", (plain,), CENTRIFUGOS, _cut_off(9000), CUT),
        Row("storm-cut-rooms", "9,000 in 2,000 rooms are cut off", (plain,), CENTRIFUGOS, _cut_off(9000, 2000), CUT),
        Row("typing", "Typing and coming and going in a room of 5,000", (plain,), (), _typing(5000), TYPING),
        Row("typing-10000", "Typing and coming and going in a room of 10,000", (plain,), (), _typing(10_000), TYPING),
        Row("growth-members", "Growth with the members of a room", (plain,), (), _by_members, ()),
        Row("growth-rooms", "Growth with the number of rooms", (plain,), (), _by_rooms, ()),
    ]


IDLE_PARTS = (
    "all_kib_each",
    *(f"{part}_kib_each" for part in ("edge", "rooms", "moderation", "nats")),
    "idle_cpu_share",
    "joins_per_s",
)
JOINS = ("joins_per_s", "all_us")
CUT = ("joined_s", "right_s", "refused", "all_us")
STORM = ("joined_s", "right_s", "restart_s", "refused")
TYPING = (
    "typed_per_s",
    "churned_per_s",
    "typing_start_per_s",
    "typing_stop_per_s",
    "room_stats_per_s",
    "user_joined_per_s",
    "user_left_per_s",
    "frames_per_s",
    "frames_each_per_s",
    "cpu_share",
)


def quick_rows() -> list[Row]:
    """What fits into a minute and a half, against two peers."""
    plain, spoken, quiet = (salon(),), ("ws", "Centrifugo with history"), ("ws", "Centrifugo")
    into_one, into_many = _joins(2000, settle_s=0.2), _joins(2000, 1000, settle_s=0.2)
    return [
        Row("fanout-1000", "One room of 1,000, 300 messages/s", plain, spoken, _one_room(1000, 300), MESSAGES),
        Row("rooms-2000", "500 rooms of 2, 2,000 messages/s", plain, spoken, _rooms(2000), MESSAGES),
        Row("joins", "2,000 joins into one room", plain, quiet, into_one, JOINS),
        Row("joins-rooms", "2,000 joins into 1,000 rooms", plain, quiet, into_many, JOINS),
        Row("idle", "2,000 that have just come into one room", plain, quiet, _quick_idle, ("kib_each", "all_kib_each")),
    ]


def at_once() -> System:
    """A Salon that closes everybody at once when it is stopped, instead of over five seconds."""
    return salon("Salon, drained at once", Setup(settings=(("WS_EDGE_DRAIN_SECONDS", "0"),)))


def _one_room(members: int, rate: float) -> Measure:
    def measure(bench: Bench, running: Running, system: System) -> Measured:
        size = bench.settings.scaled(members)
        load = Load(size, senders=min(100, size), rate=rate, send_s=bench.settings.seconds)
        return measuring.fan_out(bench, running, system, load)

    return measure


def _in_rooms(bench: Bench, rate: float) -> Load:
    groups = bench.settings.scaled(500)
    return Load(groups * 2, groups=groups, senders=groups * 2, rate=rate, send_s=bench.settings.seconds)


def _rooms(rate: float) -> Measure:
    def measure(bench: Bench, running: Running, system: System) -> Measured:
        return measuring.fan_out(bench, running, system, _in_rooms(bench, rate * bench.settings.share))

    return measure


def _highest(bench: Bench, running: Running, system: System) -> Measured:
    return measuring.highest_rate(bench, running, system, _in_rooms(bench, 0))


def _idle(bench: Bench, running: Running, system: System) -> Measured:
    steps = 4 if system.name == "Salon" else 1
    load = Load(bench.settings.scaled(10_000, 8), steps=steps, settle_s=1.5, still_s=measuring.PINGED_S)
    return measuring.idle(bench, running, system, load)


def _idle_of_many(bench: Bench, running: Running, _: System) -> Measured:
    return measuring.idle_of_many(bench, running, bench.settings.scaled(70_000, 8))


def _joins(members: int, rooms: int = 1, settle_s: float = 1) -> Measure:
    def measure(bench: Bench, running: Running, _: System) -> Measured:
        groups = 1 if rooms == 1 else bench.settings.scaled(rooms, 1)
        return measuring.joins(bench, running, Load(bench.settings.scaled(members), groups, settle_s=settle_s))

    return measure


def _quick_idle(bench: Bench, running: Running, system: System) -> Measured:
    return measuring.idle(bench, running, system, Load(bench.settings.scaled(2000), steps=1, settle_s=1))


def _storm(without_a_word: bool) -> Measure:
    def measure(bench: Bench, running: Running, _: System) -> Measured:
        # Only crowded rooms are told their count again and again: a small one says nothing of it after the join.
        load = Load(bench.settings.scaled(5000, 600), storm_s=45)
        return edge_away(bench, running, load, without_a_word)

    return measure


def _cut_off(members: int, rooms: int = 1) -> Measure:
    def measure(bench: Bench, running: Running, _: System) -> Measured:
        groups, least = (1, 600) if rooms == 1 else (bench.settings.scaled(rooms, 1), 2)
        size = bench.settings.scaled(members, least)
        return cut_off(bench, running, Load(size, groups, storm_s=45, cut=True, jitter_s=1))

    return measure


def _typing(members: int) -> Measure:
    def measure(bench: Bench, running: Running, _: System) -> Measured:
        size, send_s = bench.settings.scaled(members, 20), max(10, bench.settings.seconds)
        load = Load(size, senders=size // 10, typing_rate=200, churn_rate=100, send_s=send_s)
        return measuring.typing(bench, running, load)

    return measure


def _by_members(bench: Bench, running: Running, _: System) -> Measured:
    return growth.by_members(bench, running)


def _by_rooms(bench: Bench, running: Running, _: System) -> Measured:
    return growth.by_rooms(bench, running)
