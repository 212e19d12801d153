"""nats-py's client, which does not fall back to plain text. The same text in rooms and moderation."""

from nats.aio.client import Client
from nats.errors import Error


class SecuredClient(Client):
    """Replaces a private method of nats-py, whose version is pinned."""

    def _connect_command(self) -> bytes:
        # Where the server offers no TLS, the password would be sent in plain text.
        assert self._current_server is not None
        wants_tls = "tls" in self.options or self._current_server.uri.scheme == "tls"
        if wants_tls and not self._server_info.get("tls_required"):
            raise Error("nats: TLS is wanted and the server does not demand it")
        return super()._connect_command()
