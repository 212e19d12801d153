"""What picows is given in place of the transport and the logger: it may write, but neither log nor hang up."""

import asyncio


class ParserSide:
    """Takes note that the parser gave up, which picows tells by an error in its log."""

    __slots__ = ("get_extra_info", "get_write_buffer_size", "has_failed", "write")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.get_extra_info = transport.get_extra_info
        self.get_write_buffer_size = transport.get_write_buffer_size
        self.write = transport.write
        self.has_failed = False

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
        """The parser refused what it read and has sent its close frame."""
        self.has_failed = True

    exception = error
