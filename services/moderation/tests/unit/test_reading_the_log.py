"""Reading a room's log from replicas of a stream of which some lag behind its leader."""

import base64
from typing import Any

import pytest
from nats.aio.msg import Msg

from chassis.nats_connection import NatsAccess, NatsConnection
from moderation.adapters import log as module
from moderation.adapters.log import NatsLog
from moderation.domain.erasures import LogRef
from moderation.errors import LogUnavailable
from salon.events.v1 import events_pb2 as pb

LOG = LogRef(3, 7, 21)
SUBJECT = "salon.v1.log.3.7.21"
AT = "2026-11-26T18:34:11.9967797Z"


def payload(sequence: int) -> bytes:
    return pb.LogEntry(message=pb.ChatMessage(text=f"m{sequence}", user_id=5, username="ana")).SerializeToString()


class Stream(NatsLog):
    """Twelve messages, sequences 1 to 12; each answer to a question comes from a replica that has as many as the next
    of `reaches` says, and the leader has them all."""

    def __init__(self, *reaches: int) -> None:
        super().__init__(NatsConnection(NatsAccess(()), "test"))
        self.reaches = list(reaches)
        self.asked: list[dict[str, Any]] = []

    async def _batch(self, subject: str, query: dict[str, Any]) -> list[Msg]:
        assert subject == "$JS.API.DIRECT.GET.SALON_LOG_3"
        self.asked.append(query)
        has = self.reaches.pop(0) if self.reaches else 12
        first = query.get("seq", 9)  # what was stored since the time that is asked for begins there
        client: Any = None
        headers = [{"Nats-Sequence": str(n), "Nats-Time-Stamp": AT, "Nats-Msg-Id": f"k{n}"} for n in range(13)]
        return [Msg(client, data=payload(n), headers=headers[n]) for n in range(first, has + 1)][:5]

    async def _request(self, subject: str, raw: bytes, headers: dict[str, str] | None) -> dict[str, Any]:
        assert subject == "$JS.API.STREAM.MSG.GET.SALON_LOG_3"
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


async def test_an_entry_is_found_where_it_is_and_nowhere_else() -> None:
    assert await Stream(6, 6).find_entry(LOG, 99, after_id=2 * 256 + 3) is None
    assert await Stream().find_entry(LOG, 99, after_id=12 * 256 + 3) is None
