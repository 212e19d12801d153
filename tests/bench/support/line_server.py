"""A server for the load generator: commands and what members hear are lines, several of them in one frame.

Run as `python line_server.py PORT`. Whoever comes shows a token, and is a member once it has answered a ping.
"""

import asyncio
import json
import sys

from websockets.asyncio.server import ServerConnection, serve

GATHERED_S = 0.01
_rooms: dict[str, set[ServerConnection]] = {}
_waiting: dict[str, list[str]] = {}


async def _member(connection: ServerConnection) -> None:
    connect, subscribe = [json.loads(line) for line in str(await connection.recv()).split("\n")]
    room = subscribe["subscribe"]["channel"]
    assert connect["connect"]["token"].count(".") == 2
    await connection.send("{}")
    assert await connection.recv() == "{}"
    _rooms.setdefault(room, set()).add(connection)
    await connection.send('{"id":1,"connect":{}}\n{"id":2,"subscribe":{"position":7}}')
    try:
        async for frame in connection:
            _waiting.setdefault(room, []).append(json.dumps(json.loads(frame)["publish"]["data"]))
    finally:
        _rooms[room].remove(connection)


async def _write_what_waits() -> None:
    while True:
        await asyncio.sleep(GATHERED_S)
        for room, lines in list(_waiting.items()):
            del _waiting[room]
            frame = "\n".join(['{"id":3,"publish":{}}', *lines, ""])
            for member in list(_rooms[room]):
                await member.send(frame)


async def _main(port: int) -> None:
    async with serve(_member, "127.0.0.1", port, compression=None):
        await _write_what_waits()


asyncio.run(_main(int(sys.argv[1])))
