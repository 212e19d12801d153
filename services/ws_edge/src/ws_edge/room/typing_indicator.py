"""The typing that a room's members are shown, and the one timer that ends it."""

from ws_edge.ports import Clock, Timer, Timers
from ws_edge.protocol import codec
from ws_edge.protocol.rooms import TypingChanged
from ws_edge.protocol.typing_state import Transition, TypingBoard, TypingPacer
from ws_edge.room import crowding
from ws_edge.room.audience import Audience, Participants
from ws_edge.room.presence import Presence


class TypingIndicator:
    """Shows who types to all members but the one who does. The pacer decides how much of it a crowded room is
    shown; a large one is shown nothing but the stops of whom it saw before."""

    __slots__ = ("_audience", "_board", "_clock", "_due_s", "_pacer", "_participants", "_presence", "_timer", "_timers")

    def __init__(
        self, audience: Audience, presence: Presence, participants: Participants, clock: Clock, timers: Timers
    ) -> None:
        self._audience = audience
        self._presence = presence
        self._participants = participants
        self._clock = clock
        self._timers = timers
        self._board = TypingBoard()
        self._pacer = TypingPacer()
        self._due_s = float("inf")
        self._timer: Timer | None = None

    @property
    def is_shown(self) -> bool:
        """Whether anybody is shown typing who starts now."""
        return crowding.shows_typing(self._presence.connection_count)

    def changed(self, change: TypingChanged) -> None:
        """One connection started or stopped."""
        self._show(self._board.changed(change, self._clock.now_s()))

    def left(self, key: str) -> None:
        """A participant left the room: their typing ends first."""
        self._show(self._board.left(key, self._clock.now_s()))

    def _show(self, transition: Transition | None) -> None:
        if transition is not None and not (transition.active and not self.is_shown):
            crowded = self._presence.crowded
            self._broadcast(self._pacer.changed(transition, crowded=crowded, now=self._clock.now_s()))
        self._schedule()

    def _broadcast(self, shown: list[Transition]) -> None:
        for transition in shown:
            at = codec.rfc3339(transition.at_ms)
            frame = codec.typing(transition.active, transition.username, transition.user_id, at)
            own = dict.fromkeys(self._participants.of_participant(transition.key), b"")
            self._audience.broadcast(frame, own)

    def _schedule(self) -> None:
        """A timer for whatever comes first: a stop that never came, or one that the pacer puts off."""
        now_s = self._clock.now_s()
        deadlines = [self._board.next_deadline(), self._pacer.next_deadline(now_s)]
        due_s = min((d for d in deadlines if d is not None), default=None)
        if due_s is not None and due_s < self._due_s:
            self._due_s = due_s
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._timers.call_later(max(0.0, due_s - now_s), self._expire)

    def _expire(self) -> None:
        """End the typing that was not repeated in time, and show the stops that the pacer had put off."""
        self._due_s, self._timer = float("inf"), None
        now_s, crowded = self._clock.now_s(), self._presence.crowded
        shown = [*self._pacer.due(now_s, crowded=crowded)]
        for transition in self._board.expired(now_s):
            shown += self._pacer.changed(transition, crowded=crowded, now=now_s)
        self._broadcast(shown)
        self._schedule()
