"""A TCP port in front of another one, or of a socket's path: what passes there can be held, cut, delayed and halved.

As a program (`tcp_line.py PORT TARGET TARGET`) it stands in front of replicas, as a service of Kubernetes does.
"""

import asyncio
import itertools
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

_CHUNK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one connection: after so many bytes towards its client it is dropped, in the middle of what came at once; each
    part takes so much longer, both ways."""

    ends_after_bytes: int | None = None
    delay_s: float = 0.0


@dataclass(slots=True)
class TcpLine:
    """One port. `targets`: paths of sockets, or ports of this machine; each connection gets the next one that takes
    it."""

    targets: Sequence[str | int]
    port: int = 0
    fate: Callable[[], Fate] = Fate
    """Asked for each connection."""
    drops: int = 0
    """How many connections reached the end of their fate."""
    _server: asyncio.Server | None = None
    _pipes: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _turns: "itertools.count[int]" = field(default_factory=itertools.count)

    async def open(self) -> None:
        """Listen, on `port` where it is not 0."""
        self._flows.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """As where the server stops: nobody listens, and connections are closed."""
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for pipe in list(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    def hold(self) -> None:
        """As a network that is parted, or a process that is paused: connections stay, and nothing passes either way."""
        self._flows.clear()

    def go_on(self) -> None:
        """What was held passes now."""
        self._flows.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        await self._flows.wait()
        try:
            there, back = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(back)
        fate = self.fate()
        towards = self._start(self._pipe(reader, back, Fate(delay_s=fate.delay_s)))
        backwards = self._start(self._pipe(there, writer, fate))
        await asyncio.wait((towards, backwards), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)
        for each in (writer, back):
            each.close()
            self._writers.discard(each)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises OSError where none of them takes it."""
        first = next(self._turns)
        for at in range(len(self.targets)):
            target = self.targets[(first + at) % len(self.targets)]
            with suppress(OSError):
                if isinstance(target, str):
                    return await asyncio.open_unix_connection(target)
                return await asyncio.open_connection("127.0.0.1", target)
        raise ConnectionRefusedError

    def _start(self, pipe: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(_ending_quietly(pipe))
        self._pipes.add(task)
        task.add_done_callback(self._pipes.discard)
        return task

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, fate: Fate) -> None:
        left = fate.ends_after_bytes
        while data := await source.read(_CHUNK_BYTES):
            await self._flows.wait()
            if fate.delay_s:
                await asyncio.sleep(fate.delay_s)
            if left is not None and len(data) >= left:
                self.drops += 1
                sink.write(data[: len(data) // 2])
                await sink.drain()
                return
            left = None if left is None else left - len(data)
            sink.write(data)
            await sink.drain()


async def _ending_quietly(pipe: Coroutine[Any, Any, None]) -> None:
    with suppress(ConnectionError):
        await pipe


async def _balance(port: int, targets: Sequence[int]) -> None:
    line = TcpLine(targets, port)
    await line.open()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_balance(int(sys.argv[1]), [int(target) for target in sys.argv[2:]]))
