"""Compiles and runs the load generator, and reads what it prints."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.bench.settings import cache
from loadtests.bench.systems import Running
from tools.supervisor import die_with_parent

SOURCES = Path(__file__).with_name("generator")
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")
LIBRARIES = ("-lm",)


class GeneratorFailed(Exception):
    """The generator ended without its figures; the text is what it said."""


Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Load:
    """What the generator is asked to do; 0 and None leave a part out. Times in seconds."""

    members: int
    groups: int = 1
    senders: int = 0
    rate: float = 0
    warm: float = 0
    """Every sender sends one before anything is counted, so many a second."""
    window: int = 0
    send_s: float = 5
    drain_s: float = 60
    """At most; it ends earlier when nothing has come for three seconds."""
    settle_s: float = 1
    still_s: float = 0
    """How long the idle CPU is measured; 0: as long as it settles."""
    in_flight: int = 256
    join_s: float = 60
    steps: int = 1
    hold_s: float = 0
    """At most; it ends earlier when it is let go."""
    storm_s: float = 0
    cut: bool = False
    """In a storm the generator cuts everybody off, instead of losing the server."""
    jitter_s: float = 0
    typing_rate: float = 0
    churn_rate: float = 0


def build() -> Path:
    """Compile, once for each version of the sources, into the cache. Raises GeneratorFailed."""
    sources = sorted(SOURCES.glob("*.[ch]"))
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    program = cache() / f"generator-{digest}"
    if not program.exists():
        fresh = program.with_suffix(f".{os.getpid()}")
        units = [str(source) for source in sources if source.suffix == ".c"]
        command = ["cc", *FLAGS, "-o", str(fresh), *units, *LIBRARIES]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise GeneratorFailed(done.stderr)
        fresh.rename(program)
    return program


def run(program: Path, running: Running, load: Load, tokens: Path) -> dict[str, Figures]:
    """Drive a server and return the figures of each phase. Raises GeneratorFailed."""
    with started(program, running, load, tokens) as lines:
        return {figures["phase"]: figures for figures in lines}


class Started:
    """A generator at work: its figures as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout

    def __iter__(self) -> Iterator[Figures]:
        """Raises GeneratorFailed."""
        for line in self._stdout:
            yield json.loads(line)
        if self._process.wait():
            raise GeneratorFailed(f"the generator ended with {self._process.returncode}")

    def read(self) -> Figures:
        """The next ones. Raises GeneratorFailed."""
        for figures in self:
            return figures
        raise GeneratorFailed("the generator ended early")

    def let_go(self) -> None:
        """No longer hold what it holds."""
        self._stdin.close()


@contextmanager
def started(program: Path, running: Running, load: Load, tokens: Path) -> Iterator[Started]:
    """The generator is ended at the end of the block."""
    command = [str(program), *arguments(running, load, tokens)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
    ) as process:
        try:
            yield Started(process)
        finally:
            process.kill()


def arguments(running: Running, load: Load, tokens: Path) -> Iterator[str]:
    """The command line, without the program."""
    members = load.members / load.groups
    wire = running.wire_in(members)
    options: dict[str, object] = {
        "port": running.port,
        "path": wire.path,
        "frame": wire.frame,
        "tokens": tokens,
        "members": load.members,
        "groups": load.groups,
        "senders": load.senders,
        "rate": load.rate,
        "warm": load.warm,
        "window": load.window,
        "send": load.send_s,
        "drain": load.drain_s,
        "settle": load.settle_s,
        "still": load.still_s or load.settle_s,
        "in-flight": load.in_flight,
        "join": load.join_s,
        "steps": load.steps,
        "typing": load.typing_rate,
        "churn": load.churn_rate,
        "type-start": '{"type":"typing_start","data":{}}',
        "type-stop": '{"type":"typing_stop","data":{}}',
    }
    optional: dict[str, object] = {"ack": wire.ack, "hello": wire.hello, "ping": wire.ping, "pong": wire.pong}
    optional |= {"deflate": int(wire.deflate), "hold": load.hold_s, "storm": load.storm_s}
    optional |= {"cut": int(load.cut), "jitter": load.jitter_s, "counts": running.counts_in(members)}
    options |= {name: value for name, value in optional.items() if value}
    for name, value in options.items():
        yield from (f"--{name}", str(value))
    for part, pids in running.watched.items():
        yield from ("--watch", f"{part}={','.join(map(str, pids))}")
