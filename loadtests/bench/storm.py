"""The edge goes away under everybody, and everybody comes back at once."""

import time

from loadtests.bench import generator
from loadtests.bench.generator import Load
from loadtests.bench.measuring import Bench, Measured
from loadtests.bench.systems import Running


def reconnect_storm(bench: Bench, running: Running, load: Load, without_a_word: bool) -> Measured:
    """Seconds from the first lost connection until all are joined, and until all were told the right count."""
    assert running.restart_front is not None
    restart_s = 0.0
    with generator.started(bench.program, running, load, bench.tokens) as lines:
        for figures in lines:
            if figures["phase"] == "join" and figures["joined"] < load.members:
                return {}, f"{load.members - figures['joined']} did not join before the storm"
            if figures["phase"] == "ready":
                began = time.monotonic()
                running.restart_front(without_a_word)
                restart_s = time.monotonic() - began
            if figures["phase"] == "storm":
                return _figures(figures, load.members, restart_s)
    return {}, "the generator ended early"


def _figures(storm: generator.Figures, members: int, restart_s: float) -> Measured:
    figures = {"restart_s": restart_s, "refused": float(storm["refused"])}
    figures["joined_s"], figures["right_s"] = storm["joined_s"], storm["right_s"]
    if storm["joined"] < members:
        return figures, f"{members - storm['joined']} of {members} did not come back"
    if storm["right"] < members:
        told = f"{storm['least_count']} to {storm['most_count']} instead of {members}"
        wrong = f"{members - storm['right']} were told a wrong count in the end ({told})"
        return figures, f"all joined after {storm['joined_s']:.1f} s, but {wrong}"
    return figures, ""
