"""How the edge opens gRPC channels."""

import grpc.aio

from ws_edge.adapters.secured_channel import secured_channel
from ws_edge.peers import GrpcSecurity

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
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
    # Repeating is decided here, call by call. Only what no server has seen is sent again by itself, as a call that
    # begins while the service closes the connection for its age.
    ("grpc.enable_retries", 1),
    # Channels of one process do not share connections, nor the backoff of another's.
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(target: str, security: GrpcSecurity, *, server_name: str = "") -> grpc.aio.Channel:
    """See secured_channel."""
    return secured_channel(target, _OPTIONS, security, server_name=server_name)
