"""Stories that need time to pass: a thread of their own plays them all while the other tests run."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import process_tree
from chat_client import Visitors, person
from salon_processes import Edge


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges that no other test uses."""

    doomed: Edge
    frozen: Edge


Story = Callable[[Visitors, Edges], Awaitable[dict[str, Any]]]


async def silent_peer(visitors: Visitors, _edges: Edges) -> dict[str, Any]:
    """A peer that answers no ping: when it was pinged and seen to leave, in seconds from its silence."""
    watcher = await visitors.join("story-silent-peer", person("watcher"))
    quiet = person("quiet")
    _host, port = visitors.ws.removeprefix("ws://").split(":")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    writer.write(
        f"GET /chat/ws/room/story-silent-peer?token={quiet.token} HTTP/1.1\r\nHost: salon\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    try:
        await watcher.wait_for("user_joined", user_id=quiet.user_id)
        began = time.monotonic()
        pinged = 0.0
        while data := await reader.read(4096):
            if not pinged and b"\x89" in data:
                pinged = time.monotonic() - began
        await watcher.wait_for("user_left", user_id=quiet.user_id)
        return {"pinged_s": pinged, "left_s": time.monotonic() - began}
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def timed_mute(visitors: Visitors, _edges: Edges) -> dict[str, Any]:
    """A mute of one minute: refused at once, admitted when the minute is over."""
    moderator, target = person("Mo", "moderator"), person("tia")
    chair = await visitors.join("story-timed-mute", moderator)
    talker = await visitors.join("story-timed-mute", target)
    await chair.send("moderation_action", action="mute", target_user_id=target.user_id, duration_minutes=1)
    await chair.wait_for("moderation_action", action="mute")
    began = time.monotonic()
    refused = 0
    while time.monotonic() - began < 75:
        await talker.send("chat_message", message="am I heard?")
        frames = await talker.collect_until_any("error", "chat_message")
        if frames[-1]["type"] == "chat_message":
            break
        refused += 1
        await asyncio.sleep(2)
    return {"refused": refused, "heard_s": time.monotonic() - began}


async def typing_ends(visitors: Visitors, _edges: Edges) -> dict[str, Any]:
    """A typing_start without an end, extended once: how long until the others are told that it stopped."""
    typist, reader = person("typist"), person("reader")
    first = await visitors.join("story-typing", typist)
    second = await visitors.join("story-typing", reader)
    await first.send("typing_start")
    await second.wait_for("typing_start", user_id=typist.user_id)
    began = time.monotonic()
    await asyncio.sleep(4)
    await first.send("typing_start")
    frames = await second.collect_until("typing_stop", 25, user_id=typist.user_id)
    return {"stopped_s": time.monotonic() - began, "types": [frame["type"] for frame in frames]}


async def sliding_window(visitors: Visitors, _edges: Edges) -> dict[str, Any]:
    """Ten messages, then a wait of what retry_after_ms says: accepted again; the eleventh before that is not."""
    talker = await visitors.join("story-window", person("chatty"))
    for number in range(10):
        await talker.say(f"number {number}")
    began = time.monotonic()
    await talker.send("chat_message", message="too many")
    refusal = await talker.wait_for("error")
    await asyncio.sleep(refusal["retry_after_ms"] / 1000 + 0.2)
    await talker.send("chat_message", message="now again")
    frames = await talker.collect_until_any("error", "chat_message")
    return {"refusal": refusal, "then": frames[-1]["type"], "waited_s": time.monotonic() - began}


async def dead_edge(visitors: Visitors, edges: Edges) -> dict[str, Any]:
    """An edge that is killed: how long until its member is seen to leave, and who is counted then."""
    victim = person("victim")
    watcher = await visitors.join("story-dead-edge", person("watcher"))
    await visitors.join("story-dead-edge", victim, ws=edges.doomed.ws)
    await visitors.join("story-dead-edge-lonely", victim, ws=edges.doomed.ws)
    await watcher.wait_for("user_joined", user_id=victim.user_id)
    await asyncio.to_thread(edges.doomed.process.kill)
    began = time.monotonic()
    await watcher.wait_for("user_left", 30, user_id=victim.user_id)
    left_s = time.monotonic() - began
    next_one = await visitors.join("story-dead-edge", person("next"))
    heir = await visitors.join("story-dead-edge-lonely", person("heir"))
    return {
        "left_s": left_s,
        "counts": {"watched": next_one.joined["connection_count"], "lonely": heir.joined["connection_count"]},
    }


async def frozen_edge(visitors: Visitors, edges: Edges) -> dict[str, Any]:
    """An edge that stands still for longer than its lease and goes on: its member leaves, and is back by itself."""
    sleeper = person("sleeper")
    watcher = await visitors.join("story-frozen-edge", person("watcher"))
    member = await visitors.join("story-frozen-edge", sleeper, ws=edges.frozen.ws)
    await watcher.wait_for("user_joined", user_id=sleeper.user_id)
    frozen = edges.frozen.process.popen
    assert frozen is not None
    with process_tree.frozen([frozen.pid]):
        await watcher.wait_for("user_left", 30, user_id=sleeper.user_id)
    await watcher.wait_for("user_joined", 15, user_id=sleeper.user_id)
    await member.say("I was only cut off")
    heard = await watcher.wait_for("chat_message", message="I was only cut off")
    next_one = await visitors.join("story-frozen-edge", person("next"))
    return {
        "room_ids": {heard["room_id"], watcher.joined["room_id"], next_one.joined["room_id"]},
        "count": next_one.joined["connection_count"],
    }


STORIES: dict[str, Story] = {
    "silent_peer": silent_peer,
    "timed_mute": timed_mute,
    "typing_ends": typing_ends,
    "sliding_window": sliding_window,
    "dead_edge": dead_edge,
    "frozen_edge": frozen_edge,
}


@dataclass(slots=True)
class Stories:
    """The running stories and what came of them."""

    ws: str
    edges: Edges
    outcomes: dict[str, Future[dict[str, Any]]] = field(default_factory=lambda: {name: Future() for name in STORIES})
    _thread: threading.Thread | None = None
    _stop: Callable[[], object] = lambda: None

    def start(self) -> None:
        """Begin them all."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._play_all()), daemon=True)
        self._thread.start()

    async def outcome(self, name: str) -> dict[str, Any]:
        """What came of a story; raises what it raised."""
        return await asyncio.wrap_future(self.outcomes[name])

    def stop(self) -> None:
        """Nothing waits for a story that no test asked about."""
        for future in self.outcomes.values():
            future.cancel()
        self._stop()
        if self._thread is not None:
            self._thread.join(10)

    async def _play_all(self) -> None:
        playing = [asyncio.create_task(self._play(name, story)) for name, story in STORIES.items()]
        everything = asyncio.gather(*playing, return_exceptions=True)
        loop = asyncio.get_running_loop()
        self._stop = lambda: None if loop.is_closed() else loop.call_soon_threadsafe(everything.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await everything

    async def _play(self, name: str, story: Story) -> None:
        visitors = Visitors(self.ws)
        try:
            async with asyncio.timeout(100):
                outcome = await story(visitors, self.edges)
        except Exception as raised:  # noqa: BLE001 - handed to the test that asks for the outcome
            self._settle(name, None, raised)
        else:
            self._settle(name, outcome, None)
        finally:
            await visitors.close()

    def _settle(self, name: str, outcome: dict[str, Any] | None, problem: Exception | None) -> None:
        future = self.outcomes[name]
        if not future.set_running_or_notify_cancel():
            return
        if problem is not None:
            future.set_exception(problem)
        else:
            future.set_result(outcome or {})
