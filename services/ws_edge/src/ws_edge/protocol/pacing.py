"""How much of the typing is shown in a crowded room: few frames a second, and never a start without its stop."""

from ws_edge.protocol.limits import SlidingWindow
from ws_edge.protocol.typing import Transition

FRAMES_PER_SECOND = 10


class TypingPacer:
    """The typing that one room's members see. Every transition of the room passes through it, crowded or not, so that
    whole pairs are shown also where a room becomes crowded, or ceases to be, between the two."""

    __slots__ = ("_shown", "_stops", "_window")

    def __init__(self, frames_per_second: int = FRAMES_PER_SECOND) -> None:
        self._window = SlidingWindow(frames_per_second, 1.0)
        self._shown: set[str] = set()
        # Bounded by those shown, of whom there are no more than typing lasts seconds times frames_per_second.
        self._stops: dict[str, Transition] = {}

    def changed(self, transition: Transition, *, crowded: bool, now: float) -> list[Transition]:
        """What is to be shown at once, in order; a start may be dropped, a stop may wait for `due`."""
        shown = self.due(now, crowded=crowded)
        if not transition.active:
            if transition.key in self._shown:
                self._stops[transition.key] = transition
            return shown + self.due(now, crowded=crowded)
        if self._stops.pop(transition.key, None) is not None or transition.key in self._shown:
            return shown  # members never saw the stop: for them the typing goes on
        if not crowded or not (self._stops or self._window.is_full(now)):
            self._window.record(now)
            self._shown.add(transition.key)
            shown.append(transition)
        return shown

    def due(self, now: float, *, crowded: bool) -> list[Transition]:
        """The stops that waited and have room now."""
        shown = []
        while self._stops and not (crowded and self._window.is_full(now)):
            key = next(iter(self._stops))
            shown.append(self._stops.pop(key))
            self._shown.discard(key)
            self._window.record(now)
        return shown

    def next_deadline(self, now: float) -> float | None:
        """When `due` has something to show; None: no stop waits."""
        return now + self._window.retry_after_s(now) if self._stops else None
