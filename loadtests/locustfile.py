"""Locust users for Salon. SCENARIO chooses one: many_small_rooms, one_huge_room or reconnect_storm."""

# mypy: allow-untyped-calls, allow-untyped-decorators, allow-subclassing-any
# locust is installed in a virtual environment of its own, and not where types are checked.

import itertools
import os
import random
import time
from typing import Any, ClassVar

import gevent
import jwt
import websocket
from locust import User, between, events, task

from loadtests.chat_client import ChatClient, NotJoined
from loadtests.thresholds import THRESHOLDS, failures

URL = os.environ.get("URL", "ws://127.0.0.1:8000")
SCENARIO = os.environ.get("SCENARIO", "many_small_rooms")
SECRET = os.environ.get("JWT_SECRET", "salon-development-secret-not-for-production")
ROOM_SIZE = 5
RUN = f"{int(time.time()):x}"

_user_ids = itertools.count(random.randrange(1_000_000, 2**40))
_seats = itertools.count()


def token(user_id: int) -> str:
    """A token for a plain user, good for an hour."""
    claims = {"user_id": user_id, "username": f"load_{user_id}", "exp": int(time.time()) + 3600}
    return jwt.encode(claims, SECRET, algorithm="HS256")


class ChatUser(User):
    """Somebody in a room. The scenarios differ in the room, and in what is done there."""

    abstract = True

    def on_start(self) -> None:
        """Come in."""
        self._user_id = next(_user_ids)
        self._nonces = itertools.count()
        self._client: ChatClient | None = None
        self.come_in()

    def on_stop(self) -> None:
        """Leave, after a moment for what is still on its way."""
        self.leave()

    def room(self) -> str:
        """The slug to join."""
        raise NotImplementedError

    def come_in(self) -> None:
        """Join, again and again with growing pauses while refused."""
        for pause_s in (0.5, 1, 2, 4, 8):
            client = ChatClient(f"{URL}/chat/ws/room/{self.room()}?token={token(self._user_id)}", self._report)
            try:
                client.join()
            except (NotJoined, OSError, websocket.WebSocketException):
                client.leave()
                gevent.sleep(pause_s * random.uniform(0.5, 1.5))
            else:
                self._client = client
                return

    def leave(self) -> None:
        """Wait up to two seconds for answers, then close."""
        client, self._client = self._client, None
        if client is None:
            return
        for _ in range(20):
            if not client.is_waiting:
                break
            gevent.sleep(0.1)
        client.leave()

    def chat(self) -> None:
        """Type, and say something. Comes in again where the connection was lost."""
        if self._client is None:
            self.come_in()
            return
        try:
            self._client.type(True)
            gevent.sleep(random.uniform(0.1, 0.5))
            self._client.say("The quick brown fox jumps over the lazy dog.", f"{self._user_id}-{next(self._nonces)}")
        except (OSError, websocket.WebSocketException):
            self.leave()

    def _report(self, name: str, response_ms: float, failure: Exception | None = None, length: int = 0) -> None:
        self.environment.events.request.fire(
            request_type="WS",
            name=name,
            response_time=response_ms,
            response_length=length,
            exception=failure,
            context={},
        )


class ManySmallRooms(ChatUser):
    """Five people a room, each saying something every few seconds: what does a message cost where few hear it?"""

    abstract = SCENARIO != "many_small_rooms"
    wait_time = between(2, 4)

    def on_start(self) -> None:
        """Take the next seat."""
        self._room = f"load-{RUN}-{next(_seats) // ROOM_SIZE}"
        super().on_start()

    def room(self) -> str:
        """Filled one after the other."""
        return self._room

    @task(10)
    def talk(self) -> None:
        """Say something."""
        self.chat()

    @task(1)
    def step_out_and_in(self) -> None:
        """Leave the room and come back."""
        self.leave()
        self.come_in()


class OneHugeRoom(ChatUser):
    """Everybody in one room, a few of them talking: does everybody hear it, and how soon?"""

    abstract = SCENARIO != "one_huge_room"
    wait_time = between(20, 40)

    def room(self) -> str:
        """The same for all."""
        return f"load-{RUN}-huge"

    @task
    def talk(self) -> None:
        """Say something."""
        self.chat()


class ReconnectStorm(ChatUser):
    """Everybody loses the connection at once, every 20 seconds: how long until all are back?"""

    abstract = SCENARIO != "reconnect_storm"
    wait_time = between(0, 0.1)
    every_s: ClassVar[float] = 20

    def room(self) -> str:
        """A hundred rooms."""
        return f"load-{RUN}-{self._user_id % 100}"

    @task
    def fall_out_and_come_back(self) -> None:
        """Wait for the next full period of the clock, which is the same for everybody."""
        gevent.sleep(self.every_s - time.time() % self.every_s)
        self.leave()
        self.come_in()


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """The run fails where a threshold is passed, and says which."""
    found = failures(environment.stats, THRESHOLDS[SCENARIO])
    for line in found:
        print(f"THRESHOLD {line}")
    environment.process_exit_code = 1 if found else 0
