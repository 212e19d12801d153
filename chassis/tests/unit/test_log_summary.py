"""One line at once, then one an interval with how often it happened."""

import asyncio

import pytest
import structlog

from chassis import logs as logs_module
from chassis.logs import LogSummary


async def test_the_first_is_told_at_once_and_the_rest_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert logs_module.SUMMARY_INTERVAL_S == 5.0
    monkeypatch.setattr(logs_module, "SUMMARY_INTERVAL_S", 0.05)
    with structlog.testing.capture_logs() as logs:
        summary = LogSummary(structlog.get_logger(), "lost")
        for number in range(100):
            summary.note(number=number)
        assert [(line["count"], line["number"]) for line in logs] == [(1, 0)]
        async with asyncio.timeout(5):
            while len(logs) < 2:  # noqa: ASYNC110 - a line in a log announces itself to nobody
                await asyncio.sleep(0.005)
        assert [(line["event"], line["count"], line["number"]) for line in logs[1:]] == [("lost", 99, 99)]


async def test_after_an_interval_without_any_the_next_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "SUMMARY_INTERVAL_S", 0.0)
    with structlog.testing.capture_logs() as logs:
        summary = LogSummary(structlog.get_logger(), "lost")
        for _ in range(3):
            summary.note()
            for _ in range(3):
                await asyncio.sleep(0)
        assert [line["count"] for line in logs] == [1, 1, 1]
