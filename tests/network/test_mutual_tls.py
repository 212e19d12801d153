"""With certificates the services believe those alone whom their authority signed for."""

from pathlib import Path

import grpc
import pytest
from certificates import Authority, Pair
from network_processes import Starter, health

pytestmark = pytest.mark.slow


def channel(port: int, authority: Authority, pair: Pair | None) -> grpc.Channel:
    mine = (pair.key.read_bytes(), pair.certificate.read_bytes()) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), *mine)
    return grpc.secure_channel(f"localhost:{port}", credentials)


def test_services_that_call_each_other_by_name_are_ready_and_strangers_are_not_answered(
    starter: Starter, tmp_path: Path
) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    # The name alone: an edge looks replicas of moderation up and connects to their addresses.
    pair, foreign = authority.issue("localhost"), other.issue("localhost")
    nats = starter.nats("")
    trio = starter.trio(
        "localhost",
        NATS_URL=nats.url,
        SALON_GRPC_TLS_CERT_FILE=str(pair.certificate),
        SALON_GRPC_TLS_KEY_FILE=str(pair.key),
        SALON_GRPC_TLS_CA_FILE=str(authority.certificate),
    )
    trio.until_ready()
    for service in (trio.rooms, trio.moderation):
        for stranger in (None, foreign):
            with channel(service.port, authority, stranger) as link:
                assert health(service.port, "live", link) == 0
        assert health(service.port, "live") == 0
        with channel(service.port, authority, pair) as link:
            assert health(service.port, "live", link) == 1
