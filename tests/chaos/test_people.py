"""The listener of a run puts together what a client has to, and says where it could not."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from chaos.history import Message, Told
from chaos.people import Doors, Link, Listener, Way
from chat_client import Frame, person
from tcp_line import Fate, TcpLine

from tools.ports import held_port


class ScriptedLink:
    """A connection on which history has these messages, and other frames come before each page."""

    def __init__(self, kept: Sequence[int], meanwhile: Sequence[Frame] = ()) -> None:
        self.joined: Frame = {"last_id": max(kept, default=0), "epoch": "1", "recovered": False}
        self.began_s = 0.0
        self._kept = kept
        self._frames = list(meanwhile)

    async def send(self, type_: str, *, limit: int, before: int = 10**9) -> None:
        below = [number for number in self._kept if number < before]
        page = [message(number)["data"] for number in below[-limit:]]
        self._frames.append({"type": type_, "data": {"messages": page, "has_more": len(below) > limit}})

    async def receive(self, within_s: float) -> Frame | None:
        return self._frames.pop(0)


def message(number: int, prev_id: int | None = None) -> Frame:
    place = {} if prev_id is None else {"prev_id": prev_id}
    return {"type": "chat_message", "data": {"id": number, "message": f"ana/{number}", **place}}


def listener(last: int, link: ScriptedLink) -> Listener:
    found = Listener("room", person("li"), Way(Doors([])), since=last, last=last, connections=1)
    found.link = cast(Link, link)
    return found


async def take(who: Listener, *frames: Frame) -> list[int]:
    """The ids that it has afterwards."""
    for frame in frames:
        await who._take(frame)
    return [entry.id for entry in who.entries]


async def test_a_gap_is_filled_from_history_and_what_came_meanwhile_follows() -> None:
    who = listener(2, ScriptedLink([1, 2, 3, 4, 5], [message(6, 5)]))
    assert await take(who, message(5, 4)) == [3, 4, 5, 6]
    assert who.view.told == (Told(2, 3, others_only=True),)
    assert [len(reading.entries) for reading in who.readings] == [5]


async def test_what_history_no_longer_has_is_told() -> None:
    who = listener(2, ScriptedLink([7, 8]))
    assert await take(who, message(8, 7)) == [7, 8]
    assert who.view.told == (Told(2, 7),)


async def test_history_is_read_page_by_page() -> None:
    who = listener(10, ScriptedLink(range(1, 251)))
    assert await take(who, message(250, 249)) == list(range(11, 251))
    assert len(who.readings) == 3


async def test_entries_without_a_gap_need_no_history() -> None:
    who = listener(2, ScriptedLink([]))
    deletion = {"type": "message_deleted", "data": {"id": 4, "prev_id": 3, "message_id": 3}}
    assert await take(who, message(3, 0), deletion, {"type": "user_joined", "data": {"username": "x"}}) == [3, 4]
    assert [(entry.message, entry.deletes) for entry in who.entries] == [(Message("ana", 3), None), (None, 3)]
    assert who.present == {"x": 1}


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An echo."""
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


async def test_a_line_passes_halves_and_holds_what_it_is_told_to() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    line = TcpLine([held_port(), server.sockets[0].getsockname()[1]])
    await line.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    writer.write(b"whole")
    assert await reader.readexactly(5) == b"whole"
    line.hold()
    writer.write(b"later")
    assert not await asyncio.wait_for(_nothing(reader), 5)
    line.go_on()
    assert await reader.readexactly(5) == b"later"
    writer.close()
    line.fate = lambda: Fate(ends_after_bytes=4)
    reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
    writer.write(b"halved")
    assert await reader.read() == b"hal"
    assert line.drops == 1
    writer.close()
    await line.cut()
    server.close()


async def _nothing(reader: asyncio.StreamReader) -> bytes:
    """What comes within some turns of the loop."""
    for _ in range(100):
        await asyncio.sleep(0)
    return bytes(cast(Any, reader)._buffer)
