"""Acknowledgements of the messages that carried a nonce: which of them the stream already had."""

import json
from collections import OrderedDict
from collections.abc import Callable

from ws_edge.protocol.identity import MessageId

_LIMIT = 20_000
_FORGET_AFTER_S = 5.0


class DuplicateAcks:
    """Remembers whom to tell of a duplicate, for some seconds and up to a limit.

    Whoever hears nothing looks the outcome up, so that the oldest may be forgotten when there are too many.
    `not_stored` is told what the stream answered where it took a message not.
    """

    def __init__(self, not_stored: Callable[[str], None]) -> None:
        self._not_stored = not_stored
        self._next = 0
        self._waiting: OrderedDict[int, tuple[float, Callable[[MessageId], None]]] = OrderedDict()

    def expect(self, duplicate: Callable[[MessageId], None], *, now_s: float) -> int:
        """A number for the reply subject of one message."""
        self._drop_old(now_s)
        self._next += 1
        self._waiting[self._next] = (now_s, duplicate)
        return self._next

    def receive(self, subject: bytes, headers: bytes, payload: bytes) -> None:
        """Handle one acknowledgement: only duplicates are of interest, errors are counted and left to the look-up."""
        waiting = self._waiting.pop(int(subject.rpartition(b".")[2]), None)
        if waiting is None:
            return
        if b'"error"' in payload or not payload:
            self._not_stored((payload or headers)[:200].decode(errors="replace"))
        elif b'"duplicate"' in payload:
            answer = json.loads(payload)
            if answer.get("duplicate"):
                waiting[1](MessageId(int(answer["seq"])))

    def clear(self) -> None:
        """The connection is lost, and with it every acknowledgement on its way."""
        self._waiting.clear()

    def _drop_old(self, now_s: float) -> None:
        while self._waiting:
            number, (since_s, _) = next(iter(self._waiting.items()))
            if len(self._waiting) < _LIMIT and since_s > now_s - _FORGET_AFTER_S:
                return
            del self._waiting[number]
