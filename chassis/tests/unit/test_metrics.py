"""metrics.py: an endpoint of its own, and what services count alike."""

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from chassis.errors import CannotListen
from chassis.metrics import ServiceMetrics, serving_metrics


def test_calls_and_dependencies_have_the_names_of_the_service() -> None:
    registry = CollectorRegistry()
    metrics = ServiceMetrics("rooms", registry)
    metrics.called("Join", "OK", 0.01)
    metrics.called("Watch", "CANCELLED", None)
    metrics.dependencies({"database": True, "nats": False})
    text = generate_latest(registry).decode()
    for line in (
        'salon_rooms_calls_total{method="Join",status="OK"} 1.0',
        'salon_rooms_calls_total{method="Watch",status="CANCELLED"} 1.0',
        'salon_rooms_call_seconds_count{method="Join"} 1.0',
        'salon_rooms_dependency_up{dependency="database"} 1.0',
        'salon_rooms_dependency_up{dependency="nats"} 0.0',
    ):
        assert line in text
    assert 'call_seconds_count{method="Watch"}' not in text


def test_scrapes_are_answered_for_the_length_of_the_block(socket_enabled: None) -> None:
    registry = CollectorRegistry()
    Counter("things", "Things", registry=registry).inc(3)
    with serving_metrics("127.0.0.1", 0, registry) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert b"things_total 3.0" in answer.read()
        with (
            pytest.raises(CannotListen, match=rf"^cannot listen on 127\.0\.0\.1:{port}: "),
            serving_metrics("127.0.0.1", port, registry),
        ):
            pass
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
