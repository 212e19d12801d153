"""The order of a log: what waits while a gap is filled is bounded, whichever way it came."""

import pytest

from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import LogEntry, StoredMessage
from ws_edge.room import log_order
from ws_edge.room.log_order import HELD_LIMIT, LogOrder


def entry(number: int) -> StoredMessage:
    return StoredMessage(MessageId(number), MessageId(number - 1), "", "", None, "", "", 0, "")


def ids(entries: list[LogEntry]) -> list[int]:
    return [each.id for each in entries]


def test_what_is_found_while_a_gap_is_filled_waits_within_the_same_bound() -> None:
    order = LogOrder()
    order.found([entry(number) for number in range(1, HELD_LIMIT)])
    order.receive(entry(HELD_LIMIT))
    order.found([entry(HELD_LIMIT + 1)])
    order.receive(entry(HELD_LIMIT + 2))
    assert ids(order.restored([])) == list(range(1, HELD_LIMIT + 1))


def test_what_is_found_again_takes_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_order, "HELD_LIMIT", 2)
    order = LogOrder()
    for _ in range(3):
        order.found([entry(1)])
    order.receive(entry(2))
    assert ids(order.restored([])) == [1, 2]


def test_an_entry_that_did_not_fit_is_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_order, "HELD_LIMIT", 1)
    order = LogOrder()
    order.last_id = MessageId(1)
    order.found([entry(2), entry(3)])
    assert [order.is_held_back(MessageId(number)) for number in (1, 2, 3)] == [False, True, False]
