"""Who talks, listens and comes in during a run, as clients do that follow the protocol, and what they saw of it."""

import asyncio
import itertools
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from chat_client import Client, Frame, Person, Visitors, person
from websockets.exceptions import ConnectionClosed, WebSocketException

from chaos.history import EVERYTHING, Append, Deletion, Entry, Message, Reading, Told, View, read_text

OUTCOME_WITHIN_S = 6.0
REMEMBERED_S = 100.0
"""A nonce is known for two minutes: nothing is sent again for longer."""
PAUSE_S = 0.2
_AGAIN = ("unavailable", "rate_limited")
_PAGE = 100


class Lost(Exception):
    """The connection ended, or was silent for too long. `code`: of the server's close frame, where there was one."""

    code: int | None = None

    @classmethod
    def by(cls, closed: ConnectionClosed) -> "Lost":
        """As websockets tells it."""
        lost = cls(str(closed))
        lost.code = closed.rcvd.code if closed.rcvd is not None else None
        return lost


@dataclass(frozen=True, slots=True)
class Patience:
    """Silence after which a client pings, and after which it connects elsewhere; its longest pause between attempts to
    get in, which grow."""

    ping_after_s: float = 2.0
    given_up_after_s: float = 6.0
    pause_s: float = 1.0


@dataclass(slots=True)
class Doors:
    """Addresses of edges: everybody who wants in begins at the next one, and goes on from there."""

    urls: list[str]
    turns: "itertools.count[int]" = field(default_factory=itertools.count)

    def tour(self) -> Iterator[str]:
        """For one who wants in. The addresses may change meanwhile."""
        return (self.urls[at % len(self.urls)] for at in itertools.count(next(self.turns)))


@dataclass(slots=True)
class Link:
    """One connection to a room that notices silence."""

    client: Client
    joined: Frame
    began_s: float
    heard_s: float
    patience: Patience
    pinged: bool = False

    async def send(self, type_: str, **data: Any) -> None:
        """Raises Lost."""
        try:
            await self.client.send(type_, **data)
        except ConnectionClosed as closed:
            raise Lost.by(closed) from None

    async def receive(self, within_s: float) -> Frame | None:
        """The next frame, None where none comes within that time. Raises Lost."""
        deadline = time.monotonic() + within_s
        while True:
            patience = self.patience.given_up_after_s if self.pinged else self.patience.ping_after_s
            silent_s = self.heard_s + patience
            try:
                async with asyncio.timeout(max(0.0, min(deadline, silent_s) - time.monotonic())):
                    raw = await self.client.connection.recv()
            except TimeoutError:
                if time.monotonic() >= silent_s:
                    await self._doubt()
                elif time.monotonic() >= deadline:
                    return None
                continue
            except ConnectionClosed as closed:
                raise Lost.by(closed) from None
            self.heard_s, self.pinged = time.monotonic(), False
            frame: Frame = json.loads(raw)
            if frame["type"] != "pong":
                return frame

    async def _doubt(self) -> None:
        if self.pinged:
            self.client.vanish()
            raise Lost("silence")
        self.pinged = True
        await self.send("ping")

    async def leave(self) -> None:
        """Close it."""
        await self.client.leave()


@dataclass(slots=True)
class Way:
    """How everybody gets in: door after door, again and again."""

    doors: Doors
    patience: Patience = field(default_factory=Patience)
    visitors: Visitors = field(default_factory=lambda: Visitors(""))
    refusals: Counter[str] = field(default_factory=Counter)

    async def enter(self, room: str, who: Person, query: str = "") -> Link:
        """Into the room, however long it takes."""
        pause_s = PAUSE_S
        doors = self.doors.tour()
        while (link := await self.try_door(next(doors), room, who, query)) is None:
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))
            pause_s = min(self.patience.pause_s, pause_s * 2)
        return link

    async def try_door(self, door: str, room: str, who: Person, query: str = "") -> Link | None:
        """Once; None where it stays shut."""
        began = time.monotonic()
        client: Client | None = None
        try:
            async with asyncio.timeout(self.patience.given_up_after_s):
                client = await self.visitors.connect(f"/chat/ws/room/{room}{query}", who, ws=door)
                frame = json.loads(await client.connection.recv())
        except (OSError, WebSocketException, TimeoutError, EOFError) as problem:
            self.refusals[type(problem).__name__] += 1
            if client is not None:
                client.vanish()
            return None
        if frame["type"] != "room_joined":
            self.refusals[frame["data"].get("code", frame["type"])] += 1
            client.vanish()
            return None
        return Link(client, frame["data"], began, time.monotonic(), self.patience)


@dataclass(slots=True)
class Sender:
    """Says one message after the other, each until it has its own copy: with the same nonce, over as many connections
    as it takes."""

    room: str
    who: Person
    way: Way
    appends: list[Append] = field(default_factory=list)
    refusals: list[tuple[float, str]] = field(default_factory=list)
    _link: Link | None = None

    async def talk(self, pace_s: float, stop: asyncio.Event) -> None:
        """Until `stop`, and to the outcome of the last message."""
        while not stop.is_set():
            await self.say()
            await self._listen(pace_s)

    async def say(self) -> Append:
        """The next message, to its outcome."""
        message = Message(self.who.username, len(self.appends) + 1)
        began = time.monotonic()
        found, refused = None, False
        while found is None and not refused and time.monotonic() < began + REMEMBERED_S:
            try:
                found, refused = await self._try(message)
            except Lost as lost:
                self._link = None
                self.refusals.append((time.monotonic(), str(lost)))
        append = Append(message, began, time.monotonic(), found, refused)
        self.appends.append(append)
        return append

    async def leave(self) -> None:
        """Close its connection."""
        if self._link is not None:
            await self._link.leave()

    async def _try(self, message: Message) -> tuple[int | None, bool]:
        """Send it once: its id, None where it has none yet; and whether it was refused for good. Raises Lost."""
        if self._link is None:
            self._link = await self.way.enter(self.room, self.who)
        nonce = f"n-{message.text}"
        await self._link.send("chat_message", message=message.text, nonce=nonce)
        deadline = time.monotonic() + OUTCOME_WITHIN_S
        while time.monotonic() < deadline:
            frame = await self._link.receive(deadline - time.monotonic())
            if frame is None or frame["data"].get("nonce") != nonce:
                continue
            if frame["type"] == "chat_message":
                return int(frame["data"]["id"]), False
            code = frame["data"]["code"]
            self.refusals.append((time.monotonic(), code))
            await asyncio.sleep(max(PAUSE_S, frame["data"].get("retry_after_ms", 0) / 1000))
            return None, code not in _AGAIN
        return None, False

    async def _listen(self, for_s: float) -> None:
        """Read what comes, so that nobody takes it for a slow consumer."""
        deadline = time.monotonic() + for_s
        while self._link is not None and (left := deadline - time.monotonic()) > 0:
            try:
                await self._link.receive(left)
            except Lost:
                self._link = None
        await asyncio.sleep(max(0.0, deadline - time.monotonic()))


@dataclass(slots=True)
class Eraser:
    """A moderator who takes back messages of others, each until the own copy of that has come."""

    room: str
    who: Person
    way: Way
    choose: Callable[[], int | None]
    """Which one: an id, None where there is none."""
    deletions: list[Deletion] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """Why some were not, for good."""
    _link: Link | None = None

    async def erase(self, pace_s: float, stop: asyncio.Event) -> None:
        """Until `stop`, and to the outcome of the last one."""
        while not stop.is_set():
            number = self.choose()
            if number is not None:
                await self._erase(number)
            await asyncio.sleep(pace_s)

    async def leave(self) -> None:
        """Close its connection."""
        if self._link is not None:
            await self._link.leave()

    async def _erase(self, number: int) -> None:
        began = time.monotonic()
        done: str | None = None
        while done is None and time.monotonic() < began + REMEMBERED_S:
            try:
                done = await self._try(number)
            except Lost:
                self._link = None
        if done == "":
            self.deletions.append(Deletion(number, time.monotonic()))
        else:
            self.deletions.append(Deletion(number, math.inf))
            self.refusals.append(f"{number} was not deleted: {done or 'no outcome'}")

    async def _try(self, number: int) -> str | None:
        """ "" when it is done, the code of what refuses it for good, None where it has to be tried again. Raises
        Lost."""
        if self._link is None:
            self._link = await self.way.enter(self.room, self.who)
        nonce = f"d-{number}"
        await self._link.send("moderation_action", action="delete", message_id=number, nonce=nonce)
        deadline = time.monotonic() + OUTCOME_WITHIN_S
        while time.monotonic() < deadline:
            frame = await self._link.receive(deadline - time.monotonic())
            if frame is None or frame["data"].get("nonce") != nonce:
                continue
            if frame["type"] == "message_deleted":
                return ""
            await asyncio.sleep(max(PAUSE_S, frame["data"].get("retry_after_ms", 0) / 1000))
            code: str = frame["data"]["code"]
            return None if code in _AGAIN else code
        return None


@dataclass(slots=True)
class Listener:
    """Reads everything that is said: comes back with `since` and `epoch`, and reads history where that does not do."""

    room: str
    who: Person
    way: Way
    since: int = -1
    entries: list[Entry] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    connections: int = 0
    recoveries: int = 0
    ends: list[tuple[float, int | None]] = field(default_factory=list)
    """When each connection ended, and its close code."""
    present: Counter[str] = field(default_factory=Counter)
    """Who was announced to have come, less those announced to have left, on the present connection."""
    last: int = -1
    link: Link | None = None
    _epoch: str = ""
    _gap: tuple[int, bool] | None = None

    @property
    def view(self) -> View:
        """What it was given."""
        open_gap = [] if self._gap is None else [Told(self._gap[0], EVERYTHING, others_only=self._gap[1])]
        return View(self.who.username, self.since, tuple(self.entries), (*self.told, *open_gap))

    async def listen(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self._come()
                assert self.link is not None
                while True:
                    frame = await self.link.receive(OUTCOME_WITHIN_S)
                    if frame is not None:
                        await self._take(frame)
            except Lost as lost:
                self.link = None
                self.ends.append((time.monotonic(), lost.code))

    async def leave(self) -> None:
        """Close its connection."""
        if self.link is not None:
            await self.link.leave()

    async def _come(self) -> None:
        again = self.connections > 0
        query = f"?since={self.last}&epoch={self._epoch}" if again else ""
        self.link = await self.way.enter(self.room, self.who, query)
        joined = self.link.joined
        self.connections += 1
        self._epoch = joined["epoch"]
        self.present.clear()
        if not again:
            self.since = self.last = joined["last_id"]
        elif joined["recovered"]:
            self.recoveries += 1
        else:
            await self._fill([])

    async def _take(self, frame: Frame) -> None:
        data = frame["data"]
        if frame["type"] in ("user_joined", "user_left"):
            self.present[data["username"]] += 1 if frame["type"] == "user_joined" else -1
        if "id" not in data or "prev_id" not in data:
            return
        if data["prev_id"] > self.last:
            await self._fill([frame])
        else:
            self._note(frame)

    def _note(self, frame: Frame, read_s: float | None = None) -> None:
        assert self.link is not None
        number = int(frame["data"]["id"])
        if read_s is None and self.connections > 1 and number <= self.link.joined["last_id"]:
            read_s = self.link.began_s
        if self._gap is not None:
            self.told.append(Told(self._gap[0], number, others_only=self._gap[1]))
            self._gap = None
        self.entries.append(entry_of(frame, read_s))
        self.last = max(self.last, number)

    async def _fill(self, held: list[Frame]) -> None:
        """Read history back to what was seen last; `held` and what comes meanwhile follows it. Raises Lost."""
        assert self.link is not None
        first = self.last
        messages, reached = await read_history(self.link, first, held.append, self.readings.append)
        self._gap = (first, reached)
        for message, read_s in messages:
            if message["id"] > self.last:
                self._note({"type": "chat_message", "data": message}, read_s)
        for frame in held:
            if frame["data"].get("id", 0) > self.last and "prev_id" in frame["data"]:
                self._note(frame)


async def read_history(
    link: Link, back_to: int, also: Callable[[Frame], None], note: Callable[[Reading], None]
) -> tuple[list[tuple[Frame, float]], bool]:
    """The messages behind `back_to`, oldest first, each with when its page was asked for, and whether the log reaches
    back to it. Other frames go to `also`, pages to `note`. Raises Lost."""
    found: list[tuple[Frame, float]] = []
    before = EVERYTHING
    while True:
        began = time.monotonic()
        page = await _page(link, before, also)
        messages = page["messages"]
        note(Reading(began, before, tuple(entry_of({"type": "chat_message", "data": m}, began) for m in messages)))
        found[:0] = [(message, began) for message in messages]
        if any(message["id"] <= back_to for message in messages):
            return found, True
        if not page["has_more"] or not messages:
            return found, False
        before = messages[0]["id"]


async def _page(link: Link, before: int, also: Callable[[Frame], None]) -> Frame:
    for _ in range(10):
        await link.send("history", limit=_PAGE, **({} if before == EVERYTHING else {"before": before}))
        frame = await link.receive(OUTCOME_WITHIN_S)
        while frame is not None and frame["type"] not in ("history", "error"):
            also(frame)
            frame = await link.receive(OUTCOME_WITHIN_S)
        if frame is not None and frame["type"] == "history":
            data: Frame = frame["data"]
            return data
        await asyncio.sleep(PAUSE_S)
    link.client.vanish()
    raise Lost("no history")


def entry_of(frame: Frame, read_s: float | None) -> Entry:
    """The entry that a frame shows."""
    data = frame["data"]
    message = None
    if frame["type"] == "chat_message":
        message = read_text(data["message"]) or Message(f"?{data['message']}", 0)
    deletes = data["message_id"] if frame["type"] == "message_deleted" else None
    return Entry(int(data["id"]), message, deletes, read_s)


@dataclass(frozen=True, slots=True)
class Entrance:
    """How long somebody new needed to get in."""

    began_s: float
    took_s: float
    is_new_room: bool


@dataclass(slots=True)
class Newcomers:
    """Come in one after the other, now into the room, now into a new one, and leave again."""

    room: str
    way: Way
    entrances: list[Entrance] = field(default_factory=list)

    async def come_and_go(self, pace_s: float, stop: asyncio.Event) -> None:
        """Until `stop`, and until the last one is in."""
        while not stop.is_set():
            at = len(self.entrances)
            is_new = at % 2 == 1
            began = time.monotonic()
            room = f"{self.room}-new-{at}" if is_new else self.room
            link = await self.way.enter(room, person(f"newcomer-{self.room}-{at}"))
            self.entrances.append(Entrance(began, time.monotonic() - began, is_new))
            await link.leave()
            await asyncio.sleep(pace_s)
