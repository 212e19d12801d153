"""trace.py: W3C's traceparent, and the log's `trace`."""

import pytest
from structlog.contextvars import get_contextvars

from rooms.trace import hold_trace, trace_headers

TRACE = "0af7651916cd43dd8448eb211c80319c"
SENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_a_trace_is_in_the_log_while_it_is_held_and_no_longer() -> None:
    with hold_trace(SENT):
        assert get_contextvars()["trace"] == SENT
    assert "trace" not in get_contextvars()


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="none"),
        pytest.param(b"\xff", id="bytes that are no text"),
        pytest.param("", id="nothing"),
        pytest.param(SENT + "\n", id="a line of its own in the log"),
        pytest.param(f"01{SENT[2:]}", id="another version"),
        pytest.param(f"00-{'0' * 32}-b7ad6b7169203331-01", id="no trace"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="no span"),
        pytest.param("x" * 100_000, id="long"),
    ],
)
def test_what_is_no_traceparent_is_ignored(header: str | bytes | None) -> None:
    with hold_trace(header):
        assert "trace" not in get_contextvars()


def test_the_trace_goes_along_with_a_span_of_its_own() -> None:
    with hold_trace(SENT):
        first, second = trace_headers()["traceparent"], trace_headers()["traceparent"]
    for sent in (first, second):
        assert (sent[:36], sent[-3:], len(sent)) == (SENT[:36], "-01", len(SENT))
    assert len({SENT, first, second}) == 3


def test_nothing_goes_along_where_no_trace_is_held() -> None:
    assert trace_headers() == {}
