"""process.py: how a process begins and ends."""

import asyncio
import gc
import os
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest

from chassis import tasks
from chassis.errors import CannotListen
from chassis.process import raise_open_files_limit, serve_until_signal


@pytest.fixture
def soft_limit_of_a_shell() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("soft_limit_of_a_shell")
def test_a_process_may_open_as_many_files_as_the_hard_limit_allows() -> None:
    raise_open_files_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard
    assert soft > 1024 or hard == 1024


@pytest.mark.usefixtures("soft_limit_of_a_shell")
def test_a_system_that_refuses_the_hard_limit_keeps_the_process_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_resource: int, _limits: tuple[int, int]) -> None:
        raise ValueError("current limit exceeds maximum limit")

    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refuse)
        raise_open_files_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 1024


class Service:
    """What serve_until_signal is given: what it has done is in `steps`."""

    def __init__(self, *, starts_in: asyncio.Event | None = None) -> None:
        self.steps: list[str] = []
        self.reached = asyncio.Event()
        self._starts_in = starts_in

    async def __aenter__(self) -> None:
        self.steps.append("starting")
        self.reached.set()
        if self._starts_in is not None:
            await self._starts_in.wait()
        self.steps.append("serving")

    async def __aexit__(self, *_: object) -> None:
        self.steps.append("stopped")


@pytest.fixture
def unfrozen() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.mark.usefixtures("unfrozen")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_block_of_the_service(number: signal.Signals) -> None:
    service = Service()
    running = asyncio.create_task(serve_until_signal(service))
    await service.reached.wait()
    await asyncio.sleep(0)
    os.kill(os.getpid(), number)
    async with asyncio.timeout(5):
        await running
    assert service.steps == ["starting", "serving", "stopped"]


@pytest.mark.usefixtures("unfrozen")
async def test_whoever_waits_for_the_start_hears_of_it_when_the_collector_is_settled() -> None:
    heard: list[tuple[str, bool]] = []

    @asynccontextmanager
    async def service() -> AsyncIterator[str]:
        yield "port"

    def started(given: str) -> None:
        heard.append((given, gc.get_freeze_count() > 0))
        os.kill(os.getpid(), signal.SIGTERM)

    async with asyncio.timeout(5):
        await serve_until_signal(service(), started=started)
    assert heard == [("port", True)]


@pytest.mark.usefixtures("unfrozen")
async def test_what_a_library_leaves_running_is_ended_although_its_first_cancellation_gets_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "_CANCEL_AGAIN_S", 0.01)
    left: list[asyncio.Task[None]] = []

    async def reconnect() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    class Leaving(Service):
        async def __aenter__(self) -> None:
            left.append(asyncio.create_task(reconnect()))
            await super().__aenter__()

    service = Leaving()
    others = asyncio.create_task(asyncio.sleep(3600))
    running = asyncio.create_task(serve_until_signal(service))
    await service.reached.wait()
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(30):
        await running
    assert left[0].cancelled()
    assert not others.done()
    others.cancel()


async def test_a_start_that_takes_long_is_broken_off() -> None:
    service = Service(starts_in=asyncio.Event())
    running = asyncio.create_task(serve_until_signal(service))
    await service.reached.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(5):
        await running
    assert service.steps == ["starting"]


async def test_a_start_that_fails_is_told() -> None:
    class Broken(Service):
        async def __aenter__(self) -> None:
            raise CannotListen("cannot listen on 127.0.0.1:1")

    with pytest.raises(CannotListen):
        await serve_until_signal(Broken())
