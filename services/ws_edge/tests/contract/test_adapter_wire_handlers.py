"""What NATS writes reaches the handlers of direct subscriptions however it is cut; what cannot be read, or meets a
defect of ours, is logged, and what comes after it is heard."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st
from nats.errors import ProtocolError
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
        await wire._ps.parse(b"MSG salon.v1.bad %d %d\r\n%b\r\n" % (bad, len(payload), payload))
        await wire._ps.parse(b"MSG salon.v1.good %d 4\r\nnext\r\n" % good)
    assert heard == [b"next"]
    assert [(line["event"], line["subject"]) for line in logs] == [(logged, "salon.v1.bad")]


class Told(WireClient):
    """Keeps what nats-py's own parser is left with."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[object] = []

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        self.told.append((sid, subject, reply, data, headers))

    async def _process_ping(self) -> None:
        self.told.append("ping")

    async def _process_pong(self) -> None:
        self.told.append("pong")

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        self.told.append(info)

    async def _process_err(self, err_msg: str) -> None:
        self.told.append(err_msg)


_TRAFFIC = (
    b'INFO {"server_id":"a"}\r\n'
    b"MSG one 1 5\r\nfirst\r\n"
    b"PING\r\n"
    b"HMSG one.log 1 12 14\r\nNATS/1.0\r\n\r\n\r\n\r\n"
    b"+OK\r\n"
    b"MSG other 7 _INBOX.r 2\r\nhi\r\n"
    b"HMSG one.log 1 _INBOX.r 12 12\r\nNATS/1.0\r\n\r\n\r\n"
    b"HMSG other 7 12 13\r\nNATS/1.0\r\n\r\n!\r\n"
    b"MSG one 1 0\r\n\r\n"
    b"-ERR 'Slow Consumer'\r\n"
    b"PONG\r\n"
    b"MSG one 1 4\r\nlast\r\n"
)
_HEADERS = b"NATS/1.0\r\n\r\n"


@given(cuts=st.lists(st.integers(0, len(_TRAFFIC)), max_size=6))
async def test_what_nats_writes_is_heard_the_same_however_it_is_cut(cuts: list[int]) -> None:
    heard: list[tuple[bytes, bytes, bytes]] = []
    wire = Told()
    assert wire.add("one.>", lambda *message: heard.append(message)) == 1
    ends = sorted({0, *cuts, len(_TRAFFIC)})
    for start, end in pairwise(ends):
        await wire._ps.parse(_TRAFFIC[start:end])
    assert heard == [
        (b"one", b"", b"first"),
        (b"one.log", _HEADERS, b"\r\n"),
        (b"one.log", _HEADERS, b""),
        (b"one", b"", b""),
        (b"one", b"", b"last"),
    ]
    assert wire.told == [
        {"server_id": "a"},
        "ping",
        (7, b"other", b"_INBOX.r", b"hi", None),
        (7, b"other", b"", b"!", _HEADERS),
        "'slow consumer'",
        "pong",
    ]


async def test_what_was_begun_on_a_connection_that_is_lost_is_not_part_of_the_next_one() -> None:
    heard: list[bytes] = []
    wire = WireClient()
    sid = wire.add("one", lambda _subject, _headers, payload: heard.append(payload))
    await wire._ps.parse(b"MSG one %d 5\r\nfir" % sid)
    wire.forget_input()
    await wire._ps.parse(b"MSG one %d 4\r\nnext\r\n" % sid)
    assert heard == [b"next"]


async def test_a_message_that_came_after_unsubscribing_is_heard_by_nobody() -> None:
    heard: list[bytes] = []
    wire = WireClient()
    sid = wire.add("one", lambda _subject, _headers, payload: heard.append(payload))
    wire.remove(sid)
    await wire._ps.parse(b"MSG one %d 4\r\nlate\r\n" % sid)
    assert heard == []


class Reset(WireClient):
    """As nats-py after an error of the server that ends the connection."""

    async def _process_err(self, err_msg: str) -> None:
        self._ps.reset()


async def test_an_error_that_ends_the_connection_ends_what_was_read_with_it() -> None:
    heard: list[bytes] = []
    wire = Reset()
    sid = wire.add("one", lambda _subject, _headers, payload: heard.append(payload))
    await wire._ps.parse(b"-ERR 'Stale Connection'\r\nMSG one %d 5\r\nfi" % sid)
    for payload in (b"next", b"more", b"last"):
        await wire._ps.parse(b"MSG one %d 4\r\n%b\r\n" % (sid, payload))
    assert heard == [b"next", b"more", b"last"]


@pytest.mark.parametrize(
    "line",
    [
        b"MSG one x 4\r\n",
        b"MSG one\r\n",
        b"MSG one 1\r\nx\r\n",
        b"HMSG one 1 5\r\nabcde\r\n",
        b"MSG one 1 two three 1\r\nx\r\n",
        b"HMSG one 1 y 4\r\n",
        b"MSG one 1 -17\r\n",
        b"MSG one 1 -4\r\n",
        b"HMSG one 1 9 5\r\n",
        b"HMSG one 1 -9 5\r\n",
        b"HELLO\r\n",
        b"\r\n",
    ],
)
async def test_what_is_not_nats_ends_the_connection(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        await WireClient()._ps.parse(line)
