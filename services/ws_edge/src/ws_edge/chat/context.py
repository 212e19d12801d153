"""What every connection of one worker shares."""

from dataclasses import dataclass, field
from typing import Literal

from chassis.tasks import Tasks
from ws_edge.chat.registry import ConnectionRegistry
from ws_edge.ports import Bus, Clock, Meter, Moderation, Rooms
from ws_edge.protocol.sanctions import SanctionCache


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
    """What becomes of messages while moderation is away."""
    frames_per_window: int
    connections: ConnectionRegistry = field(default_factory=ConnectionRegistry)
    sanctions: SanctionCache = field(default_factory=SanctionCache)
    tasks: Tasks = field(default_factory=Tasks)
