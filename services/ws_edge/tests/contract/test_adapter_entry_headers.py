"""Where an entry stands in its log is read from the headers that the stream wrote, whoever else wrote some."""

import pytest

from salon.events.v1 import events_pb2
from ws_edge.adapters.nats.events import decode_entry
from ws_edge.protocol.identity import MessageId

PAYLOAD = events_pb2.LogEntry(message=events_pb2.ChatMessage(text="hi", username="ana")).SerializeToString()
SEQUENCE, STAMP, LAST = (
    b"Nats-Sequence: 12\r\n",
    b"Nats-Time-Stamp: 2026-11-28T09:00:00.5Z\r\n",
    b"Nats-Last-Sequence: 7\r\n",
)


@pytest.mark.parametrize(
    "lines",
    [
        (b"Nats-Stream: SALON_LOG_1\r\n", SEQUENCE, STAMP, LAST),
        (b"Nats-Msg-Id: nats-sequence\r\n", b"Nats-Stream: SALON_LOG_1\r\n", SEQUENCE, STAMP, LAST),
        (SEQUENCE, STAMP, LAST),
        (LAST, SEQUENCE, STAMP),
        (SEQUENCE, LAST, STAMP),
        (SEQUENCE, STAMP, b"Nats-Num-Pending: 3\r\n", LAST),
        (SEQUENCE, STAMP, LAST, b"Nats-Num-Pending: 3\r\n"),
        (SEQUENCE, STAMP, LAST, b"Other: 1\r\n", b"Other: 2\r\n", b"Other: 3\r\n"),
    ],
    ids=range(8),
)
def test_headers_are_read_in_whatever_order_they_stand(lines: tuple[bytes, ...]) -> None:
    entry = decode_entry(b"NATS/1.0\r\n" + b"".join(lines) + b"\r\n", PAYLOAD, 3)
    assert (entry.id, entry.prev_id, entry.at) == (12 * 256 + 3, 7 * 256 + 3, "2026-11-28T09:00:00.500Z")


def test_what_the_stream_wrote_counts_and_not_what_was_published_with_it() -> None:
    published = b"Nats-Sequence: 99\r\n"
    entry = decode_entry(b"NATS/1.0\r\n" + published + SEQUENCE + STAMP + LAST + b"\r\n", PAYLOAD, 3)
    assert entry.id == 12 * 256 + 3


def test_the_entry_before_need_not_be_in_the_headers_where_it_is_known() -> None:
    entry = decode_entry(b"NATS/1.0\r\n" + SEQUENCE + STAMP + b"\r\n", PAYLOAD, 3, prev_id=MessageId(515))
    assert (entry.id, entry.prev_id) == (12 * 256 + 3, 515)


@pytest.mark.parametrize("lines", [(), (SEQUENCE, STAMP), (b"Nats-Sequence: x\r\n", STAMP, LAST), (STAMP, LAST)])
def test_headers_that_do_not_say_it_are_an_error(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_entry(b"NATS/1.0\r\n" + b"".join(lines) + b"\r\n", PAYLOAD, 3)
