"""One chat connection for locust: speaks the whole protocol over a real socket and reports what it measures."""

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

import gevent
import websocket
from gevent.event import Event

JOIN_WITHIN_S = 15.0
MODERATOR_NAME = "load_moderator_"
"""How the names of moderators begin: nobody mutes an equal."""
_ACTION = "action-"


class Report(Protocol):
    """How a measurement reaches locust's statistics."""

    def __call__(self, name: str, response_ms: float, failure: Exception | None = None, length: int = 0) -> None: ...


class NotJoined(Exception):
    """No room_joined came; the text is what came instead."""


class Refused(Exception):
    """The server answered a frame with an error."""


class ConnectionLost(Exception):
    """The server, or the network, ended a connection that should have stayed."""


class MissedMessage(Exception):
    """A message of the room never came: the next one names another one before it."""


class ChatClient:
    """Connects, waits for room_joined, and measures each message and each moderation action from its sending to its
    own copy's return. What a mute refuses is an answer like any other, reported as "muted"; a message of somebody
    else that never came is a "gap"."""

    def __init__(self, url: str, user_id: int, report: Report) -> None:
        self.connection_count = 0
        self.last_speaker: int | None = None
        """Which plain user said something, last."""
        self._url = url
        self._user_id = user_id
        self._report = report
        self._socket: websocket.WebSocket | None = None
        self._reader: gevent.Greenlet | None = None
        self._joined = Event()
        self._refusal = "nothing"
        self._sent: dict[str, float] = {}
        self._last_id = 0
        self._leaving = False

    def join(self) -> None:
        """Open the connection and wait until the room is joined. Raises NotJoined or what the socket raises."""
        began = time.perf_counter()
        try:
            self._socket = websocket.create_connection(self._url, timeout=JOIN_WITHIN_S, enable_multithread=True)
            self._reader = gevent.spawn(self._read)
            self._joined.wait(JOIN_WITHIN_S)
            if self.connection_count == 0:
                raise NotJoined(self._refusal)
        except (NotJoined, OSError, websocket.WebSocketException) as failure:
            self._report("join", _ms_since(began), failure)
            raise
        self._report("join", _ms_since(began))

    def say(self, text: str, nonce: str) -> None:
        """Send one message; the reader measures when the own copy is back."""
        self._sent[nonce] = time.perf_counter()
        self._send("chat_message", {"message": text, "nonce": nonce})

    def type(self, active: bool) -> None:
        """Show that the user types, or no longer does."""
        self._send("typing_start" if active else "typing_stop", {})

    def moderate(self, action: str, target_user_id: int) -> None:
        """Act on somebody of the room; the reader measures when everybody, and so this client, is told."""
        key = _action_key(action, target_user_id)
        self._sent[key] = time.perf_counter()
        data = {"action": action, "target_user_id": target_user_id, "duration_minutes": 1, "nonce": key}
        self._send("moderation_action", data)

    def ping(self) -> None:
        """Send a ping."""
        self._sent["ping"] = time.perf_counter()
        self._send("ping", {})

    def leave(self) -> None:
        """Close, and report every message that never came back."""
        self._leaving = True
        for _ in range(len(self._sent)):
            nonce, began = self._sent.popitem()
            self._report(_name(nonce), _ms_since(began), TimeoutError("no answer before leaving"))
        if self._socket is not None:
            self._socket.close(timeout=2)
        if self._reader is not None:
            self._reader.kill(block=False)

    @property
    def is_waiting(self) -> bool:
        """Whether something sent has no answer yet."""
        return bool(self._sent)

    def _send(self, kind: str, data: dict[str, Any]) -> None:
        assert self._socket is not None
        self._socket.send(json.dumps({"type": kind, "data": data}))

    def _read(self) -> None:
        assert self._socket is not None
        self._socket.settimeout(None)
        try:
            while text := self._socket.recv():
                self._handle(json.loads(text), len(text))
        except (OSError, websocket.WebSocketException):
            pass  # told below, unless it was us who left
        self._joined.set()
        if not self._leaving and self.connection_count:
            self._report("connection", 0, ConnectionLost("closed by the other side"))

    def _handle(self, frame: dict[str, Any], length: int) -> None:
        data = frame["data"]
        handlers: dict[str, Callable[[dict[str, Any], int], None]] = {
            "room_joined": self._on_joined,
            "chat_message": self._on_message,
            "moderation_action": self._on_moderation,
            "pong": lambda data, length: self._answered("ping", None, length),
            "error": self._on_error,
        }
        handler = handlers.get(frame["type"])
        if handler is not None:
            handler(data, length)

    def _on_joined(self, data: dict[str, Any], _length: int) -> None:
        self.connection_count = data["connection_count"]
        self._last_id = data["last_id"]
        self._joined.set()

    def _on_message(self, data: dict[str, Any], length: int) -> None:
        if data["prev_id"] != self._last_id:
            self._report("gap", 0, MissedMessage(f"{data['prev_id']} after {self._last_id}"))
        self._last_id = data["id"]
        if not data["username"].startswith(MODERATOR_NAME):
            self.last_speaker = data["user_id"]
        self._answered(data.get("nonce", ""), None, length)

    def _on_moderation(self, data: dict[str, Any], length: int) -> None:
        if data["moderator_user_id"] == self._user_id:
            self._answered(_action_key(data["action"], data["target_user_id"]), None, length)

    def _on_error(self, data: dict[str, Any], length: int) -> None:
        self._refusal = data["message"]
        self._joined.set()
        if data["code"] == "muted_or_banned":
            self._answered(data.get("nonce", ""), None, length, name="muted")
        else:
            self._answered(data.get("nonce", ""), Refused(data["message"]), length)

    def _answered(self, nonce: str, failure: Exception | None, length: int, *, name: str = "") -> None:
        began = self._sent.pop(nonce, None)
        if began is not None:
            self._report(name or _name(nonce), _ms_since(began), failure, length)


def _action_key(action: str, target_user_id: int | None) -> str:
    return f"{_ACTION}{action}-{target_user_id}"


def _name(nonce: str) -> str:
    """Under which name the answer to this is counted."""
    if nonce == "ping":
        return "ping"
    return "moderate" if nonce.startswith(_ACTION) else "message"


def _ms_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000
