"""nats-py's client, which does not fall back to plain text, and the end of tasks that wait for it. The same text in
rooms and moderation."""

import asyncio
from collections.abc import Collection

from nats.aio.client import Client
from nats.errors import Error

_CANCEL_AGAIN_S = 0.5


class SecuredClient(Client):
    """Replaces a private method of nats-py, whose version is pinned."""

    def _connect_command(self) -> bytes:
        # Where the server offers no TLS, the password would be sent in plain text.
        assert self._current_server is not None
        wants_tls = "tls" in self.options or self._current_server.uri.scheme == "tls"
        if wants_tls and not self._server_info.get("tls_required"):
            raise Error("nats: TLS is wanted and the server does not demand it")
        return super()._connect_command()


async def end(tasks: Collection["asyncio.Task[None]"]) -> None:
    """Cancel tasks and wait for them, again every half second: a cancellation can get lost, since asyncio.wait_for of
    Python 3.11, with which nats-py connects, forgets one that arrives together with what it waits for."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_CANCEL_AGAIN_S)
