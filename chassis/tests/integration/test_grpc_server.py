"""grpc_server.py and grpc_channel.py over a real port: who gets in, what a caller reads, what is counted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry
from structlog.contextvars import get_contextvars

from chassis import grpc_channel, grpc_server
from chassis.errors import CannotListen, DatabaseUnavailable
from chassis.grpc_channel import open_channel
from chassis.grpc_security import GrpcSecurity
from chassis.grpc_server import GrpcServer, Status
from chassis.metrics import ServiceMetrics

SERVICE = "test.v1.EchoService"
TOKEN, OLD_TOKEN = "n" * 32, "o" * 32
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STATUSES = {
    KeyError: Status(grpc.StatusCode.NOT_FOUND, "no such thing"),
    DatabaseUnavailable: Status(grpc.StatusCode.UNAVAILABLE, "database away"),
    ValueError: Status(grpc.StatusCode.INVALID_ARGUMENT),
}
FAULTS = {
    b"key": KeyError("secret"),
    b"database": DatabaseUnavailable("secret"),
    b"value": ValueError("name: too long"),
    b"bug": ZeroDivisionError("secret"),
}


class Echo:
    """Answers what it was asked; fails where it is asked to."""

    def __init__(self) -> None:
        self.traces: list[str | None] = []

    async def echo(self, request: bytes, _: Any) -> bytes:
        self.traces.append(get_contextvars().get("trace"))
        if request in FAULTS:
            raise FAULTS[request]
        return request

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        async for request in requests:
            await context.write(await self.echo(request, context))

    def register(self, server: grpc.aio.Server) -> None:
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Stream": grpc.stream_stream_rpc_method_handler(self.stream),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


class World:
    """A server that listens, and what it has counted."""

    def __init__(self, security: GrpcSecurity, *, has_reflection: bool = True, **options: Any) -> None:
        self.echo = Echo()
        self.registry = CollectorRegistry()
        self.server = GrpcServer(
            SERVICE,
            self.echo.register,
            statuses=STATUSES,
            security=security,
            metrics=ServiceMetrics("echo", self.registry),
            has_reflection=has_reflection,
            **options,
        )
        self.port = 0

    def counted(self, method: str, status: str) -> float:
        return self.registry.get_sample_value("salon_echo_calls_total", {"method": method, "status": status}) or 0


@asynccontextmanager
async def serving(security: GrpcSecurity | None = None, **options: Any) -> AsyncIterator[World]:
    world = World(security or GrpcSecurity(), **options)
    world.port = await world.server.start("127.0.0.1", 0)
    try:
        yield world
    finally:
        await world.server.stop(0)


@asynccontextmanager
async def calling(world: World, security: GrpcSecurity | None = None) -> AsyncIterator[grpc.aio.Channel]:
    channel = open_channel(f"127.0.0.1:{world.port}", security or GrpcSecurity())
    yield channel
    await channel.close()


async def call(channel: grpc.aio.Channel, request: bytes, **options: Any) -> Any:
    echo: Any = channel.unary_unary(f"/{SERVICE}/Echo")
    return await echo(request, timeout=5, **options)


async def refusal(channel: grpc.aio.Channel, request: bytes) -> tuple[grpc.StatusCode, str | None]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(channel, request)
    return refused.value.code(), refused.value.details()


async def health(channel: grpc.aio.Channel, name: str) -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name), timeout=5)  # type: ignore[no-untyped-call]
    status: int = answer.status
    return status


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"key", (grpc.StatusCode.NOT_FOUND, "no such thing")),
        (b"database", (grpc.StatusCode.UNAVAILABLE, "database away")),
        (b"value", (grpc.StatusCode.INVALID_ARGUMENT, "name: too long")),
        (b"bug", (grpc.StatusCode.INTERNAL, "internal error")),
    ],
)
async def test_an_exception_becomes_the_status_of_the_table_and_anything_else_is_internal(
    request_: bytes, expected: tuple[grpc.StatusCode, str]
) -> None:
    async with serving() as world, calling(world) as channel:
        assert await refusal(channel, request_) == expected
        assert world.counted("Echo", expected[0].name) == 1


async def test_a_defect_is_logged_with_its_traceback_under_the_callers_trace_and_a_refusal_is_not() -> None:
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        async with serving() as world, calling(world) as channel:
            await refusal(channel, b"key")
            echo: Any = channel.unary_unary(f"/{SERVICE}/Echo")
            with pytest.raises(grpc.aio.AioRpcError):
                await echo(b"bug", timeout=5, metadata=(("traceparent", TRACE),))
    (line,) = [line for line in logs if line["event"] == "call_failed"]
    assert (line["method"], line["trace"]) == ("Echo", TRACE)
    assert isinstance(line["exc_info"], ZeroDivisionError)


async def test_a_call_is_counted_and_held_under_its_trace_alone() -> None:
    async with serving() as world, calling(world) as channel:
        assert await call(channel, b"hello", metadata=(("traceparent", TRACE),)) == b"hello"
        assert await call(channel, b"hello", metadata=(("traceparent", "nonsense"),)) == b"hello"
        assert world.echo.traces == [TRACE, None]
        assert world.counted("Echo", "OK") == 2


async def test_a_stream_is_masked_as_well_and_ends_with_its_status() -> None:
    async with serving() as world, calling(world) as channel:
        stream: Any = channel.stream_stream(f"/{SERVICE}/Stream")(timeout=5)
        await stream.write(b"hello")
        assert await stream.read() == b"hello"
        await stream.write(b"bug")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stream.read()
        assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")
        assert world.counted("Stream", "INTERNAL") == 1


async def test_without_the_token_every_call_but_health_is_refused() -> None:
    unauthenticated = (grpc.StatusCode.UNAUTHENTICATED, "the service token is missing or wrong")
    async with serving(GrpcSecurity((TOKEN, OLD_TOKEN))) as world:
        async with calling(world) as stranger:
            assert await refusal(stranger, b"hello") == unauthenticated
            assert await health(stranger, "live") == health_pb2.HealthCheckResponse.SERVING
            asked = reflection_pb2_grpc.ServerReflectionStub(stranger).ServerReflectionInfo(  # type: ignore[no-untyped-call]
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
            )
            with pytest.raises(grpc.aio.AioRpcError):
                await asked.read()
        async with calling(world, GrpcSecurity(("w" * 32,))) as wrong:
            assert await refusal(wrong, b"hello") == unauthenticated
        for token in (TOKEN, OLD_TOKEN):
            async with calling(world, GrpcSecurity((token,))) as known:
                assert await call(known, b"hello") == b"hello"
    assert world.echo.traces == [None, None]


async def test_health_says_alive_from_the_start_and_ready_when_told() -> None:
    serving_, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with serving() as world, calling(world) as channel:
        assert [await health(channel, name) for name in ("live", "", SERVICE)] == [serving_, not_serving, not_serving]
        await world.server.set_health(is_ready=True, dependencies={"nats": False})
        names = ("live", "", SERVICE, "nats")
        assert [await health(channel, name) for name in names] == [serving_, serving_, serving_, not_serving]


async def test_until_it_is_opened_calls_of_the_contract_are_unavailable_and_health_answers() -> None:
    async with serving(is_open=False) as world, calling(world) as channel:
        assert await refusal(channel, b"hello") == (grpc.StatusCode.UNAVAILABLE, "starting")
        assert await health(channel, "live") == health_pb2.HealthCheckResponse.SERVING
        world.server.open()
        assert await call(channel, b"hello") == b"hello"
    assert world.echo.traces == [None]


async def test_a_connection_ends_at_its_age_so_that_the_channel_looks_for_other_servers() -> None:
    async with serving(connection_age_s=1.0) as world, calling(world) as channel:
        assert await call(channel, b"hello") == b"hello"
        assert channel.get_state() is grpc.ChannelConnectivity.READY
        async with asyncio.timeout(30):
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        assert await call(channel, b"hello", wait_for_ready=True) == b"hello"


async def test_callers_who_are_refused_are_counted_in_one_line() -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving(GrpcSecurity((TOKEN,))) as world, calling(world) as stranger:
            for _ in range(3):
                await refusal(stranger, b"hello")
    (line,) = [line for line in logs if line["event"] == "caller_refused"]
    assert (line["count"], line["method"]) == (1, f"/{SERVICE}/Echo")


async def test_no_more_calls_are_open_at_once_than_the_server_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_server, "CALLS_AT_ONCE", 1)
    async with serving() as world, calling(world) as channel:
        stream: Any = channel.stream_stream(f"/{SERVICE}/Stream")(timeout=60)
        await stream.write(b"hello")
        assert await stream.read() == b"hello"
        code, _ = await refusal(channel, b"hello")
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        stream.cancel()


async def test_reflection_is_there_only_where_it_is_wanted() -> None:
    async with serving(has_reflection=False) as world, calling(world) as channel:
        # Nothing is sent: where the refusal comes before what is sent, gRPC tells of that instead.
        asked = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(timeout=5)  # type: ignore[no-untyped-call]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asked.read()
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_port_that_is_taken_is_refused_by_name() -> None:
    async with serving() as world:
        other = World(GrpcSecurity())
        with pytest.raises(CannotListen, match=rf"^cannot listen on 127\.0\.0\.1:{world.port}$"):
            await other.server.start("127.0.0.1", world.port)
        await other.server.stop(0)


async def test_a_channel_finds_a_server_that_comes_back_on_its_port() -> None:
    async with serving() as world, calling(world) as channel:
        assert await call(channel, b"hello") == b"hello"
        await world.server.stop(0)
        again = World(GrpcSecurity())
        await again.server.start("127.0.0.1", world.port)
        async with asyncio.timeout(10):
            assert await call(channel, b"hello", wait_for_ready=True) == b"hello"
        await again.server.stop(0)


async def test_an_idle_stream_outlives_the_pings_of_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC itself pings at most once a second, and forgives two pings that come too early."""
    allowed: Any = dict(grpc_server._OPTIONS)["grpc.http2.min_ping_interval_without_data_ms"]
    interval: Any = dict(grpc_channel._OPTIONS)["grpc.keepalive_time_ms"]
    assert allowed < interval
    sooner = {"grpc.http2.min_ping_interval_without_data_ms": 500}
    monkeypatch.setattr(grpc_server, "_OPTIONS", list((dict(grpc_server._OPTIONS) | sooner).items()))
    async with serving() as world:
        channel = open_channel(f"127.0.0.1:{world.port}", GrpcSecurity(), options=[("grpc.keepalive_time_ms", 1000)])
        stream: Any = channel.stream_stream(f"/{SERVICE}/Stream")(timeout=60)
        await stream.write(b"hello")
        assert await stream.read() == b"hello"
        await asyncio.sleep(7)  # with the allowance of 5 minutes the fourth ping ended it
        await stream.write(b"again")
        assert await stream.read() == b"again"
        stream.cancel()
        await channel.close()
