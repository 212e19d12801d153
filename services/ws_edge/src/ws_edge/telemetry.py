"""What the edge counts, for Prometheus."""

import asyncio
from collections.abc import Sized

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from chassis.metrics import shared_registry
from ws_edge.ports import Incident


class Metrics:
    """What one edge process counts. Implements Meter.

    With a shared folder, the one of the environment that this process was started with, the numbers are those of every
    process of the edge, added up.
    """

    def __init__(self, shared_folder: str | None = None) -> None:
        self._registry = CollectorRegistry()
        self._shared_folder = shared_folder
        self._gauges: list[tuple[Gauge, Sized]] = []
        self._refused = Counter(
            "salon_ws_edge_frames_refused", "Frames answered with an error", ["code"], registry=self._registry
        )
        self._posted = Counter("salon_ws_edge_messages_published", "Messages published", registry=self._registry)
        self._closed = Counter(
            "salon_ws_edge_connections_closed", "Connections that the edge closed", ["code"], registry=self._registry
        )
        self._turned_away = Counter(
            "salon_ws_edge_connections_refused",
            "Clients turned away, by the code of their error, by HTTP status, or as graphql_429",
            ["code"],
            registry=self._registry,
        )
        self._incidents = Counter(
            "salon_ws_edge_incidents", "What should not happen, by kind", ["kind"], registry=self._registry
        )
        for incident in Incident:
            self._incidents.labels(incident.value)

    def watch(self, *, connections: Sized, live_connections: Sized, rooms: Sized, pending: Sized) -> None:
        """Tell how many there are of each; the edge's values are the sums over its processes."""
        for name, about, what in (
            ("connections", "Open chat connections", connections),
            ("live_connections", "Open connections of /live/ws", live_connections),
            ("rooms", "Rooms held", rooms),
            ("messages_pending", "Messages published and not seen again yet", pending),
        ):
            gauge = Gauge(f"salon_ws_edge_{name}", about, registry=self._registry, multiprocess_mode="livesum")
            self._gauges.append((gauge, what))

    def refresh(self) -> None:
        """Set every gauge to what it is at this moment."""
        for gauge, what in self._gauges:
            gauge.set(len(what))

    async def refresh_repeatedly(self, every_s: float = 1.0) -> None:
        """Keep the gauges so fresh for a scrape that another thread or process answers. Ends by cancellation."""
        while True:
            self.refresh()
            await asyncio.sleep(every_s)

    def refused(self, code: str) -> None:
        """A frame was refused."""
        self._refused.labels(code).inc()

    def posted(self) -> None:
        """A message was published."""
        self._posted.inc()

    def incident(self, incident: Incident) -> None:
        """Something happened that should not."""
        self._incidents.labels(incident.value).inc()

    def turned_away(self, code: str) -> None:
        """A client was not let in."""
        self._turned_away.labels(code).inc()

    def closed(self, code: int) -> None:
        """The edge closed a connection."""
        self._closed.labels(str(code)).inc()

    def registry(self) -> CollectorRegistry:
        """What a scrape is answered from: this process, or all that share the folder."""
        return shared_registry(self._shared_folder) if self._shared_folder else self._registry

    def render(self) -> bytes:
        """Prometheus' text format."""
        self.refresh()
        return generate_latest(self.registry())
