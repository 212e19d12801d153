"""The states of a session: everything that changes one stands in this file."""

from enum import IntEnum, auto


class State(IntEnum):
    """Where a session is in its life."""

    JOINING = auto()
    OPEN = auto()
    CLOSED = auto()


class Input(IntEnum):
    """What may happen to a session."""

    FRAME = auto()
    JOINED = auto()
    REFUSED = auto()
    TICK = auto()
    FLOOD = auto()


class IllegalStep(Exception):
    """The owner told a session what cannot happen in its state; nothing has changed."""


# A step that is missing is illegal. A closed session takes everything and does nothing, because frames that were read
# together with the last one, and answers that were under way, may still follow.
STEPS: dict[State, dict[Input, State]] = {
    State.JOINING: {
        Input.FRAME: State.JOINING,
        Input.JOINED: State.OPEN,
        Input.TICK: State.JOINING,
        Input.FLOOD: State.CLOSED,
    },
    State.OPEN: {
        Input.FRAME: State.OPEN,
        Input.REFUSED: State.OPEN,
        Input.TICK: State.OPEN,
        Input.FLOOD: State.CLOSED,
    },
    State.CLOSED: dict.fromkeys(Input, State.CLOSED),
}


def step(state: State, happened: Input) -> State:
    """The state after something happened. Raises IllegalStep."""
    after = STEPS[state].get(happened)
    if after is None:
        raise IllegalStep(f"{happened.name} while {state.name}")
    return after
