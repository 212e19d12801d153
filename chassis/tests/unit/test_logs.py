"""logs.py: what a line of the log looks like."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from chassis.logs import configure_logging


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Give the test run its own logging back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers, root.level = handlers, level
    logging.getLogger("asyncpg.pool").setLevel(logging.NOTSET)


def _fail(token: str) -> None:
    if token:
        raise ValueError("no")


def test_an_exception_is_a_plain_traceback_in_its_line_without_local_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("rooms")
    secret = "".join(["hun", "ter2"])
    try:
        _fail(secret)
    except ValueError:
        structlog.get_logger("here").exception("it_failed", attempt=1)
    (line,) = capsys.readouterr().out.splitlines()
    event = json.loads(line)
    assert event["exception"].startswith("Traceback (most recent call last):\n")
    assert "locals" not in event["exception"]
    assert secret not in line
    assert (event["event"], event["attempt"], event["level"], event["service"]) == ("it_failed", 1, "error", "rooms")


def test_what_libraries_log_is_a_line_of_the_same_shape(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("rooms")
    logging.getLogger("library").warning("it is %s", "late")
    event = json.loads(capsys.readouterr().out)
    assert (event["event"], event["logger"], event["level"]) == ("it is late", "library", "warning")
    assert event["service"] == "rooms"


def test_what_a_pool_of_postgresql_says_every_second_of_an_outage_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With a traceback each time; the services' own lines say that the database is away."""
    configure_logging("rooms")
    logging.getLogger("asyncpg.pool").warning("Failed to restore the pool connection floor; retrying")
    logging.getLogger("asyncpg.pool").error("worse")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "worse"
