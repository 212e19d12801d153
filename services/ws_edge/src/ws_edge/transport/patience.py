"""How long the edge waits for a client."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may be silent."""

    ping_after_s: float = 20.0
    """Silence after which the server pings."""
    pong_within_s: float = 20.0
    """Further silence after which the connection is dropped."""
    close_within_s: float = 2.0
    """How long a close frame may stay unanswered."""
