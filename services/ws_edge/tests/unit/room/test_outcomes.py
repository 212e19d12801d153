"""Published messages and what becomes of them: each author hears once."""

from edge_world import AT, FakeClock, FakeMeter
from msgspec.structs import replace

from ws_edge.errors import ErrorCode
from ws_edge.ports import Incident
from ws_edge.protocol.holds import Decided
from ws_edge.protocol.identity import MessageId
from ws_edge.protocol.log import StoredMessage
from ws_edge.room.outcomes import OUTCOME_S, Outcomes
from ws_edge.room.room import Room

ROOM: Room = object()  # type: ignore[assignment]  # nothing is asked of it


class Sender:
    """Implements Author."""

    def __init__(self) -> None:
        self.waiting = 0
        self.refusals: list[tuple[ErrorCode, str]] = []

    def write(self, frames: bytes) -> None: ...

    def unsent_bytes(self) -> int:
        return 0

    def close_slow_consumer(self) -> None: ...

    def refuse(
        self,
        code: ErrorCode,
        *,
        retry_after_ms: int = 0,
        nonce: str = "",
        told: str = "",
        decided: Decided | None = None,
    ) -> None:
        self.refusals.append((code, nonce))


def sent(outcomes: Outcomes, sender: Sender, nonce: str = "") -> int:
    sender.waiting += 1
    return outcomes.register(sender, ROOM, nonce)


def outcomes() -> tuple[Outcomes, FakeClock, FakeMeter]:
    clock, meter = FakeClock(), FakeMeter()
    return Outcomes("e1", clock, meter), clock, meter


def test_a_message_that_is_stored_resolves_once() -> None:
    waiting, _, _ = outcomes()
    ana = Sender()
    token = sent(waiting, ana, "n")
    assert waiting.find(token) is not None
    pending = waiting.resolve(token)
    assert pending is not None
    assert (pending.author, pending.nonce, ana.waiting) == (ana, "n", 0)
    assert (waiting.find(token), waiting.resolve(token), len(waiting), ana.waiting) == (None, None, 0, 0)


def test_a_copy_of_another_worker_resolves_nothing_here() -> None:
    waiting, _, _ = outcomes()
    ana = Sender()
    token = sent(waiting, ana)
    copy = StoredMessage(MessageId(1), MessageId(0), AT, "x", None, "ana", "e2", token, "")
    assert (waiting.resolve_copy(copy, is_shown=True), len(waiting)) == (None, 1)
    own = replace(copy, edge="e1")
    assert (waiting.resolve_copy(own, is_shown=True), len(waiting)) == (ana, 0)
    assert waiting.resolve_copy(own, is_shown=True) is None


def test_tokens_are_never_used_again() -> None:
    waiting, _, _ = outcomes()
    first = sent(waiting, Sender())
    waiting.resolve(first)
    assert sent(waiting, Sender()) != first


async def test_what_expires_is_told_unavailable_with_its_nonce_and_counted_once() -> None:
    waiting, _, meter = outcomes()
    ana = Sender()
    token = sent(waiting, ana, "n")
    waiting.expire([token])
    waiting.expire([token])
    assert (ana.refusals, ana.waiting) == ([(ErrorCode.UNAVAILABLE, "n")], 0)
    assert meter.incidents == [Incident.MESSAGE_WITHOUT_OUTCOME]


def test_each_overdue_message_is_named_once_and_waits_on() -> None:
    waiting, clock, _ = outcomes()
    early = sent(waiting, Sender())
    clock.time_s += OUTCOME_S
    late = sent(waiting, Sender())
    assert waiting.overdue() == {ROOM: [early]}
    assert waiting.overdue() == {}
    clock.time_s += OUTCOME_S
    assert waiting.overdue() == {ROOM: [late]}
    assert len(waiting) == 2
