"""Who types in a room, as one edge sees it."""

from hypothesis import HealthCheck, given, settings, strategies as st

from ws_edge.protocol.identity import ConnectionId, UserId
from ws_edge.protocol.rooms import TypingChanged
from ws_edge.protocol.typing_state import Transition, TypingBoard

# The same examples every time, and no deadline for a busy machine to miss.
PROOF = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def _change(
    active: bool, connection: int = 1, *, user_id: int = 7, edge: str = "e1", at_ms: int = 1000
) -> TypingChanged:
    return TypingChanged(f"u:{user_id}", UserId(user_id), "ana", active, edge, ConnectionId(connection), at_ms)


def _shown(active: bool, *, user_id: int = 7, at_ms: int = 1000) -> Transition:
    return Transition(f"u:{user_id}", UserId(user_id), "ana", active, at_ms)


def test_a_start_and_its_stop_are_shown() -> None:
    board = TypingBoard()
    assert board.changed(_change(True), 0.0) == _shown(True)
    assert board.changed(_change(False, at_ms=3000), 2.0) == _shown(False, at_ms=3000)
    assert board.next_deadline() is None


def test_a_start_while_typing_is_not_repeated_and_extends_it() -> None:
    board = TypingBoard()
    board.changed(_change(True), 0.0)
    assert board.changed(_change(True), 10.0) is None
    assert board.next_deadline() == 22.0
    assert board.expired(21.9) == []


def test_a_stop_of_who_does_not_type_shows_nothing() -> None:
    board = TypingBoard()
    assert board.changed(_change(False), 0.0) is None
    board.changed(_change(True), 0.0)
    assert board.changed(_change(False, 2), 0.0) is None
    assert board.changed(_change(False, user_id=8), 0.0) is None


def test_a_user_types_as_long_as_one_of_their_connections_does_on_whatever_edge() -> None:
    board = TypingBoard()
    assert board.changed(_change(True, 1, edge="e1"), 0.0) == _shown(True)
    assert board.changed(_change(True, 1, edge="e2"), 1.0) is None
    assert board.changed(_change(True, 2, edge="e2"), 1.0) is None
    assert board.changed(_change(False, 1, edge="e1"), 2.0) is None
    assert board.changed(_change(False, 2, edge="e2"), 2.0) is None
    assert board.changed(_change(False, 1, edge="e2", at_ms=9000), 2.0) == _shown(False, at_ms=9000)


def test_users_are_kept_apart() -> None:
    board = TypingBoard()
    assert board.changed(_change(True, 1), 0.0) == _shown(True)
    assert board.changed(_change(True, 2, user_id=8), 0.0) == _shown(True, user_id=8)
    assert board.changed(_change(False, 1), 0.0) == _shown(False)


def test_a_stop_that_never_comes_is_shown_after_12_seconds_with_the_time_it_ended() -> None:
    board = TypingBoard()
    board.changed(_change(True, at_ms=1000), 0.0)
    assert board.next_deadline() == 12.0
    assert board.expired(11.9) == []
    assert board.expired(12.0) == [_shown(False, at_ms=13_000)]
    assert board.expired(12.0) == []
    assert board.next_deadline() is None


def test_expiry_takes_the_connections_one_by_one() -> None:
    board = TypingBoard()
    board.changed(_change(True, 1), 0.0)
    board.changed(_change(True, 2), 5.0)
    board.changed(_change(True, 3, user_id=8), 6.0)
    assert board.expired(12.0) == []
    assert board.next_deadline() == 17.0
    assert [stop.key for stop in board.expired(18.0)] == ["u:7", "u:8"]


def test_an_extension_moves_a_connection_behind_the_others() -> None:
    board = TypingBoard()
    board.changed(_change(True, 1), 0.0)
    board.changed(_change(True, 2, user_id=8), 1.0)
    board.changed(_change(True, 1), 2.0)
    assert board.next_deadline() == 13.0
    assert [stop.key for stop in board.expired(13.0)] == ["u:8"]


def test_who_leaves_stops_typing_on_all_connections() -> None:
    board = TypingBoard()
    board.changed(_change(True, 1, at_ms=1000), 0.0)
    board.changed(_change(True, 2, at_ms=2000), 1.0)
    assert board.left("u:7", 1.5) == _shown(False, at_ms=2500)
    assert board.left("u:7", 1.5) is None
    assert board.next_deadline() is None
    assert board.changed(_change(False, 1), 2.0) is None


_steps = st.lists(
    st.tuples(
        st.sampled_from(["start", "stop", "left", "expire"]), st.integers(1, 3), st.integers(1, 3), st.integers(0, 6)
    )
)


@given(_steps)
@PROOF
def test_starts_and_stops_of_a_participant_alternate_and_all_end(steps: list[tuple[str, int, int, int]]) -> None:
    board, now, shown = TypingBoard(), 0.0, list[Transition]()
    for what, user_id, connection, pause in steps:
        now += pause
        if what == "left":
            shown += filter(None, [board.left(f"u:{user_id}", now)])
        elif what == "expire":
            shown += board.expired(now)
        else:
            change = _change(what == "start", connection, user_id=user_id, at_ms=int(now * 1000))
            shown += filter(None, [board.changed(change, now)])
    shown += board.expired(now + 12.0)
    assert board.next_deadline() is None
    for key in ("u:1", "u:2", "u:3"):
        of_key = [transition.active for transition in shown if transition.key == key]
        assert of_key == [True, False] * (len(of_key) // 2)
