"""A channel that presents the service token, and a certificate. The same text in ws_edge and rooms."""

from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio

from ws_edge.peers import GrpcSecurity


def secured_channel(
    target: str, options: Sequence[tuple[str, Any]], security: GrpcSecurity, *, server_name: str = ""
) -> grpc.aio.Channel:
    """To host:port, or to whatever else a gRPC target may be. `server_name`: whom the server's certificate must name,
    where the target is an address that a name was looked up for."""
    if security.is_encrypted:
        credentials = grpc.ssl_channel_credentials(security.authority, security.key, security.certificate)
        named = [("grpc.ssl_target_name_override", server_name)] if server_name else []
        channel = grpc.aio.secure_channel(target, credentials, options=[*options, *named])
    else:
        channel = grpc.aio.insecure_channel(target, options=options)
    return _TokenChannel(channel, security.tokens[0]) if security.tokens else channel


class _TokenChannel(grpc.aio.Channel):
    """Adds the token to the metadata of each call. An interceptor would put a task and a queue between every call and
    its caller, and gRPC's own call credentials want an encrypted channel."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._channel = channel
        self._presented = (("authorization", f"Bearer {token}"),)

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._with_token(self._channel.unary_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._with_token(self._channel.unary_stream(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._with_token(self._channel.stream_unary(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        """See grpc.aio.Channel."""
        return self._with_token(self._channel.stream_stream(*args, **kwargs))

    def _with_token(self, method: Any) -> Any:
        def call(*args: Any, metadata: Any = (), **kwargs: Any) -> Any:
            return method(*args, metadata=(*self._presented, *metadata), **kwargs)

        return call

    async def close(self, grace: float | None = None) -> None:
        """See grpc.aio.Channel."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """See grpc.aio.Channel."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See grpc.aio.Channel."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See grpc.aio.Channel."""
        await self._channel.channel_ready()

    async def __aenter__(self) -> "_TokenChannel":
        """See grpc.aio.Channel."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """See grpc.aio.Channel."""
        await self.close()
