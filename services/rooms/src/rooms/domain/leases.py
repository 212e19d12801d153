"""Leases of edges: how one stands, which sync of an edge is the newest, and since when leases could be renewed here
without a break."""

from dataclasses import dataclass

from rooms.domain.people import EdgeId


@dataclass(frozen=True, slots=True)
class Lease:
    """How an edge incarnation stands."""

    registered: bool
    connection_count: int


class Syncs:
    """Which sync of each edge is the newest one here: one that its edge gave up, and that goes on, must not undo what
    the one after it did. A sync is known by an object of its own, or by None if its beginning came to
    another replica."""

    def __init__(self) -> None:
        self._newest: dict[EdgeId, object] = {}

    def begin(self, edge: EdgeId) -> None:
        """A sync of this edge begins, and is the newest one."""
        self._newest[edge] = object()

    def newest(self, edge: EdgeId) -> object | None:
        """The newest one that has not ended."""
        return self._newest.get(edge)

    def end(self, edge: EdgeId) -> None:
        """No sync of this edge goes on."""
        self._newest.pop(edge, None)


class Outage:
    """While the service is down, or its database away, no edge can renew its lease: none is taken for expired until
    each had a whole lease's time to do so. Times are seconds of a clock that nobody sets."""

    def __init__(self, lease_s: float, *, now_s: float) -> None:
        self._lease_s = lease_s
        self._last_s = now_s

    def note(self, *, now_s: float) -> None:
        """No lease can be renewed just now."""
        self._last_s = now_s

    def is_over(self, *, now_s: float) -> bool:
        """Whether every edge that lives had a whole lease's time to renew its lease."""
        return now_s - self._last_s >= self._lease_s
