"""How an edge's lease stands, and since when leases could be renewed here without a break."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lease:
    """How an edge incarnation stands."""

    registered: bool
    connection_count: int


class Outage:
    """While the service is down, or its database away, no edge can renew its lease: none is taken for expired until
    each had a whole lease's time to do so."""

    def __init__(self, lease_s: float, *, now_s: float) -> None:
        self._lease_s = lease_s
        self._last_s = now_s

    def note(self, *, now_s: float) -> None:
        """No lease can be renewed just now."""
        self._last_s = now_s

    def is_over(self, *, now_s: float) -> bool:
        """Whether every edge that lives had the time to say so."""
        return now_s - self._last_s >= self._lease_s
