"""Where an accepted client goes: what the transport asks of the owner of connections."""

from typing import Protocol

from ws_edge.ports import Receiver


class Gateway(Protocol):
    """The owner of connections. A refusal is a Receiver that writes its error frame and closes once connected."""

    async def arrive_room(self, ref: str, token: str | None, address: str) -> Receiver:
        """Somebody asks for a room; ref is percent-decoded, address the client's IP in full."""

    async def arrive_video(self, video_id: str, token: str | None, address: str) -> Receiver:
        """Somebody asks for a video's room; video_id is percent-decoded."""

    async def arrive_live(self, address: str) -> Receiver:
        """Somebody asks for /live/ws."""

    def turned_away(self, code: str) -> None:
        """Somebody did not come as far as a Receiver: http_<status> where the handshake was refused, `internal` where
        the arrival failed. Or asked too often at /graphql: graphql_429."""
