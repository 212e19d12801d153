"""traces.py: W3C's traceparent, and the log's `trace`."""

import pytest
from structlog.contextvars import get_contextvars

from chassis.traces import begin_trace, hold_trace, next_trace, read_trace, trace_headers

TRACE = "0af7651916cd43dd8448eb211c80319c"
SENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_what_the_standard_shows_is_read_as_it_is() -> None:
    assert read_trace(SENT) == SENT


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(None, id="none"),
        pytest.param(b"\xff", id="bytes that are no text"),
        pytest.param("", id="nothing"),
        pytest.param(SENT.upper(), id="upper case"),
        pytest.param(SENT + "\n", id="a line of its own in the log"),
        pytest.param(SENT + "-x", id="more than a version 00 has"),
        pytest.param(f"01{SENT[2:]}", id="another version"),
        pytest.param(f"00-{'0' * 32}-b7ad6b7169203331-01", id="no trace"),
        pytest.param(f"00-{TRACE}-{'0' * 16}-01", id="no span"),
        pytest.param(f"00-{TRACE[1:]}-b7ad6b7169203331-01", id="too short"),
        pytest.param(f"00-{TRACE}-b7ad6b7169203331-0g", id="no flags"),
        pytest.param(SENT.replace("7", "٧"), id="digits of another script"),
        pytest.param("x" * 100_000, id="long"),
    ],
)
def test_what_is_no_traceparent_is_not_taken(header: str | bytes | None) -> None:
    assert read_trace(header) is None


def test_a_new_trace_is_one_that_others_understand_and_nobody_elses() -> None:
    first, second = begin_trace(), begin_trace()
    assert [read_trace(trace) for trace in (first, second)] == [first, second]
    assert first[:35] != second[:35]


def test_a_trace_is_in_the_log_while_it_is_held_and_no_longer() -> None:
    with hold_trace(SENT):
        assert get_contextvars()["trace"] == SENT
        with hold_trace(None):
            assert get_contextvars()["trace"] == SENT
    assert "trace" not in get_contextvars()


def test_a_call_keeps_the_trace_that_is_held_and_has_a_span_of_its_own() -> None:
    with hold_trace(SENT):
        first, second = next_trace(), next_trace()
    for trace in (first, second):
        assert read_trace(trace) == trace
        assert (trace[:36], trace[-3:]) == (SENT[:36], "-01")
    assert len({SENT, first, second}) == 3


def test_a_call_that_belongs_to_nothing_begins_a_trace() -> None:
    first, second = next_trace(), next_trace()
    assert read_trace(first) == first
    assert first[:35] != second[:35]


def test_the_trace_goes_along_with_a_span_of_its_own() -> None:
    with hold_trace(SENT):
        first, second = trace_headers()["traceparent"], trace_headers()["traceparent"]
    for sent in (first, second):
        assert (sent[:36], sent[-3:], len(sent)) == (SENT[:36], "-01", len(SENT))
    assert len({SENT, first, second}) == 3


def test_nothing_goes_along_where_no_trace_is_held() -> None:
    assert trace_headers() == {}
