"""The chat that people write first: FastAPI, a dictionary of rooms, `await send_text` in a loop."""

# mypy: ignore-errors
# FastAPI is installed in a virtual environment of its own, and not where types are checked.

import json
import sys

import chat_frame
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
rooms: dict[int, list[WebSocket]] = {}


@app.websocket("/room/{room}/{number}")
async def chat(websocket: WebSocket, room: int, number: int) -> None:
    """One member of a room, until it leaves."""
    await websocket.accept()
    members = rooms.setdefault(room, [])
    members.append(websocket)
    await websocket.send_text(chat_frame.dump(chat_frame.joined(room, len(members))))
    try:
        while True:
            frame = json.loads(await websocket.receive_text())
            text = chat_frame.dump(chat_frame.message(frame["data"]["message"], number, room))
            for member in list(members):
                await member.send_text(text)
    except (WebSocketDisconnect, RuntimeError):
        pass
    finally:
        members.remove(websocket)


uvicorn.run(
    app,
    host="127.0.0.1",
    port=int(sys.argv[1]),
    log_level="error",
    backlog=4096,
    ws="websockets",
    ws_per_message_deflate=False,
)
