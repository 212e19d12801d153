"""Members that keep what they are written, and a loop whose turns end when a test says so."""

from collections.abc import Callable
from dataclasses import dataclass

from ws_edge.room.audience import Audience


class Reader:
    """A member that keeps what it was written."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.unsent = 0
        self.is_left_behind = False
        self.is_gone = False
        self.audience: Audience | None = None

    def write(self, frames: bytes) -> None:
        assert not self.is_gone
        self.got.append(frames)

    def unsent_bytes(self) -> int:
        return self.unsent

    def close_slow_consumer(self) -> None:
        self.is_left_behind = True
        assert self.audience is not None
        self.audience.discard(self)


class Loop:
    """Clock and timers of an event loop whose turns end when the test says so."""

    def __init__(self) -> None:
        self.time_s = 100.0
        self.soon: list[Callable[[], object]] = []
        self.later: list[Later] = []

    def now_s(self) -> float:
        return self.time_s

    def unix_s(self) -> float:
        return self.time_s

    def call_soon(self, callback: Callable[[], object], /) -> object:
        self.soon.append(callback)
        return None

    def call_later(self, delay: float, callback: Callable[[], object], /) -> "Later":
        self.later.append(Later(self, self.time_s + delay, callback))
        return self.later[-1]

    def end_turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def rest(self) -> None:
        """Until nothing is left but timers."""
        while self.soon:
            self.end_turn()

    def pass_time(self, seconds: float) -> None:
        end_s = self.time_s + seconds
        while due := [timer for timer in self.later if timer.due_s <= end_s + 1e-9]:
            first = min(due, key=lambda timer: timer.due_s)
            self.time_s = max(self.time_s, first.due_s)
            first.cancel()
            first.callback()
        self.time_s = end_s


@dataclass(eq=False)
class Later:
    """A timer."""

    loop: Loop
    due_s: float
    callback: Callable[[], object]

    def cancel(self) -> None:
        self.loop.later.remove(self)
