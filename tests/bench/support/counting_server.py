"""A server for the load generator that tells members how many they are.

Run as `python counting_server.py PORT COUNTED MORE DROPS`. Whoever leaves is counted until COUNTED have come; every
count is told as MORE than it is; when DROPS have come, the first of them is closed. Of rooms above the presence limit
it tells the count again.
"""

import asyncio
import json
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

AGAIN_S = 0.05
PRESENCE_LIMIT = 500
PORT, COUNTED, MORE, DROPS = map(int, sys.argv[1:])
_rooms: dict[str, set[ServerConnection]] = {}
_came: list[ServerConnection] = []
_is_over = asyncio.Event()


def _frame(kind: str, room: set[ServerConnection]) -> str:
    return json.dumps({"type": kind, "data": {"connection_count": len(room) + MORE}}, separators=(",", ":"))


async def _member(connection: ServerConnection) -> None:
    assert connection.request is not None
    room = _rooms.setdefault(connection.request.path, set())
    room.add(connection)
    await connection.send(_frame("room_joined", room))
    _came.append(connection)
    if len(_came) >= COUNTED:
        _is_over.set()
    if len(_came) == DROPS:
        await _came[0].close()
    await connection.wait_closed()
    await _is_over.wait()
    room.remove(connection)


async def _main() -> None:
    async with serve(_member, "127.0.0.1", PORT, compression=None):
        while True:
            await asyncio.sleep(AGAIN_S)
            for room in _rooms.values():
                if len(room) > PRESENCE_LIMIT:
                    broadcast(room, _frame("room_stats", room))


asyncio.run(_main())
