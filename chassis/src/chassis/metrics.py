"""Prometheus: an endpoint of its own, and the numbers of several processes of one service added up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from chassis.errors import CannotListen

_SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"


class ServiceMetrics:
    """What every service counts: its calls by method and status, how long they take, and who answers it."""

    def __init__(self, service: str, registry: CollectorRegistry = REGISTRY) -> None:
        """`service` stands in the names: salon_<service>_calls_total."""
        begin = f"salon_{service}"
        self._calls = Counter(
            f"{begin}_calls", "gRPC calls by method and status", ["method", "status"], registry=registry
        )
        self._seconds = Histogram(
            f"{begin}_call_seconds", "Duration of unary gRPC calls", ["method"], registry=registry
        )
        self._up = Gauge(f"{begin}_dependency_up", "Whether a dependency answers", ["dependency"], registry=registry)

    def called(self, method: str, status: str, seconds: float | None) -> None:
        """A call has ended; no duration for streams."""
        self._calls.labels(method, status).inc()
        if seconds is not None:
            self._seconds.labels(method).observe(seconds)

    def dependencies(self, are_up: Mapping[str, bool]) -> None:
        """Who answers at this moment."""
        for name, is_up in are_up.items():
            self._up.labels(name).set(is_up)


@contextmanager
def serving_metrics(host: str, port: int, registry: CollectorRegistry = REGISTRY) -> Iterator[int]:
    """Answer scrapes from a thread for the length of the block; gives the port. Raises CannotListen."""
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as problem:
        raise CannotListen(f"cannot listen on {host}:{port}: {problem.strerror}") from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sharing_environment(folder: str) -> dict[str, str]:
    """What a process needs in its environment to write its numbers into the folder: the client library decides when it
    is imported."""
    return {_SHARED_FOLDER: folder}


def shared_folder(environment: Mapping[str, str]) -> str | None:
    """The folder that this process writes its numbers into, if it is one of several."""
    return environment.get(_SHARED_FOLDER)


def shared_registry(folder: str) -> CollectorRegistry:
    """The numbers of all processes that write into the folder, added up; counters of ended ones included."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call] # the package leaves it untyped
    return registry


def forget_gauges(pid: int, folder: str) -> None:
    """A process has ended: its gauges go, its counters stay."""
    mark_process_dead(pid, folder)  # type: ignore[no-untyped-call] # the package leaves it untyped
