"""The frame that a member of a room receives, as long as Salon's."""

import itertools
import json
from datetime import UTC, datetime

_ids = itertools.count(1)


def message(text: str, number: int, room: int) -> dict[str, object]:
    """A chat message as Salon's members get it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    id = next(_ids)
    data = {
        "id": id,
        "message": text,
        "username": f"load_{number}",
        "user_id": 1_000_000 + number,
        "timestamp": now,
        "room_id": 1_000_000_000 + room,
        "prev_id": id - 1,
    }
    return {"type": "chat_message", "data": data}


def joined(room: int, count: int) -> dict[str, object]:
    """The first frame of a room."""
    return {"type": "room_joined", "data": {"room_id": room, "connection_count": count, "last_id": 0}}


def dump(frame: dict[str, object]) -> str:
    """Compact JSON."""
    return json.dumps(frame, separators=(",", ":"))
