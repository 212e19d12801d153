"""Whether this worker is going away."""

from dataclasses import dataclass


@dataclass(slots=True)
class DrainState:
    """Shared by what decides it (serve) and what tells it (readiness)."""

    is_draining: bool = False
