"""When what is sent to NATS is written: at once, or with what comes within 2 ms."""

import asyncio
from collections.abc import Callable

import pytest
from nats.aio.client import Client

from ws_edge.adapters.nats.wire import WireClient


class Timer:
    def __init__(self, due_s: float, callback: Callable[[], None]) -> None:
        self.due_s, self.callback = due_s, callback

    def cancel(self) -> None:
        self.callback = lambda: None


class Loop:
    """Time stands still until told."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now_s

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.call_later(0.0, callback)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self.now_s + delay_s, callback)
        self.timers.append(timer)
        return timer

    def run(self, ms: float = 0.0) -> None:
        """So much time passes."""
        self.now_s += ms / 1000
        due = [timer for timer in self.timers if timer.due_s <= self.now_s + 1e-9]
        self.timers = [timer for timer in self.timers if timer not in due]
        for timer in due:
            timer.callback()


class Transport:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


class World:
    def __init__(self) -> None:
        self.loop, self.transport = Loop(), Transport()
        self.wire = WireClient()
        self.wire._transport = self.transport  # type: ignore[assignment]

    def say(self, *texts: bytes) -> None:
        for text in texts:
            self.wire.send(text, may_wait=True)

    def take(self) -> list[bytes]:
        written, self.transport.written = self.transport.written, []
        return written


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: world.loop)
    monkeypatch.setattr(Client, "is_connected", True)
    return world


def test_what_comes_after_a_quiet_moment_is_written_at_the_end_of_its_turn(world: World) -> None:
    world.say(b"a", b"b")
    assert world.take() == []
    world.loop.run()
    assert world.take() == [b"ab"]


def test_what_may_wait_is_gathered_for_2_ms_where_something_was_written_just_now(world: World) -> None:
    world.say(b"a")
    world.loop.run()
    world.say(b"b")
    world.loop.run(1)
    world.say(b"c")
    assert world.take() == [b"a"]
    world.loop.run(1)
    assert world.take() == [b"bc"]


def test_what_may_not_wait_takes_along_what_does(world: World) -> None:
    world.say(b"a")
    world.loop.run()
    world.say(b"b")
    world.wire.send(b"now")
    world.loop.run()
    assert world.take() == [b"a", b"bnow"]


def test_what_was_written_early_does_not_end_the_next_gathering_early(world: World) -> None:
    world.say(b"a")
    world.loop.run()
    world.say(b"b")
    world.loop.run(1)
    world.wire.send(b"now")
    world.loop.run()
    world.loop.run(0.5)
    world.say(b"c")
    world.take()
    world.loop.run(0.5)
    assert world.take() == []
    world.loop.run(1.5)
    assert world.take() == [b"c"]
    assert world.loop.timers == []
