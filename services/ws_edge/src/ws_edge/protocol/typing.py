"""Who types in a room, as one edge sees it: a user types as long as one of their connections does."""

from dataclasses import dataclass, field
from typing import Protocol

from ws_edge.protocol.identity import ConnectionId, UserId

HEARD_S = 12.0
"""Longer than a session lets typing last (10 s) plus the time between two extensions, so that the edge that
publishes ends it, and this only where its stop never comes."""


class TypingChange(Protocol):
    """What the bus says of one connection."""

    @property
    def key(self) -> str: ...
    @property
    def user_id(self) -> UserId | None: ...
    @property
    def username(self) -> str: ...
    @property
    def active(self) -> bool: ...
    @property
    def edge(self) -> str: ...
    @property
    def connection(self) -> ConnectionId: ...
    @property
    def at_ms(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Transition:
    """A participant started, or stopped, typing: what members are shown."""

    key: str
    user_id: UserId | None
    username: str
    active: bool
    at_ms: int
    """Unix milliseconds."""


_Source = tuple[str, str, ConnectionId]


@dataclass(slots=True)
class _Typer:
    """A participant who types, and from where."""

    user_id: UserId | None
    username: str
    at_ms: int
    heard_at: float
    sources: set[_Source] = field(default_factory=set)


class TypingBoard:
    """Those who type in one room. Holds at most one entry for each connection of the room."""

    __slots__ = ("_expires_at", "_typers")

    def __init__(self) -> None:
        self._typers: dict[str, _Typer] = {}
        # All are given the same time, so the order of insertion is the order of expiry.
        self._expires_at: dict[_Source, float] = {}

    def changed(self, change: TypingChange, now: float) -> Transition | None:
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
        """The stops of those who were not heard of again in time."""
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
        """When `expired` may have something to say; None: nobody types."""
        return next(iter(self._expires_at.values()), None)

    def _started(self, source: _Source, change: TypingChange, now: float) -> Transition | None:
        self._expires_at.pop(source, None)
        self._expires_at[source] = now + HEARD_S
        typer = self._typers.get(change.key)
        if typer is not None:
            typer.at_ms, typer.heard_at = change.at_ms, now
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
    """The time of day now, by the last that was heard of the typer."""
    return typer.at_ms + int((now - typer.heard_at) * 1000)
