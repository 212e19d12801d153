"""A chat client for tests: the `websockets` package, and words for what a test waits for.

Every frame is held against docs/api/asyncapi.yaml: what the server sends has to be known there as it is, what a test
sends too, unless the test says that it is wrong (send_wrong), or sends it as it is (send_raw). Then the server may say
that it does not understand, and only then.
"""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
import salon_processes
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol
from wire_contract import CLIENT, SERVER, problem_with

Frame = dict[str, Any]
DEADLINE_S = 8.0
OBEYED_AFTER_S = 1.0
"""From so long after the author's own copy of a change of policy on, every replica goes by it."""
NOT_UNDERSTOOD = ("invalid_format", "unknown_type")
"""What the server says of frames that the document does not allow."""
MODERATES = ["delete", "mute", "warn", "purge", "pin", "shield", "reports"]
OWNS = [*MODERATES, "ban", "policy", "clear", "rules", "roles", "undo"]
"""What moderators, and owners, are told that they may do beside writing."""
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_user_ids = itertools.count(5_000)
_policies = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Person:
    """A signed-in user."""

    user_id: int
    username: str
    token: str


def mint(claims: Mapping[str, Any], *, secret: str = salon_processes.SECRET, algorithm: str = "HS256") -> str:
    """A token with exactly these claims; remembered, so that the logs can be searched for it."""
    token = jwt.encode(dict(claims), secret, algorithm)
    salon_processes.MINTED.add(token)
    return token


def in_an_hour() -> int:
    """For `exp`."""
    return int(time.time()) + 3600


def person(username: str, *roles: str, user_id: int | None = None) -> Person:
    """Somebody that no other test knows."""
    number = next(_user_ids) if user_id is None else user_id
    claims = {"user_id": number, "username": username, "roles": list(roles), "exp": in_an_hour()}
    return Person(number, username, mint(claims))


@dataclass(slots=True)
class Client:
    """One WebSocket connection; every frame that came is kept to be shown when a wait fails."""

    connection: ClientConnection
    name: str = "client"
    seen: list[Frame] = field(default_factory=list)
    joined: Frame = field(default_factory=dict)
    wrong_sent: int = 0
    """Frames that the document does not allow, and that the server has not said to be wrong yet."""

    async def send(self, type_: str, **data: Any) -> None:
        """Send one frame of the chat protocol."""
        payload = json.dumps({"type": type_, "data": data})
        problem = problem_with(CLIENT, payload)
        assert problem is None, f"{self.name}: {payload} is no frame of the contract: {problem}"
        await self.connection.send(payload)

    async def send_wrong(self, type_: str, **data: Any) -> None:
        """Send one that the document does not allow."""
        payload = json.dumps({"type": type_, "data": data})
        assert problem_with(CLIENT, payload) is not None, f"{self.name}: {payload} is a frame of the contract"
        await self.send_raw(payload)

    async def send_raw(self, payload: str | bytes) -> None:
        """Send a text (str) or a binary (bytes) frame as it is."""
        self.wrong_sent += isinstance(payload, bytes) or problem_with(CLIENT, payload, is_open=True) is not None
        await self.connection.send(payload)

    async def say(self, message: str, **more: Any) -> Frame:
        """Send a chat message and wait for its own copy."""
        await self.send("chat_message", message=message, **more)
        return await self.wait_for("chat_message", message=message)

    async def receive(self, within_s: float = DEADLINE_S) -> Frame:
        """The very next frame."""
        try:
            async with asyncio.timeout(within_s):
                raw = await self.connection.recv()
        except TimeoutError:
            raise AssertionError(
                f"{self.name}: nothing came within {within_s} s; before that: {self.seen[-12:]}"
            ) from None
        except ConnectionClosed as closed:
            raise AssertionError(f"{self.name}: closed instead ({closed}); before that: {self.seen[-12:]}") from None
        return self.read(raw)

    def read(self, raw: str | bytes) -> Frame:
        """One frame that came, which has to be one of the contract."""
        assert isinstance(raw, str), f"{self.name}: a binary frame came: {raw!r}"
        problem = problem_with(SERVER, raw)
        assert problem is None, f"{self.name}: {raw} is no frame of the contract: {problem}"
        frame: Frame = json.loads(raw)
        self.seen.append(frame)
        if frame["type"] == "error" and frame["data"]["code"] in NOT_UNDERSTOOD:
            assert self.wrong_sent, f"{self.name}: {raw} though every frame sent was one of the contract"
            self.wrong_sent -= 1
        return frame

    async def collect_until(self, type_: str, within_s: float = DEADLINE_S, **fields: Any) -> list[Frame]:
        """Every frame up to and including the first of this type with these fields."""
        deadline = time.monotonic() + within_s
        frames: list[Frame] = []
        while True:
            try:
                frames.append(await self.receive(max(0.01, deadline - time.monotonic())))
            except AssertionError as problem:
                raise AssertionError(f"waiting for {type_} {fields}: {problem}") from None
            if matches(frames[-1], type_, **fields):
                return frames

    async def collect_until_any(self, *types: str) -> list[Frame]:
        """Every frame up to and including the first of one of these types."""
        frames = [await self.receive()]
        while frames[-1]["type"] not in types:
            frames.append(await self.receive())
        return frames

    async def wait_for(self, type_: str, within_s: float = DEADLINE_S, **fields: Any) -> Frame:
        """The `data` of the next frame of this type with these fields; others before it are passed over."""
        frames = await self.collect_until(type_, within_s, **fields)
        data: Frame = frames[-1]["data"]
        return data

    async def expect(self, type_: str, within_s: float = DEADLINE_S, **fields: Any) -> Frame:
        """The very next frame must be of this type with these fields; its `data`."""
        frame = await self.receive(within_s)
        assert matches(frame, type_, **fields), f"{self.name}: wanted {type_} {fields}, got {frame}"
        data: Frame = frame["data"]
        return data

    async def expect_error(self, message: str, code: str, **fields: Any) -> Frame:
        """The next `error` frame must say this."""
        data = await self.wait_for("error")
        assert (data["message"], data.get("code")) == (message, code), f"{self.name}: {data}"
        assert fields.items() <= data.items(), f"{self.name}: wanted {fields} in {data}"
        return data

    async def frames_before_pong(self) -> list[Frame]:
        """What this connection was sent up to now."""
        await self.send("ping")
        return (await self.collect_until("pong"))[:-1]

    async def closed(self, within_s: float = DEADLINE_S) -> int:
        """The close code, once it is closed; what came before is in `seen`."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self.read(await self.connection.recv())
        except ConnectionClosed:
            code = self.connection.close_code
            assert code is not None
            return code
        except TimeoutError:
            raise AssertionError(f"{self.name}: still open after {within_s} s; it saw {self.seen[-12:]}") from None

    async def refused(self, message: str, close_code: int) -> None:
        """One `error` frame with this text, nothing else, then this close."""
        code = await self.closed()
        texts = [f["data"].get("message") if f["type"] == "error" else f["type"] for f in self.seen]
        assert (texts, code) == ([message], close_code), f"{self.name}: {self.seen}, {code}"

    async def leave(self) -> None:
        """Close normally."""
        await self.connection.close()

    def vanish(self) -> None:
        """Drop the TCP connection without a close frame."""
        self.connection.transport.abort()


def matches(frame: Frame, type_: str, **fields: Any) -> bool:
    """Whether a frame is of this type and has these fields, of the same JSON type."""
    if frame["type"] != type_:
        return False
    data = frame["data"]
    return all(k in data and data[k] == v and type(data[k]) is type(v) for k, v in fields.items())


async def act_until(moderator: Client, outcome: str, **action: Any) -> None:
    """Act again and again until this comes of it: "error", which has to say that the rank does not allow it, or
    "moderation_action". Edges hear of a rank that changed elsewhere a moment later."""
    async with asyncio.timeout(20):
        while True:
            await moderator.send("moderation_action", **action)
            frame = (await moderator.collect_until_any("error", "moderation_action"))[-1]
            assert frame["data"].get("code", "not_moderator") == "not_moderator", f"{moderator.name}: {frame}"
            if frame["type"] == outcome:
                return
            await asyncio.sleep(0.1)


async def change_policy(moderator: Client, **changes: Any) -> Frame:
    """Change the policy; the moderator's own copy. By then every replica goes by it."""
    nonce = f"policy{next(_policies)}"
    await moderator.send("moderation_action", action="policy", changes=changes, nonce=nonce)
    own = await moderator.wait_for("room_policy", nonce=nonce)
    await asyncio.sleep(OBEYED_AFTER_S)
    return own


def of_type(frames: Sequence[Frame], type_: str) -> list[Frame]:
    """The `data` of the frames of one type."""
    return [frame["data"] for frame in frames if frame["type"] == type_]


@dataclass(slots=True)
class Visitors:
    """Opens connections to one edge and closes them when the test is over."""

    ws: str
    opened: list[Client] = field(default_factory=list)

    async def connect(
        self,
        path: str,
        who: Person | None = None,
        *,
        address: str | None = None,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] | None = None,
        ws: str | None = None,
        compression: str | None = None,
    ) -> Client:
        """A WebSocket, whatever the server says on it; `address` is where on the loopback it comes from."""
        query = "" if who is None else f"{'&' if '?' in path else '?'}token={who.token}"
        more: dict[str, Any] = {} if address is None else {"local_addr": (address, 0)}
        connection = await connect(
            f"{ws or self.ws}{path}{query}",
            additional_headers=headers,
            subprotocols=None if subprotocols is None else [Subprotocol(s) for s in subprotocols],
            proxy=None,
            ping_interval=None,
            close_timeout=2,
            max_size=None,
            max_queue=None,
            compression=compression,
            **more,
        )
        client = Client(connection, "anonymous" if who is None else who.username)
        self.opened.append(client)
        return client

    async def join(self, room: str | int, who: Person | None = None, **how: Any) -> Client:
        """Connect to a room and wait for `room_joined`, which must be the first frame."""
        client = await self.connect(f"/chat/ws/room/{room}", who, **how)
        client.joined = await client.expect("room_joined")
        return client

    async def close(self) -> None:
        """Leave everywhere."""
        await asyncio.gather(*(client.leave() for client in self.opened), return_exceptions=True)
