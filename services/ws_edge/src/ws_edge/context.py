"""What every connection of one worker shares."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, Protocol

from chassis.tasks import Tasks
from ws_edge.fanout.hub import Hub
from ws_edge.ports import Bus, Incident, Moderation, Rooms
from ws_edge.protocol.sanction import SanctionBook, SanctionEvent


class Clock(Protocol):
    """The two times there are."""

    def now_s(self) -> float:
        """Monotonic seconds."""

    def unix_s(self) -> float:
        """Seconds since 1970."""


class Meter(Protocol):
    """What is counted for operators."""

    def refused(self, code: str) -> None:
        """A frame was refused."""

    def posted(self) -> None:
        """A message was published."""

    def incident(self, incident: Incident) -> None:
        """Something happened that should not."""

    def turned_away(self, code: str) -> None:
        """A client was not let in: the code of its error, `internal`, or http_<status> before the upgrade."""

    def closed(self, code: int) -> None:
        """The edge closed a connection."""


@dataclass(slots=True)
class Context:
    """One worker's parts. `edge` is its incarnation: 32 hexadecimal digits, new with every process."""

    edge: str
    rooms: Rooms
    moderation: Moderation
    bus: Bus
    clock: Clock
    meter: Meter
    outage: Literal["local", "reject"]
    frames_per_window: int
    hub: Hub = field(default_factory=Hub)
    book: SanctionBook = field(default_factory=SanctionBook)
    tasks: Tasks = field(default_factory=Tasks)
    recent_events: deque[tuple[float, SanctionEvent]] = field(default_factory=lambda: deque(maxlen=1000))
    """Sanction events with the monotonic seconds of their arrival."""
