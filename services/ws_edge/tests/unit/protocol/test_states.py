"""The table of a session's states."""

import pytest

from ws_edge.errors import IllegalStep
from ws_edge.protocol.session import STEPS, Input, State, step

JOINING, OPEN, CLOSED = State
FRAME, JOINED, REFUSED, TICK, FLOOD = Input


@pytest.mark.parametrize(
    ("before", "happened", "after"),
    [
        (JOINING, FRAME, JOINING),
        (JOINING, JOINED, OPEN),
        (JOINING, TICK, JOINING),
        (JOINING, FLOOD, CLOSED),
        (OPEN, FRAME, OPEN),
        (OPEN, REFUSED, OPEN),
        (OPEN, TICK, OPEN),
        (OPEN, FLOOD, CLOSED),
        (CLOSED, FRAME, CLOSED),
        (CLOSED, JOINED, CLOSED),
        (CLOSED, REFUSED, CLOSED),
        (CLOSED, TICK, CLOSED),
        (CLOSED, FLOOD, CLOSED),
    ],
)
def test_a_legal_step_leads_to_its_state(before: State, happened: Input, after: State) -> None:
    assert step(before, happened) is after


@pytest.mark.parametrize(("before", "happened"), [(JOINING, REFUSED), (OPEN, JOINED)])
def test_an_illegal_step_raises_with_its_name(before: State, happened: Input) -> None:
    with pytest.raises(IllegalStep, match=f"{happened.name} while {before.name}"):
        step(before, happened)


def test_every_state_and_input_is_in_one_of_the_two_tables_above() -> None:
    assert sum(len(steps) for steps in STEPS.values()) == 13
    assert len(State) * len(Input) == 13 + 2
