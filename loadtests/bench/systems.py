"""What the benchmark needs of a server under test: how to start it, what it speaks, whose CPU is charged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.bench.processes import Processes

PRESENCE_LIMIT = 500
"""Salon's default: in rooms of more members nobody is told who comes and goes."""
BEFORE = "Salon before"
"""Another checkout, measured beside this one."""
ROOM_FRAME = '{"type":"chat_message","data":{"message":"%m"}}'


@dataclass(frozen=True)
class Wire:
    """How a client speaks to a server; the marks %g, %d, %k, %m and %n are filled in by the generator."""

    path: str
    frame: str = ROOM_FRAME
    ack: str = ""
    """Part of the frame that confirms a join; empty: the handshake is enough."""
    hello: str = ""
    ping: str = ""
    pong: str = ""
    deflate: bool = False
    """Every client offers compression, and what they write is made of words."""
    tells_count: bool = False
    """Members are told how many connections their room has."""


@dataclass(frozen=True)
class Running:
    """A server that is ready. `watched`: name of a part and the pids that are charged to it, their children too."""

    port: int
    wire: Wire
    watched: Mapping[str, tuple[int, ...]]
    processes: Processes
    stop: Callable[[], None]
    restart_front: Callable[[bool], None] | None = None
    """End the part that holds the sockets, without a word (True) or asked to, and start it again."""
    crowded: Wire | None = None
    """How clients speak in rooms above the presence limit; None: as in all others."""

    def wire_in(self, members: float) -> Wire:
        """How clients speak in rooms of so many."""
        return self.crowded if self.crowded and members > PRESENCE_LIMIT else self.wire

    def counts_in(self, members: float) -> int:
        """When members of such rooms are told how many they are: never (0), as they come (1), or again (2)."""
        return int(self.wire.tells_count) * (1 + (members > PRESENCE_LIMIT))


@dataclass(frozen=True)
class System:
    """A server under test. `front`: the part that holds the sockets."""

    name: str
    start: Callable[[Path], Running]
    front: str = "server"
    versions: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[Path], "System"] | None = None
    """The same of another checkout, where there is such a thing."""
