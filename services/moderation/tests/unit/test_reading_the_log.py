"""Reading a room's log from replicas of a stream of which some lag behind its leader."""

import base64
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
from nats.aio.msg import Msg

from chassis.nats_connection import NatsAccess, NatsConnection
from moderation.adapters import log as module
from moderation.adapters.log import NatsLog
from moderation.domain.commands import OutboxItem
from moderation.domain.erasures import NO_ORIGIN, Erasure, ErasureKind, LoggedMessage, LogRef
from moderation.domain.reports import Neighbours
from moderation.errors import ClaimLost, LogUnavailable
from salon.events.v1 import events_pb2 as pb

LOG = LogRef(3, 7, 21)
SUBJECT = "salon.v1.log.3.7.21"
EMPTY: Mapping[int, Any] = MappingProxyType({})
AT = "2026-11-26T18:34:11.9967797Z"


def payload(sequence: int) -> bytes:
    return pb.LogEntry(message=pb.ChatMessage(text=f"m{sequence}", user_id=5, username="ana")).SerializeToString()


class Stream(NatsLog):
    """Twelve messages, sequences 1 to 12; each answer to a question comes from a replica that has as many as the next
    of `reaches` says, and the leader has them all."""

    def __init__(self, *reaches: int, keys: Mapping[int, str] = EMPTY, payloads: Mapping[int, bytes] = EMPTY) -> None:
        super().__init__(NatsConnection(NatsAccess(()), "test"))
        self.reaches = list(reaches)
        self.keys, self.payloads = keys, payloads
        self.asked: list[dict[str, Any]] = []
        self.leads = self.has_quorum = True
        """Whether who answers leads, else it has nothing; whether anybody can store."""

    async def _batch(self, subject: str, query: dict[str, Any]) -> list[Msg]:
        assert subject == "$JS.API.DIRECT.GET.SALON_LOG_3"
        self.asked.append(query)
        has = self.reaches.pop(0) if self.reaches else 12
        first = query.get("seq", 9)  # what was stored since the time that is asked for begins there
        client: Any = None
        keys = [self.keys.get(n, f"k{n}") for n in range(13)]
        headers = [{"Nats-Sequence": str(n), "Nats-Time-Stamp": AT, "Nats-Msg-Id": keys[n]} for n in range(13)]
        said = [self.payloads.get(n) or payload(n) for n in range(13)]
        return [Msg(client, data=said[n], headers=headers[n]) for n in range(first, has + 1)][:5]

    async def _request(self, subject: str, raw: bytes, headers: dict[str, str] | None) -> dict[str, Any]:
        if subject == "salon.v1.log.3.fence":
            self.leads = self.has_quorum
            return {"stream": "SALON_LOG_3", "seq": 13} if self.has_quorum else {"error": {"description": "no quorum"}}
        if subject == "$JS.API.STREAM.MSG.DELETE.SALON_LOG_3":
            assert json.loads(raw) == {"seq": 13, "no_erase": True}
            raise LogUnavailable("what was stored to find the leader stays where nobody answers")
        assert subject == "$JS.API.STREAM.MSG.GET.SALON_LOG_3"
        if not self.leads:
            return {"error": {"err_code": 10037, "description": "no message found"}}
        data = base64.b64encode(payload(12)).decode()
        return {"message": {"subject": SUBJECT, "seq": 12, "data": data, "time": AT}}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAG_PAUSE_S", 0.0)


Reaches = tuple[int, ...]


@pytest.mark.parametrize("reaches", [(), (3, 3, 12), (0, 0, 5, 2, 12), (12, 12, 4, 0, 12), (11, 11, 11, 11, 11)])
async def test_every_message_is_read_once_whoever_answers(reaches: Reaches) -> None:
    stream = Stream(*reaches)
    read = [message.id async for batch in stream.messages(LOG, 12 * 256 + 3) for message in batch]
    assert read == [n * 256 + 3 for n in range(1, 13)]


@pytest.mark.parametrize("reaches", [(), (8, 8, 10)])
async def test_what_was_stored_since_a_time_is_read_whoever_answers(reaches: Reaches) -> None:
    stream = Stream(*reaches)
    batches = stream.messages(LOG, 12 * 256 + 3, since_ms=1_795_718_051_996)
    read = [message async for batch in batches for message in batch]
    assert [message.key for message in read] == ["k9", "k10", "k11", "k12"]
    assert {message.at_ms for message in read} == {1_795_718_051_996}
    assert stream.asked[0]["start_time"] == "2026-11-26T18:34:11.996Z"


async def test_nothing_behind_the_end_is_given() -> None:
    read = [message.id async for batch in Stream().messages(LOG, 4 * 256 + 3) for message in batch]
    assert read == [n * 256 + 3 for n in range(1, 5)]


async def test_a_replica_that_never_has_what_the_leader_has_is_not_believed() -> None:
    with pytest.raises(LogUnavailable, match="less than it has"):
        async for _ in Stream(*[7] * 1_000).messages(LOG, 12 * 256 + 3):
            pass


def item(made_at_ms: int, *, up_to: int) -> OutboxItem:
    cleared = Erasure(ErasureKind.CLEAR, LOG, 1, NO_ORIGIN, up_to_id=up_to * 256 + 3)
    return OutboxItem(99, "", cleared, 0, 0, made_at_ms, made_at_ms)


async def test_an_entry_is_found_where_it_is_and_nowhere_else() -> None:
    assert await Stream(6, 6).find_entry(item(1_000, up_to=2)) is None
    assert await Stream(6, 6, keys={11: "99.1000"}).find_entry(item(1_000, up_to=2)) == 11 * 256 + 3
    assert await Stream(keys={11: "99.1000"}).find_entry(item(1_000, up_to=12)) is None


async def test_an_entry_of_a_database_that_began_anew_is_not_taken_for_that_of_the_one_before() -> None:
    stored = pb.LogEntry(origin=pb.CommandOrigin(action_id=99), room_cleared=pb.RoomCleared()).SerializeToString()
    stream = Stream(keys={11: "99.1000"}, payloads={11: stored})
    assert await stream.find_entry(item(2_000, up_to=2)) is None


async def test_what_a_leader_of_before_does_not_have_is_asked_of_the_one_that_can_store() -> None:
    stream = Stream()
    stream.leads = False
    found = await stream.find(LOG, 12 * 256 + 3)
    assert found is not None
    assert found.text == "m12"
    stream.leads = False
    assert await stream.last_id(LOG) == 12 * 256 + 3


async def test_where_nobody_can_store_nothing_is_said_to_be_gone() -> None:
    stream = Stream()
    stream.leads = stream.has_quorum = False
    for question in (stream.find(LOG, 12 * 256 + 3), stream.last_id(LOG), stream.find_entry(item(1_000, up_to=2))):
        with pytest.raises(LogUnavailable, match="no quorum"):
            await question


async def test_what_the_stream_refuses_is_not_stored_although_the_answer_has_a_sequence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Stream()
    error: dict[str, Any] = {"code": 503, "err_code": 10023, "description": "insufficient resources"}

    async def refuse(*_: object) -> dict[str, Any]:
        return {"error": error, "stream": "SALON_LOG_3", "seq": 0}

    monkeypatch.setattr(stream, "_request", refuse)
    for attempt in (stream.append(item(1_000, up_to=2)), stream.bar(LOG, "99.1000"), stream.last_id(LOG)):
        with pytest.raises(LogUnavailable, match="insufficient resources"):
            await attempt
    error["err_code"] = 10071
    with pytest.raises(ClaimLost):
        await stream.append(item(1_000, up_to=2), barred_at=7)


class Crowded(Stream):
    """A message behind 20,000 entries that are none."""

    last = 20_001

    async def _batch(self, subject: str, query: dict[str, Any]) -> list[Msg]:
        self.asked.append(query)
        client: Any = None
        cleared = pb.LogEntry(room_cleared=pb.RoomCleared()).SerializeToString()
        sequences = range(query.get("seq", 1), self.last + 1)[:100]
        headers = {n: {"Nats-Sequence": str(n), "Nats-Time-Stamp": AT, "Nats-Msg-Id": f"k{n}"} for n in sequences}
        return [Msg(client, data=payload(n) if n == self.last else cleared, headers=headers[n]) for n in sequences]


async def test_of_a_busy_log_only_so_much_is_read_for_the_messages_before_one() -> None:
    stream = Crowded()
    message = LoggedMessage(stream.last * 256 + 3, 1_795_718_051_996, 5, "ana", "m", "k")
    assert await stream.neighbours(LOG, message, count=5) == Neighbours()
    assert len(stream.asked) < 60


async def test_the_messages_before_one_are_of_the_last_ten_minutes() -> None:
    stream = Stream()
    at_ms = 1_795_718_051_996
    near, far = (LoggedMessage(8 * 256 + 3, at_ms + ms, 5, "ana", "m", "k") for ms in (600_000, 600_001))
    assert (await stream.neighbours(LOG, near, count=5)).before == tuple(n * 256 + 3 for n in range(3, 8))
    assert (await stream.neighbours(LOG, far, count=5)).before == ()
