"""People who write with nonces, lose their connection, come back and send again, as docs/protocol.md has it."""

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import jwt
from compose_stack import Stack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

ROOMS = 4
WRITERS = 12
_PAUSE_S = 1.1
"""Just below what moderation lets a user write."""
_user_ids = itertools.count(1)

_READ_LOG = """
import asyncio, json, os, sys, nats
from nats.js.errors import NotFoundError

async def main():
    client = await nats.connect(os.environ["NATS_URL"], user=os.environ["NATS_USER"],
                                password=open(os.environ["NATS_PASSWORD_FILE"]).read().strip())
    stream = client.jetstream()
    last = (await stream.stream_info("SALON_LOG_0")).state.last_seq
    texts, at = {}, int(sys.argv[1]) // 256
    while at <= last:
        try:
            found = await stream.get_msg("SALON_LOG_0", seq=at, next=True, subject="salon.v1.log.0.*.*")
        except NotFoundError:
            break
        at_text = found.data.find(b"said:")
        if at_text >= 0:
            texts[found.seq * 256] = found.data[at_text:at_text + 36].decode()
        at = found.seq + 1
    print(json.dumps(texts))
    await client.close()

asyncio.run(main())
"""


@dataclass(slots=True)
class Person:
    """Somebody with a token of their own, who checks that what they are told has no gap."""

    stack: Stack
    room: str
    roles: list[str] = field(default_factory=list)
    number: int = field(default_factory=lambda: next(_user_ids))
    heard: list[dict[str, Any]] = field(default_factory=list)
    """Every message that came."""
    times_in: int = 0
    gaps: list[str] = field(default_factory=list)

    @property
    def token(self) -> str:
        """As the site's own backend signs it."""
        claims = {"user_id": self.number, "username": f"user{self.number}", "roles": self.roles}
        return jwt.encode({**claims, "exp": int(time.time()) + 3600}, self.stack.secret("jwt_secret"), "HS256")

    async def enter(self) -> ClientConnection:
        """Until the room lets them in; growing pauses, jitter."""
        for attempt in itertools.count():
            with suppress(OSError, WebSocketException, TimeoutError):
                address = f"{self.stack.ws}/chat/ws/room/{self.room}?token={self.token}"
                socket = await connect(address, proxy=None, open_timeout=5, close_timeout=1, compression=None)
                first = json.loads(await asyncio.wait_for(socket.recv(), 10))
                if first["type"] == "room_joined":
                    self.times_in += 1
                    self._last_id = first["data"]["last_id"]
                    return socket
                await socket.close()
            await asyncio.sleep(min(2.0, 0.1 * 1.5**attempt) * random.uniform(0.5, 1.0))
        raise AssertionError

    _last_id: int = 0

    def hear(self, data: dict[str, Any]) -> bool:
        """Whether it is new; ids rise and each names the one before it."""
        if data["id"] <= self._last_id:
            return False
        if data["prev_id"] != self._last_id:
            self.gaps.append(f"user {self.number} in {self.room}: {self._last_id} was followed by {data}")
        self._last_id = data["id"]
        self.heard.append(data)
        return True


@dataclass(slots=True)
class Writer(Person):
    """Writes one message after the other; each until it is acknowledged by its own copy with an id."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    """Text and id."""
    sent_again: int = 0

    async def work(self) -> None:
        """Until it is cancelled."""
        socket = await self.enter()
        try:
            for count in itertools.count():
                text = f"said:{self.room[:12]:_<12}:{self.number:08}:{count:08}:"
                started = time.monotonic()
                while text not in self.acknowledged:
                    try:
                        await self._say(socket, text)
                    except (OSError, WebSocketException, TimeoutError):
                        await socket.close()
                        socket = await self.enter()
                        self.sent_again += 1
                await self._listen(socket, started + _PAUSE_S)
        finally:
            await socket.close()

    async def _say(self, socket: ClientConnection, text: str) -> None:
        await socket.send(json.dumps({"type": "chat_message", "data": {"message": text, "nonce": text}}))
        async with asyncio.timeout(8):
            while True:
                frame = json.loads(await socket.recv())
                data = frame["data"]
                if frame["type"] == "chat_message":
                    self.hear(data)
                    if data.get("nonce") == text:
                        self.acknowledged[text] = data["id"]
                        return
                elif frame["type"] == "error" and data.get("nonce") == text:
                    assert data["code"] in ("unavailable", "rate_limited"), frame
                    await asyncio.sleep(data.get("retry_after_ms", 500) / 1000)
                    self.sent_again += 1
                    await socket.send(json.dumps({"type": "chat_message", "data": {"message": text, "nonce": text}}))

    async def _listen(self, socket: ClientConnection, until: float) -> None:
        with suppress(TimeoutError, OSError, WebSocketException):
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.01, until - time.monotonic())):
                while True:
                    frame = json.loads(await socket.recv())
                    if frame["type"] == "chat_message":
                        self.hear(frame["data"])


class Load:
    """Writers in several rooms, for as long as something is done to the stack."""

    def __init__(self, stack: Stack, name: str) -> None:
        """`name` makes the rooms new ones."""
        self.stack = stack
        self.rooms = [f"{name}-{number}" for number in range(ROOMS)]
        self.writers = [Writer(stack, self.rooms[number % ROOMS]) for number in range(WRITERS)]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(writer.work()) for writer in self.writers]
        await self.everybody_writes(2)
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def everybody_writes(self, more: int, within_s: float = 60.0) -> None:
        """Wait until each has so many more messages acknowledged."""
        wanted = {writer.number: len(writer.acknowledged) + more for writer in self.writers}
        deadline = time.monotonic() + within_s
        while behind := [w.number for w in self.writers if len(w.acknowledged) < wanted[w.number]]:
            for task in self._tasks:
                assert not task.done(), task
            assert time.monotonic() < deadline, f"these have not written again within {within_s} s: {behind}"
            await asyncio.sleep(0.1)

    async def during(self, disruption: Callable[[], object]) -> None:
        """Do it while everybody writes, see that everybody goes on, and check that nothing was lost or doubled."""
        await asyncio.to_thread(disruption)
        await self.everybody_writes(3)
        await asyncio.to_thread(self.check)

    def check(self) -> None:
        """What was acknowledged is in the log, under its id, once; and whoever was connected heard all of it."""
        acknowledged = {text: number for writer in self.writers for text, number in writer.acknowledged.items()}
        # Acknowledged by now; while this is read, more come.
        edge = self.stack.containers("app")[0]
        raw = self.stack.python(edge, _READ_LOG, str(min(acknowledged.values())))
        log = {int(number): text for number, text in json.loads(raw.splitlines()[-1]).items()}
        lost = {text: number for text, number in acknowledged.items() if log.get(number) != text}
        assert not lost, f"acknowledged and not in the log: {lost}"
        texts = list(log.values())
        doubled = sorted({text for text in texts if texts.count(text) > 1})
        assert not doubled, f"stored more than once: {doubled}"
        gaps = [gap for writer in self.writers for gap in writer.gaps]
        assert not gaps, "\n".join(gaps)
        # Another member of the same room heard it too, unless both were away at that moment.
        for room in self.rooms:
            members = [writer for writer in self.writers if writer.room == room]
            always_in = [member for member in members if member.times_in == 1]
            for member in always_in:
                heard = {data["message"] for data in member.heard}
                first = member.heard[0]["id"]
                of_room = {
                    t for w in members for t, n in w.acknowledged.items() if first <= n <= member.heard[-1]["id"]
                }
                assert of_room <= heard, f"user {member.number} was told of no {sorted(of_room - heard)}"

    def summary(self) -> str:
        """Figures of a run."""
        count = sum(len(writer.acknowledged) for writer in self.writers)
        again = sum(writer.sent_again for writer in self.writers)
        entries = sum(writer.times_in for writer in self.writers)
        return f"{count} messages acknowledged, {again} sent again, {entries} entries of {len(self.writers)} people"
