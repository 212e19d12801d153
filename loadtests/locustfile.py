"""Locust users for Salon. SCENARIO chooses one: many_small_rooms, one_huge_room or reconnect_storm."""

# mypy: allow-untyped-calls, allow-untyped-decorators, allow-subclassing-any
# locust is installed in a virtual environment of its own, and not where types are checked.

import itertools
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import gevent
import jwt
import websocket
from locust import User, between, events, task
from locust.exception import RescheduleTask

from loadtests.chat_client import MODERATOR_NAME, ChatClient, NotJoined
from loadtests.thresholds import THRESHOLDS, failures

URL = os.environ.get("URL", "ws://127.0.0.1:8000")
SCENARIO = os.environ.get("SCENARIO", "many_small_rooms")
SECRET = os.environ.get("JWT_SECRET", "salon-development-secret-not-for-production")
ROOM_SIZE = 5
STORM_ROOMS = 100
THINKS_BETTER_OF_IT = 0.1
"""How often somebody types and says nothing."""
RUN = f"{int(time.time()):x}"

_user_ids = itertools.count(random.randrange(1_000_000, 2**40))
_seats = itertools.count()


def token(user_id: int, *, may_moderate: bool) -> str:
    """Good for an hour."""
    claims = {
        "user_id": user_id,
        "username": f"{MODERATOR_NAME if may_moderate else 'load_'}{user_id}",
        "roles": ["moderator"] if may_moderate else [],
        "exp": int(time.time()) + 3600,
    }
    return jwt.encode(claims, SECRET, algorithm="HS256")


class ChatUser(User):
    """Somebody in a room: comes, types, talks, moderates where they may, steps out and comes back. The scenarios
    differ in the room, and in how often which of these is done."""

    abstract = True

    def on_start(self) -> None:
        """Take the next seat and come in."""
        self.seat = next(_seats)
        self._user_id = next(_user_ids)
        self._token = token(self._user_id, may_moderate=self.may_moderate())
        self._nonces = itertools.count()
        self._client: ChatClient | None = None
        self.come_in()

    def on_stop(self) -> None:
        """Leave, after a moment for what is still on its way."""
        self.leave()

    def room(self) -> str:
        """The slug to join."""
        raise NotImplementedError

    def may_moderate(self) -> bool:
        """Whether this seat is a moderator's."""
        raise NotImplementedError

    def come_in(self) -> None:
        """Join, again and again with growing pauses while refused."""
        for pause_s in (0.5, 1, 2, 4, 8):
            url = f"{URL}/chat/ws/room/{self.room()}?token={self._token}"
            client = ChatClient(url, self._user_id, self._report)
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
        self._await_answers(client)
        client.leave()

    def chat(self) -> None:
        """Type, and mostly say something then."""
        with self._inside() as client:
            client.type(True)
            gevent.sleep(random.uniform(0.1, 0.5))
            if random.random() < THINKS_BETTER_OF_IT:
                client.type(False)
            else:
                client.say("The quick brown fox jumps over the lazy dog.", f"{self._user_id}-{next(self._nonces)}")

    def moderate(self) -> None:
        """Mute who spoke last, and let them speak again a moment later."""
        with self._inside() as client:
            target = client.last_speaker
            if target is None or not self.may_moderate():
                return
            client.moderate("mute", target)
            self._await_answers(client)
            gevent.sleep(random.uniform(0.5, 1))
            client.moderate("unmute", target)

    @contextmanager
    def _inside(self) -> Iterator[ChatClient]:
        """The connection; where it was lost this user comes in again, now or the next time."""
        if self._client is None:
            self.come_in()
        if self._client is None:
            raise RescheduleTask
        try:
            yield self._client
        except (OSError, websocket.WebSocketException):
            self.leave()

    @staticmethod
    def _await_answers(client: ChatClient) -> None:
        for _ in range(20):
            if not client.is_waiting:
                break
            gevent.sleep(0.1)

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

    def room(self) -> str:
        """Filled one after the other."""
        return f"load-{RUN}-{self.seat // ROOM_SIZE}"

    def may_moderate(self) -> bool:
        """One in each room."""
        return self.seat % ROOM_SIZE == 0

    @task(10)
    def talk(self) -> None:
        """Say something."""
        self.chat()

    @task(2)
    def keep_order(self) -> None:
        """Mute somebody for a moment."""
        self.moderate()

    @task(1)
    def step_out_and_in(self) -> None:
        """Leave the room and come back."""
        self.leave()
        self.come_in()


class OneHugeRoom(ChatUser):
    """Everybody in one room, a few of them talking: does everybody hear it, and how soon does who said it?"""

    abstract = SCENARIO != "one_huge_room"
    wait_time = between(30, 60)

    def room(self) -> str:
        """The same for all."""
        return f"load-{RUN}-huge"

    def may_moderate(self) -> bool:
        """One in twenty."""
        return self.seat % 20 == 0

    @task(10)
    def talk(self) -> None:
        """Say something; moderators mute the one before them first."""
        self.moderate()
        self.chat()

    @task(1)
    def step_out_and_in(self) -> None:
        """Leave the room and come back."""
        self.leave()
        self.come_in()


class ReconnectStorm(ChatUser):
    """Everybody loses the connection at once, every 20 seconds: how long until all are back, and talk again?"""

    abstract = SCENARIO != "reconnect_storm"
    wait_time = between(0, 0.1)
    every_s: ClassVar[float] = 20

    def room(self) -> str:
        """A hundred rooms."""
        return f"load-{RUN}-{self.seat % STORM_ROOMS}"

    def may_moderate(self) -> bool:
        """The first of each room."""
        return self.seat < STORM_ROOMS

    @task
    def fall_out_and_come_back(self) -> None:
        """Wait for the next full period of the clock, which is the same for everybody; then go on talking."""
        gevent.sleep(self.every_s - time.time() % self.every_s)
        self.leave()
        began = time.perf_counter()
        self.come_in()
        if self._client is not None:
            self._report("back", (time.perf_counter() - began) * 1000)
        self.chat()
        self.moderate()


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """The run fails where a threshold is passed, and says which."""
    found = failures(environment.stats, THRESHOLDS[SCENARIO])
    found += [f"{error['msg']} ({error['count']} times)" for error in environment.runner.exceptions.values()]
    for line in found:
        print(f"THRESHOLD {line}")
    environment.process_exit_code = 1 if found else 0
