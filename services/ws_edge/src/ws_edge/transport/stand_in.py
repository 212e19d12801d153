"""The receiver of a client that could not be received."""

from ws_edge.ports import Transport
from ws_edge.transport.socket import INTERNAL_ERROR


class FailedArrival:
    """Closes as soon as the handshake is answered."""

    frame_limit_bytes = 0

    def connected(self, transport: Transport) -> None:
        """Say that the fault is ours."""
        transport.close(INTERNAL_ERROR)

    def receive_text(self, payload: bytes) -> None:
        """Too late."""

    def receive_binary(self) -> None:
        """Too late."""

    def receive_part(self) -> None:
        """Too late."""

    def congestion_changed(self, is_congested: bool) -> None:
        """Nothing is sent."""

    def lost(self) -> None:
        """Nothing to release."""
