"""python-socketio on uvicorn: its own rooms, the WebSocket transport alone."""

# mypy: ignore-errors
# python-socketio is installed in a virtual environment of its own, and not where types are checked.

import sys
from typing import Any
from urllib.parse import parse_qs

import chat_frame
import socketio
import uvicorn

server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], cors_allowed_origins="*")
where: dict[str, tuple[int, int]] = {}


@server.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    """Join the room of the query; told after the acknowledgement of the connection."""
    query = parse_qs(environ["QUERY_STRING"])
    room, number = int(query["room"][0]), int(query["number"][0])
    where[sid] = room, number
    await server.enter_room(sid, f"room-{room}")


@server.event
async def disconnect(sid: str, reason: str) -> None:
    """Leave."""
    del where[sid]


@server.on("m")
async def chat(sid: str, frame: dict[str, Any]) -> None:
    """One message to everybody in the room."""
    room, number = where[sid]
    await server.emit("m", chat_frame.message(frame["data"]["message"], number, room), room=f"room-{room}")


uvicorn.run(
    socketio.ASGIApp(server),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    log_level="error",
    backlog=4096,
    ws="websockets",
    ws_per_message_deflate=False,
)
