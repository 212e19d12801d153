"""Who does not present the service token is refused by rooms and moderation; health alone is told to everybody."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from network_processes import Service, Starter, edge_links, health, until

from salon.moderation.v1 import moderation_pb2, moderation_pb2_grpc
from salon.rooms.v1 import rooms_pb2, rooms_pb2_grpc

TOKEN, OLD_TOKEN, WRONG_TOKEN = "t" * 40, "o" * 40, "w" * 40


def presented(token: str | None) -> list[tuple[str, str]]:
    return [] if token is None else [("authorization", f"Bearer {token}")]


def ask(service: Service, channel: grpc.Channel, token: str | None) -> Any:
    """The call that matters most to somebody who should not make it."""
    options: dict[str, Any] = {"timeout": 5, "metadata": presented(token)}
    if service.kind == "rooms":
        rooms = rooms_pb2_grpc.RoomsServiceStub(channel)
        return rooms.ExecuteGraphQL(rooms_pb2.ExecuteGraphQLRequest(query="{ __typename }"), **options)
    moderation = moderation_pb2_grpc.ModerationServiceStub(channel)
    return moderation.ListActive(moderation_pb2.ListActiveRequest(slugs=["live"]), **options)


def refusal(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    code: grpc.StatusCode = refused.value.code()
    return code


@pytest.fixture(params=["rooms", "moderation"])
def guarded(request: pytest.FixtureRequest, starter: Starter) -> Service:
    return starter.service(request.param, SALON_SERVICE_TOKEN=f"{TOKEN},{OLD_TOKEN}").until_serving()


@pytest.fixture
def channel(guarded: Service) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{guarded.port}") as opened:
        yield opened


def test_a_call_needs_one_of_the_tokens_and_health_needs_none(guarded: Service, channel: grpc.Channel) -> None:
    for token in (None, WRONG_TOKEN, "", TOKEN[:-1], f"{TOKEN},{OLD_TOKEN}"):
        assert refusal(lambda t=token: ask(guarded, channel, t)) is grpc.StatusCode.UNAUTHENTICATED
    for token in (TOKEN, OLD_TOKEN):
        ask(guarded, channel, token)
    assert health(guarded.port, "live") == health_pb2.HealthCheckResponse.SERVING
    unknown: Any = channel.unary_unary("/salon.rooms.v1.RoomsService/Nothing")
    assert refusal(lambda: unknown(b"", timeout=5)) is grpc.StatusCode.UNAUTHENTICATED
    reflected = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(  # type: ignore[no-untyped-call]
        iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
    )
    assert refusal(lambda: list(reflected)) is grpc.StatusCode.UNAUTHENTICATED
    if guarded.kind == "moderation":
        admit = moderation_pb2_grpc.ModerationServiceStub(channel).Admit(iter([]), timeout=5)
        assert refusal(lambda: list(admit)) is grpc.StatusCode.UNAUTHENTICATED
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="live"), timeout=5)  # type: ignore[no-untyped-call]
    assert refusal(lambda: list(watch)) is grpc.StatusCode.UNAUTHENTICATED
    assert guarded.has_logged("caller_refused")
    assert not [secret for secret in (TOKEN, OLD_TOKEN, WRONG_TOKEN) if secret in guarded.process.text()]


@pytest.mark.slow
def test_reflection_answers_in_development_and_not_in_production(starter: Starter) -> None:
    for kind in ("rooms", "moderation"):
        for env, code in (("development", None), ("production", grpc.StatusCode.UNIMPLEMENTED)):
            service = starter.service(kind, SALON_ENV=env, SALON_SERVICE_TOKEN=TOKEN).until_serving()
            with grpc.insecure_channel(f"127.0.0.1:{service.port}") as channel:
                stub = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[no-untyped-call]
                question = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
                answers = stub.ServerReflectionInfo(question, timeout=5, metadata=presented(TOKEN))
                if code is None:
                    assert list(answers)
                else:
                    assert refusal(lambda a=answers: list(a)) is code


@pytest.mark.slow
def test_an_edge_works_with_the_token_and_one_with_another_says_who_refuses_it(starter: Starter) -> None:
    nats = starter.nats("")
    settings = {"NATS_URL": nats.url, "SALON_SERVICE_TOKEN": TOKEN}
    trio = starter.trio(**settings)
    trio.until_ready()
    links = edge_links(trio.rooms, trio.moderation)
    stranger = starter.service("ws_edge", **settings | links | {"SALON_SERVICE_TOKEN": WRONG_TOKEN}).until_serving()
    until(
        lambda: {"rooms_heartbeat_failed", "moderation_stream_failed"} <= {str(e["event"]) for e in stranger.events()},
        "both refusals are in the log",
        [stranger.process],
    )
    reasons = {str(e["event"]): e.get("reason") for e in stranger.events()}
    assert reasons["rooms_heartbeat_failed"] == reasons["moderation_stream_failed"] == "UNAUTHENTICATED"
    assert stranger.failing() >= {"rooms", "moderation"}
    assert not [s for s in (TOKEN, WRONG_TOKEN) for p in (*trio.processes, stranger.process) if s in p.text()]
