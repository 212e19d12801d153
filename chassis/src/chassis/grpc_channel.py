"""gRPC channels to other services: they present the service token or a certificate, and find a restarted peer soon."""

import json
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio

from chassis.grpc_security import GrpcSecurity

_OPTIONS = (
    # A service that was restarted is found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A peer that vanished without a word is noticed.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
    # A batch of snapshots of large rooms exceeds the default of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Several addresses behind one name share the calls. It is looked up again when a connection is lost, by default not
    # before half a minute has passed, in which all replicas may have been replaced.
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    ("grpc.lb_policy_name", "round_robin"),
    # Repeating is decided call by call, or by a retry_policy. Otherwise only what no server has seen is sent again by
    # itself, as a call that begins while the service closes the connection for its age.
    ("grpc.enable_retries", 1),
    # Channels of one process do not share connections, nor the backoff of another's.
    ("grpc.use_local_subchannel_pool", 1),
)


def retry_policy(attempts: int) -> tuple[str, str]:
    """An option of open_channel: a call that is answered with UNAVAILABLE, or that cannot be sent, is sent again within
    its deadline, by `round_robin` to the next address of the target. `attempts` in all, 2 to 5. An attempt that is not
    answered is not given up before the deadline."""
    policy = {
        "maxAttempts": attempts,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return ("grpc.service_config", json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]}))


def open_channel(
    target: str, security: GrpcSecurity, *, options: Sequence[tuple[str, Any]] = (), server_name: str = ""
) -> grpc.aio.Channel:
    """A channel to host:port, or to whatever else a gRPC target may be; connects when it is used. `options` replace
    the chassis' own of the same name. `server_name`: whom the server's certificate must name, where the target is an
    address that a name was looked up for."""
    chosen = list((dict(_OPTIONS) | dict(options)).items())
    if security.is_encrypted:
        credentials = grpc.ssl_channel_credentials(security.authority, security.key, security.certificate)
        named = [("grpc.ssl_target_name_override", server_name)] if server_name else []
        channel = grpc.aio.secure_channel(target, credentials, options=[*chosen, *named])
    else:
        channel = grpc.aio.insecure_channel(target, options=chosen)
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
