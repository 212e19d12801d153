"""Who types in a room, as one edge sees it, and how much of that its members are shown."""

from dataclasses import dataclass, field

from ws_edge.protocol.identity import ConnectionId, UserId
from ws_edge.protocol.limits import SlidingWindow
from ws_edge.protocol.rooms import TypingChanged

HEARD_S = 12.0
"""Longer than a session lets typing last (10 s) plus the time between two extensions, so that the edge that
publishes ends it, and this only where its stop never comes."""
_Source = tuple[str, str, ConnectionId]
FRAMES_PER_SECOND = 10


@dataclass(frozen=True, slots=True)
class Transition:
    """A participant started, or stopped, typing: what members are shown."""

    key: str
    user_id: UserId | None
    username: str
    active: bool
    at_ms: int
    """Unix milliseconds."""


@dataclass(slots=True)
class _Typer:
    """A participant who types, and from where."""

    user_id: UserId | None
    username: str
    at_ms: int
    received_at: float
    sources: set[_Source] = field(default_factory=set)


class TypingBoard:
    """Those who type in one room. Holds at most one entry for each connection of the room."""

    __slots__ = ("_expires_at", "_typers")

    def __init__(self) -> None:
        self._typers: dict[str, _Typer] = {}
        # All are given the same time, so the order of insertion is the order of expiry.
        self._expires_at: dict[_Source, float] = {}

    def changed(self, change: TypingChanged, now: float) -> Transition | None:
        """Follow one connection; None where that shows nothing new. `now` in monotonic seconds, as everywhere."""
        source = (change.key, change.edge, change.connection)
        if change.active:
            return self._started(source, change, now)
        if self._expires_at.pop(source, None) is None:
            return None
        return self._ended(source, change.at_ms)

    def left(self, key: str, now: float) -> Transition | None:
        """The participant is gone from the room, with all connections; the stop, if one is to be shown."""
        typer = self._typers.pop(key, None)
        if typer is None:
            return None
        for source in typer.sources:
            del self._expires_at[source]
        return _stop(key, typer, _at_ms(typer, now))

    def expired(self, now: float) -> list[Transition]:
        """The stops of those whose typing was not repeated in time."""
        stops = []
        for source, expires_at in list(self._expires_at.items()):
            if expires_at > now:
                break
            del self._expires_at[source]
            stop = self._ended(source, _at_ms(self._typers[source[0]], now))
            if stop is not None:
                stops.append(stop)
        return stops

    def next_deadline(self) -> float | None:
        """When `expired` may return something; None: nobody types."""
        return next(iter(self._expires_at.values()), None)

    def _started(self, source: _Source, change: TypingChanged, now: float) -> Transition | None:
        self._expires_at.pop(source, None)
        self._expires_at[source] = now + HEARD_S
        typer = self._typers.get(change.key)
        if typer is not None:
            typer.at_ms, typer.received_at = change.at_ms, now
            typer.sources.add(source)
            return None
        self._typers[change.key] = _Typer(change.user_id, change.username, change.at_ms, now, {source})
        return Transition(change.key, change.user_id, change.username, active=True, at_ms=change.at_ms)

    def _ended(self, source: _Source, at_ms: int) -> Transition | None:
        key = source[0]
        typer = self._typers[key]
        typer.sources.discard(source)
        if typer.sources:
            return None
        del self._typers[key]
        return _stop(key, typer, at_ms)


def _stop(key: str, typer: _Typer, at_ms: int) -> Transition:
    return Transition(key, typer.user_id, typer.username, active=False, at_ms=at_ms)


def _at_ms(typer: _Typer, now: float) -> int:
    """Unix milliseconds at `now`, counted from the last event of the typer."""
    return typer.at_ms + int((now - typer.received_at) * 1000)


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
