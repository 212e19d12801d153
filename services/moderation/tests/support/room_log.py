"""A room's log on a real server, as edges make it and write into it, and use cases that work on it."""

import itertools
import json
from base64 import b64decode
from collections.abc import Callable, Sequence
from typing import Any

import nats
from classifiers_at_hand import ClassifiersAtHand
from nats.aio.client import Client

from chassis.database import Database
from chassis.nats_connection import NatsAccess, NatsConnection
from moderation.adapters.log import NatsLog
from moderation.adapters.store.outbox import TortoiseOutbox
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.domain.admission import Admission, Limits, Now
from moderation.domain.commands import ErasureOrder, SanctionOrder
from moderation.domain.erasures import ErasureCommand, ErasureKind, LogRef, Origin
from moderation.domain.feed import FeedHead
from moderation.domain.holds import Hold
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.pins import PinAction, PinCommand, PinOrder
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.revocations import Revocation
from moderation.domain.roles import RoomRoles
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.sanctions import Action, Command, SanctionEvent, Scope
from moderation.domain.undo import UndoCommand, UndoOrder
from moderation.domain.warnings import RoomWarning
from moderation.ports import Ports
from salon.events.v1 import events_pb2 as pb

PARTITION = 3
LOG = LogRef(PARTITION, 7, 21)
OTHER = LogRef(PARTITION, 8, 22)
FIRST_SEQUENCE = 17_000_000_000_000
STREAM = f"SALON_LOG_{PARTITION}"
ADMIN, MODERATOR = Moderator(1, Rank.ADMIN), Moderator(2, Rank.MODERATOR)
ANA = Target(5, "")
_keys = itertools.count(1)


class Room:
    """What an edge does with the log of a room."""

    def __init__(self, client: Client, log: LogRef = LOG) -> None:
        self.client = client
        self.log = log
        self.subject = f"salon.v1.log.{log.partition}.{log.room_id}.{log.life}"

    async def say(self, text: str, user_id: int = 5, *, username: str = "", nonce: bool = True) -> int:
        """The id of the message."""
        username = username or (f"user_{user_id}" if user_id else "Anonymous_10.0.0.5")
        entry = pb.LogEntry(message=pb.ChatMessage(text=text, user_id=user_id, username=username))
        return await self.put(entry, {"Nats-Msg-Id": f"key{next(_keys)}"} if nonce else None)

    async def put(self, entry: pb.LogEntry, headers: dict[str, str] | None = None) -> int:
        ack = await self.client.request(self.subject, entry.SerializeToString(), timeout=30, headers=headers)
        return int(json.loads(ack.data)["seq"]) * 256 + self.log.partition

    async def entries(self, ending: str = "") -> dict[int, pb.LogEntry]:
        """By id, in order."""
        found: dict[int, pb.LogEntry] = {}
        sequence = 1
        while True:
            query = {"seq": sequence, "next_by_subj": self.subject + ending}
            answer = await api(self.client, f"STREAM.MSG.GET.{STREAM}", query)
            if "message" not in answer:
                return found
            sequence = answer["message"]["seq"] + 1
            entry = pb.LogEntry.FromString(b64decode(answer["message"].get("data", "")))
            found[(sequence - 1) * 256 + self.log.partition] = entry

    async def erasures(self) -> list[pb.LogEntry]:
        return list((await self.entries(".erasures")).values())

    async def texts(self) -> list[str]:
        return [e.message.text for e in (await self.entries()).values() if e.WhichOneof("entry") == "message"]


async def api(client: Client, subject: str, query: dict[str, Any]) -> dict[str, Any]:
    reply = await client.request(f"$JS.API.{subject}", json.dumps(query).encode(), timeout=30)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


async def open_room(url: str, *, make: bool = True) -> Room:
    """A client of its own, to be closed by the caller, and the stream of the partition."""
    client = await nats.connect(url, connect_timeout=5, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
    if make:
        await make_stream(client)
    return Room(client)


async def make_stream(client: Client) -> None:
    config = {
        "name": STREAM,
        "subjects": [f"salon.v1.log.{PARTITION}.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "num_replicas": 1,
        "allow_direct": True,
        "max_msgs_per_subject": 20_000,
        "duplicate_window": 120 * 10**9,
        "first_seq": FIRST_SEQUENCE,
        "republish": {
            "src": f"salon.v1.log.{PARTITION}.*.*",
            "dest": "salon.v1.live.{{wildcard(1)}}.{{wildcard(2)}}.log",
        },
    }
    answer = await api(client, f"STREAM.CREATE.{STREAM}", config)
    assert "error" not in answer, answer


class Clock:
    """Time as it is, and as much later as told."""

    def __init__(self, unix_ms: Callable[[], int]) -> None:
        self._unix_ms = unix_ms
        self.ahead_ms = 0

    def now(self) -> Now:
        return Now(0, self._unix_ms() + self.ahead_ms)


class Published:
    is_connected = True

    def __init__(self) -> None:
        self.events: list[SanctionEvent] = []
        self.heads: list[FeedHead] = []
        self.warnings: list[RoomWarning] = []
        self.holds: list[Hold] = []

    async def publish(self, event: SanctionEvent) -> None:
        self.events.append(event)

    async def publish_revocation(self, revocation: Revocation) -> None:
        raise AssertionError("nothing is revoked here")

    async def publish_holds(self, changed: Sequence[Hold]) -> None:
        self.holds += changed

    async def publish_warnings(self, changed: Sequence[RoomWarning]) -> None:
        self.warnings += changed

    async def publish_roles(self, roles: RoomRoles) -> None:
        raise AssertionError("nobody gives roles here")

    async def publish_feed(self, heads: Sequence[FeedHead]) -> None:
        self.heads += heads


def ports_of(database: Database, connection: NatsConnection, clock: Clock) -> Ports:
    """What one replica works with."""
    cache, last_seen, policies = SanctionCache(), LastSeenBuffer(), PolicyCache()
    admission = Admission(Limits(10, 10, 100), cache, last_seen, policies)
    store, outbox, log = TortoiseStore(database), TortoiseOutbox(database), NatsLog(connection)
    return Ports(store, Published(), clock.now, cache, last_seen, admission, outbox, log, policies, ClassifiersAtHand())


def connection_to(url: str) -> NatsConnection:
    return NatsConnection(NatsAccess((url,)), "moderation")


def delete(
    message_id: int,
    by: Moderator = MODERATOR,
    *,
    target_rank: Rank | None = Rank.USER,
    log: LogRef | None = LOG,
    nonce: str = "",
) -> ErasureOrder:
    command = ErasureCommand(ErasureKind.DELETE, by, "live", target_rank, "spam", message_id=message_id)
    return ErasureOrder(command, log, Origin("e" * 32, 9, nonce))


def purge(target: Target = ANA, by: Moderator = MODERATOR, *, target_rank: Rank | None = None) -> ErasureOrder:
    return ErasureOrder(ErasureCommand(ErasureKind.PURGE, by, "live", target_rank, "", target=target), LOG)


def clear(by: Moderator = ADMIN, *, log: LogRef | None = LOG) -> ErasureOrder:
    return ErasureOrder(ErasureCommand(ErasureKind.CLEAR, by, "live", None, ""), log)


def pin(message_id: int, by: Moderator = MODERATOR, *, log: LogRef | None = LOG, nonce: str = "") -> PinOrder:
    return PinOrder(PinCommand(PinAction.PIN, by, "live", message_id, ""), log, Origin("e" * 32, 9, nonce))


def unpin(message_id: int, by: Moderator = MODERATOR, *, log: LogRef | None = LOG, nonce: str = "") -> PinOrder:
    return PinOrder(PinCommand(PinAction.UNPIN, by, "live", message_id, ""), log, Origin("e" * 32, 9, nonce))


def undo(action_id: int, by: Moderator = ADMIN, *, log: LogRef | None = LOG, nonce: str = "") -> UndoOrder:
    return UndoOrder(UndoCommand(by, "live", action_id, ""), log, Origin("e" * 32, 9, nonce))


def ban_with_purge(target: Target = ANA, by: Moderator = ADMIN, *, nonce: str = "") -> SanctionOrder:
    command = Command(by, Action.BAN, target, None, Scope.ROOM, "live", 0, "spam")
    return SanctionOrder(command, LOG, Origin("e" * 32, 9, nonce), purges=True)


def mute_with_purge() -> SanctionOrder:
    command = Command(MODERATOR, Action.MUTE, ANA, None, Scope.ROOM, "live", 10, "spam")
    return SanctionOrder(command, LOG, purges=True)
