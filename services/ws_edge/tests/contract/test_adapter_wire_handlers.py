"""What arrives from NATS and cannot be read, or meets a defect of ours, is logged; what comes after it is heard."""

from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from salon.events.v1.events_pb2 import Typing
from ws_edge.adapters.nats.events import decode_typing
from ws_edge.adapters.nats.wire import WireClient


def _fails(_payload: bytes) -> object:
    raise KeyError("a defect")


@pytest.mark.parametrize(
    ("read", "payload", "logged"),
    [
        (decode_typing, b"\xff\xff", "nats_event_malformed"),
        (decode_typing, Typing(key="u:1", username="ana").SerializeToString()[:-1], "nats_event_malformed"),
        (int, b"not a number", "nats_event_malformed"),
        (_fails, b"", "nats_handler_failed"),
    ],
)
async def test_an_event_that_cannot_be_read_ends_nothing(
    read: Callable[[bytes], object], payload: bytes, logged: str
) -> None:
    heard: list[object] = []
    wire = WireClient()
    bad = wire.add("salon.v1.bad", lambda _subject, _headers, payload: heard.append(read(payload)))
    good = wire.add("salon.v1.good", lambda _subject, _headers, payload: heard.append(payload))
    with capture_logs() as logs:
        await wire._process_msg(bad, b"salon.v1.bad", b"", payload, b"")
        await wire._process_msg(good, b"salon.v1.good", b"", b"next", b"")
    assert heard == [b"next"]
    assert [(line["event"], line["subject"]) for line in logs] == [(logged, "salon.v1.bad")]
