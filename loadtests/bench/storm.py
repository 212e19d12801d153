"""Everybody is cut off at once and comes back: because the edge goes away, or because the network between does."""

import time
from collections.abc import Callable

from loadtests.bench import generator
from loadtests.bench.generator import Load
from loadtests.bench.measuring import MICRO, Bench, Measured
from loadtests.bench.systems import Running


def edge_away(bench: Bench, running: Running, load: Load, without_a_word: bool) -> Measured:
    """Seconds from the first lost connection until all are joined, and until all were told the right count."""
    assert running.restart_front is not None
    restart, restart_s = running.restart_front, 0.0

    def strike() -> None:
        nonlocal restart_s
        began = time.monotonic()
        restart(without_a_word)
        restart_s = time.monotonic() - began

    figures, flaw = _storm(bench, running, load, strike)
    return figures | {"restart_s": restart_s}, flaw


def cut_off(bench: Bench, running: Running, load: Load) -> Measured:
    """The same where the server stays; and the CPU of all for each that came back, its leaving included."""
    return _storm(bench, running, load, lambda: None)


def _storm(bench: Bench, running: Running, load: Load, strike: Callable[[], None]) -> Measured:
    with generator.started(bench.program, running, load, bench.tokens) as lines:
        for figures in lines:
            if figures["phase"] == "join" and figures["joined"] < load.members:
                return {}, f"{load.members - figures['joined']} did not join before the storm"
            if figures["phase"] == "ready":
                strike()
            if figures["phase"] == "storm":
                return _figures(figures, load)
    return {}, "the generator ended early"


def _figures(storm: generator.Figures, load: Load) -> Measured:
    members = load.members
    figures = {"refused": float(storm["refused"]), "joined_s": storm["joined_s"]}
    if load.cut:
        each = {part: seconds * MICRO / members for part, seconds in storm["cpu_s"].items()}
        figures |= {f"part_{part}_us": us for part, us in each.items()} | {"all_us": sum(each.values())}
    if storm["joined_s"] < 0:
        return figures, f"{members - storm['joined']} of {members} did not come back"
    if "right" not in storm:
        return figures, ""
    figures["right_s"] = storm["right_s"]
    if storm["right"] < members:
        told = f"by {storm['least_wrong_by']} to {storm['most_wrong_by']}"
        wrong = f"{members - storm['right']} were told a wrong count in the end ({told})"
        return figures, f"all joined after {storm['joined_s']:.1f} s, but {wrong}"
    return figures, ""
