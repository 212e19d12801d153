"""What picows is given in place of the transport and the logger: it may answer the handshake, and nothing else."""

import asyncio


class ParserSide:
    """Keeps the close frame with which the parser gives up, which picows tells by an error in its log. Picows parses
    one frame ahead: it refuses a frame before it has handed out the one before, which may need an answer first."""

    __slots__ = ("_transport", "get_extra_info", "refusal")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.get_extra_info = transport.get_extra_info
        self.refusal: bytes | None = None
        """The close frame, encoded; empty until picows has made it; None while the parser is well."""

    def write(self, data: bytes) -> None:
        """The answer to the handshake, or the close frame."""
        if self.refusal is None:
            self._transport.write(data)
        else:
            self.refusal = data

    def get_write_buffer_size(self) -> int:
        """Never 0: picows would write to the socket itself, past this class."""
        return 1

    def close(self) -> None:
        """Picows hangs up 10 ms after an error; a client that is sending would never read the close frame."""

    def abort(self) -> None:
        """As close."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  the name is logging's
        """Never: what picows logs contains what the client sent."""
        return False

    def info(self, *_args: object) -> None:
        """Dropped."""

    debug = warning = log = info

    def error(self, *_args: object) -> None:
        """The parser refuses what it read; its close frame comes next."""
        self.refusal = b""

    exception = error
