"""Django Channels on uvicorn, with Redis as its layer."""

# mypy: ignore-errors
# Django is installed in a virtual environment of its own, and not where types are checked.

import json
import sys

import chat_frame
import uvicorn
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import re_path

LAYER = {
    "BACKEND": "channels_redis.core.RedisChannelLayer",
    "CONFIG": {"hosts": [f"redis://127.0.0.1:{sys.argv[2]}"], "capacity": 100_000},
}
settings.configure(SECRET_KEY="benchmark", CHANNEL_LAYERS={"default": LAYER}, USE_TZ=True)


class Chat(AsyncWebsocketConsumer):
    """One member of a room."""

    async def connect(self) -> None:
        """Join the group of the room."""
        self.room = int(self.scope["url_route"]["kwargs"]["room"])
        self.number = int(self.scope["url_route"]["kwargs"]["number"])
        await self.channel_layer.group_add(f"room-{self.room}", self.channel_name)
        await self.accept()
        await self.send(chat_frame.dump(chat_frame.joined(self.room, 0)))

    async def disconnect(self, code: int) -> None:
        """Leave the group."""
        await self.channel_layer.group_discard(f"room-{self.room}", self.channel_name)

    async def receive(self, text_data: str) -> None:
        """One message to the group."""
        frame = chat_frame.message(json.loads(text_data)["data"]["message"], self.number, self.room)
        await self.channel_layer.group_send(
            f"room-{self.room}", {"type": "chat.message", "text": chat_frame.dump(frame)}
        )

    async def chat_message(self, event: dict[str, str]) -> None:
        """What the group was sent."""
        await self.send(event["text"])


def application() -> ProtocolTypeRouter:
    """Routes to the consumer; Django is set up first."""
    import django

    django.setup()
    routes = [re_path(r"^room/(?P<room>\d+)/(?P<number>\d+)$", Chat.as_asgi())]
    return ProtocolTypeRouter({"websocket": URLRouter(routes)})


uvicorn.run(
    application(),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    log_level="error",
    backlog=4096,
    ws="websockets",
    ws_per_message_deflate=False,
    lifespan="off",
)
