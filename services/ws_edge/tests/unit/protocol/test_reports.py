"""The frames of reports, in their literal text."""

import msgspec
import pytest

from ws_edge.errors import ErrorCode, MalformedFrame
from ws_edge.protocol import codec
from ws_edge.protocol.commands import Report as ReportCommand, Target
from ws_edge.protocol.frames import Report
from ws_edge.protocol.identity import MessageId, Rank, UserId
from ws_edge.protocol.session import HISTORIES_PER_WINDOW, Effect, FileReport, Reply, Session

WHOLE = b'{"type":"report","data":{"message_id":42,"category":"spam","note":"again","nonce":"r1"}}'
OF_MESSAGE = ReportCommand(MessageId(42), None, "spam", "again")


@pytest.mark.parametrize("category", ["spam", "harassment", "hate", "sexual", "violence", "other"])
def test_a_report_has_one_of_six_categories(category: str) -> None:
    frame = codec.decode(b'{"type":"report","data":{"message_id":42,"category":"%s"}}' % category.encode())
    assert isinstance(frame, Report)
    assert frame.command == ReportCommand(MessageId(42), None, category, "")


@pytest.mark.parametrize(
    ("named", "target"),
    [
        (b'"target_user_id":7', Target(UserId(7), None)),
        (b'"target_username":"Anonymous_192.0.2.7"', Target(None, "Anonymous_192.0.2.7")),
        (b'"target_user_id":7,"target_username":"x"', Target(UserId(7), None)),
    ],
)
def test_somebody_may_be_reported_without_a_message(named: bytes, target: Target) -> None:
    frame = codec.decode(b'{"type":"report","data":{"category":"hate",%s}}' % named)
    assert isinstance(frame, Report)
    assert frame.command == ReportCommand(None, target, "hate", "")


def test_a_message_stands_before_a_target() -> None:
    frame = codec.decode(WHOLE.replace(b'"nonce"', b'"target_user_id":7,"nonce"'))
    assert isinstance(frame, Report)
    assert frame.command == OF_MESSAGE


@pytest.mark.parametrize(
    "data",
    [
        {"category": "spam"},
        {"message_id": 42},
        {"message_id": 42, "category": "rude"},
        {"message_id": 0, "category": "spam"},
        {"message_id": 42, "category": "spam", "note": "x" * 501},
        {"message_id": 42, "category": "spam", "note": "\0"},
        {"category": "spam", "target_username": ""},
    ],
)
def test_what_is_no_report(data: dict[str, object]) -> None:
    with pytest.raises(MalformedFrame):
        codec.decode(msgspec.json.encode({"type": "report", "data": data}))


def test_reported_as_it_is_sent() -> None:
    assert codec.reported(42, nonce="r1") == codec.text_frame(
        b'{"type":"reported","data":{"message_id":42,"nonce":"r1"}}'
    )
    assert codec.reported(None) == codec.text_frame(b'{"type":"reported","data":{}}')


def joined(rank: Rank = Rank.USER) -> Session:
    session = Session(rank, frames_per_window=500, now=0)
    session.joined(0)
    return session


def error(code: ErrorCode) -> tuple[Effect, ...]:
    return (Reply(codec.error(code, nonce="r1")),)


def test_who_is_signed_in_reports_and_is_no_client_of_before() -> None:
    session = joined()
    assert session.receive(WHOLE, now=0) == (FileReport(OF_MESSAGE, "r1"),)
    assert not session.is_of_document


def test_who_is_not_signed_in_does_not() -> None:
    assert joined(Rank.ANONYMOUS).receive(WHOLE, now=0) == error(ErrorCode.NOT_MODERATOR)


def test_reports_share_the_window_of_what_asks_services() -> None:
    session = joined()
    for _ in range(HISTORIES_PER_WINDOW):
        assert session.receive(WHOLE, now=0) == (FileReport(OF_MESSAGE, "r1"),)
    assert session.receive(WHOLE, now=0) == error(ErrorCode.RATE_LIMITED)
