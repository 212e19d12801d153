"""Turns what the generator counted into figures, and says when they are none."""

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from loadtests.bench import generator
from loadtests.bench.generator import Figures, Load
from loadtests.bench.settings import Settings
from loadtests.bench.systems import Running, System

MICRO = 1e6
PROBE_WINDOW = 3
STEPS_DOWN = (0.9, 0.8, 0.7, 0.6, 0.5)
HALVINGS = 2
"""Of the step between the first share that holds and the one above it."""
KEEPS_UP_S = 0.3
HOLDS_FOR_S = 6
HELD_BY_ONE = 14_000
"""A process may open 20,000 files on many machines."""
HELD_JOIN_S = 120
HELD_FOR_S = 600
PINGED_S = 25
"""Salon has pinged everybody by then, and has made what it keeps of a client that has answered."""


@dataclass(frozen=True)
class Bench:
    """What every measurement needs."""

    program: Path
    tokens: Path
    settings: Settings

    def run(self, running: Running, load: Load) -> dict[str, Figures]:
        """Drive a server. Raises GeneratorFailed."""
        return generator.run(self.program, running, load, self.tokens)


Measured = tuple[dict[str, float], str]
"""Figures, and the flaw or an empty text."""


def fan_out(bench: Bench, running: Running, system: System, load: Load) -> Measured:
    """CPU and latency of messages."""
    phases = bench.run(running, load)
    joined, sent = phases["join"], phases["send"]
    return _message_figures(joined, sent, system.front), flaw_of(joined, sent, load.members)


def highest_rate(bench: Bench, running: Running, system: System, load: Load) -> Measured:
    """What comes back when each sender waits for its own copy; then the highest fixed rate below it that holds."""
    phases = bench.run(running, replace(load, rate=0, window=PROBE_WINDOW))
    probe = phases["send"]
    if flaw := flaw_of(phases["join"], probe, load.members):
        return {}, f"while each waited for their own: {flaw}"
    ceiling = probe["sent"] / probe["wall_s"] if probe["wall_s"] > 0 else 0
    load = replace(load, send_s=max(HOLDS_FOR_S, load.send_s))
    flaw = vanished = ""

    def try_share(share: float) -> dict[str, float]:
        """What holds; empty: nothing."""
        nonlocal flaw, vanished
        step = replace(load, rate=max(1, ceiling * share))
        phases = bench.run(running, step)
        figures = _message_figures(phases["join"], phases["send"], system.front)
        flaw = flaw_of(phases["join"], phases["send"], step.members)
        vanished = vanished or _vanished(phases["send"], step, figures["per_s"])
        return figures if not flaw and figures["behind_s"] < KEEPS_UP_S else {}

    above = 1.0
    for share in STEPS_DOWN:
        if held := try_share(share):
            break
        above = share
    else:
        return {}, flaw or "no rate held"
    for _ in range(HALVINGS):
        middle = (share + above) / 2
        if figures := try_share(middle):
            held, share = figures, middle
        else:
            above = middle
    return held | {"probe_per_s": ceiling}, vanished


def _vanished(sent: Figures, load: Load, per_s: float) -> str:
    """Above what it can carry a server may refuse, as long as it says so. To whom it has closed the connection it has
    said so: what those did not hear, and what others did not hear of them, is no more than this."""
    in_group = load.members // load.groups
    unheard = sent["lost_connections"] * sent["expected"] / load.members * 2
    silent = round(sent["expected"] - sent["deliveries"] - sent["errors"] * in_group - unheard)
    return f"{silent} deliveries vanished without a word at {per_s:.0f} a second" if silent > 0 else ""


def joins(bench: Bench, running: Running, load: Load) -> Measured:
    """Joins as fast as they are answered."""
    joined = bench.run(running, load)["join"]
    figures = {"joins_per_s": joined["per_s"], "all_us": _total(joined["cpu_s"]) * MICRO / max(1, joined["joined"])}
    for part, seconds in joined["cpu_s"].items():
        figures[f"part_{part}_us"] = seconds * MICRO / max(1, joined["joined"])
    return figures, flaw_of(joined, None, load.members)


def idle(bench: Bench, running: Running, system: System, load: Load) -> Measured:
    """Memory of connections that do nothing, at several counts."""
    joined = bench.run(running, load)["join"]
    figures = {f"kib_at_{step['joined']}": step[system.front] for step in joined["memory"]}
    grown = {part: kib - joined["empty_kib"][part] for part, kib in joined["still_kib"].items()}
    figures["kib_each"] = grown[system.front] / max(1, joined["joined"])
    figures["all_kib_each"] = sum(grown.values()) / max(1, joined["joined"])
    figures["idle_cpu_share"] = _total(joined["idle_cpu_s"]) / joined["idle_s"]
    return figures, flaw_of(joined, None, load.members)


def idle_of_many(bench: Bench, running: Running, members: int) -> Measured:
    """The same of more connections in one room than one process may open, held by several generators."""
    parts = list(_parts_of(bench.tokens, members))
    came: list[Figures] = []
    with ExitStack() as stack:
        held = []
        for load, own in parts:
            held.append(stack.enter_context(generator.started(bench.program, running, load, own)))
            came.append(held[-1].read())
            if flaw := flaw_of(came[-1], None, load.members):
                return {}, flaw
        for generating in held:
            generating.let_go()
        lost = sum(generating.read()["lost"] for generating in held)
    empty, last = came[0]["empty_kib"], came[-1]
    grown = {name: last["still_kib"][name] - kib for name, kib in empty.items()}
    figures = {f"{name}_kib_each": kib / members for name, kib in grown.items()}
    figures["all_kib_each"] = sum(grown.values()) / members
    figures["idle_cpu_share"] = _total(last["idle_cpu_s"]) / last["idle_s"]
    figures["joins_per_s"] = members / sum(joined["s"] for joined in came)
    return figures, f"{lost} connections lost" if lost else ""


def _parts_of(tokens: Path, members: int) -> Iterator[tuple[Load, Path]]:
    """What each generator is asked, and the tokens of its own members."""
    lines = tokens.read_text().splitlines(keepends=True)
    count = math.ceil(members / HELD_BY_ONE)
    ends = [members * part // count for part in range(count + 1)]
    for first, end in itertools.pairwise(ends):
        own = tokens.with_suffix(f".{first}")
        own.write_text("".join(lines[first:end]))
        still_s = PINGED_S if end == members else 0
        yield Load(end - first, settle_s=0.5, still_s=still_s, join_s=HELD_JOIN_S, hold_s=HELD_FOR_S), own


def typing(bench: Bench, running: Running, load: Load) -> Measured:
    """What typing, coming and going cost a crowded room."""
    phases = bench.run(running, load)
    joined, typed = phases["join"], phases["typing"]
    figures = {f"{kind}_per_s": count / typed["s"] for kind, count in typed["frames"].items()}
    figures["frames_per_s"] = sum(figures.values())
    figures["frames_each_per_s"] = figures["frames_per_s"] / load.members
    figures["typed_per_s"] = typed["typed"] / typed["s"]
    figures["churned_per_s"] = typed["churned"] / typed["s"]
    figures["cpu_share"] = _total(typed["cpu_s"]) / typed["s"]
    found = [flaw_of(joined, None, load.members)]
    for count, what in (
        (load.members - typed["joined"], "were not inside in the end"),
        (typed["lost"], "connections lost"),
        (typed["refused"], "refused"),
        (typed["errors"], "errors"),
    ):
        if count:
            found.append(f"{count} {what}")
    return figures, "; ".join(filter(None, found))


def without_idle(joined: Figures, sent: Figures) -> float:
    """CPU of all processes for the messages, in seconds: without what they use when nobody says anything."""
    busy_s: float = max(sent["send_s"], sent["wall_s"])
    idle_s: float = joined["idle_s"]
    return max(0.0, _total(sent["cpu_s"]) - _total(joined["idle_cpu_s"]) / idle_s * busy_s)


def flaw_of(joined: Figures, sent: Figures | None, members: int) -> str:
    """Why the figures are none."""
    found = []
    if joined["joined"] < members:
        found.append(f"{members - joined['joined']} of {members} did not join")
    if sent is not None:
        missing = sent["expected"] - sent["deliveries"]
        if missing:
            found.append(f"{missing} of {sent['expected']} deliveries missing")
        elif sent["incomplete"]:
            found.append(f"{sent['incomplete']} messages not heard exactly once by everybody")
        elif sent["out_of_order"]:
            found.append(f"{sent['out_of_order']} members heard another order")
        if sent["lost_connections"]:
            found.append(f"{sent['lost_connections']} connections lost")
    return "; ".join(found)


def _message_figures(joined: Figures, sent: Figures, front: str) -> dict[str, float]:
    deliveries, messages = max(1, sent["deliveries"]), max(1, sent["sent"])
    cpu = sent["cpu_s"]
    figures = {
        "front_us": cpu[front] * MICRO / deliveries,
        "all_us": _total(cpu) * MICRO / deliveries,
        "user_us": (_total(cpu) - _total(sent["kernel_cpu_s"])) * MICRO / deliveries,
        "message_us": _total(cpu) * MICRO / messages,
        "message_idle_free_us": without_idle(joined, sent) * MICRO / messages,
        "per_s": messages / max(sent["send_s"], sent["wall_s"]),
        "deliveries_per_s": deliveries / max(sent["send_s"], sent["wall_s"]),
        "behind_s": max(0.0, sent["wall_s"] - sent["send_s"]),
        "generator_us": sent["own_cpu_s"] * MICRO / deliveries,
        "late_ms": sent["latest_ms"],
        "frame_bytes": sent["bytes"] / deliveries,
    }
    figures |= {f"part_{part}_us": seconds * MICRO / messages for part, seconds in cpu.items()}
    return figures | {name: float(value) for name, value in sent["latency_ms"].items()}


def _total(parts: Mapping[str, float]) -> float:
    return sum(parts.values())
