"""docker-compose.yml on a real engine: what an operator does, what breaks, and what may not be seen."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import jwt
import pytest
from compose_load import Load
from compose_stack import EVERY_SERVICE, ROOT, SERVICES, Stack, compose_commands, docker, run, say, wait_until
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.containers

LARGEST_IMAGE_BYTES = 150_000_000
SECRETS = ("jwt_secret", "postgres_password", "service_token", "nats_ws_edge", "nats_rooms", "nats_moderation")


def test_each_container_is_hardened_and_bounded(stack: Stack) -> None:
    for shown in stack.inspect():
        host = shown["HostConfig"]
        assert host["ReadonlyRootfs"], shown["Name"]
        assert host["CapDrop"] == ["ALL"], shown["Name"]
        assert not host["CapAdd"], shown["Name"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"], shown["Name"]
        assert host["Memory"] == 512 * 1024 * 1024, shown["Name"]
        assert host["PidsLimit"] == 256, shown["Name"]
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}, shown["Name"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped", shown["Name"]


def test_no_container_keeps_anything_in_a_volume_without_a_name(stack: Stack) -> None:
    volumes = {m["Name"] for shown in stack.inspect() for m in shown["Mounts"] if m["Type"] == "volume"}
    assert volumes == {f"{stack.project}_nats", f"{stack.project}_postgres"}


def test_the_one_port_that_others_reach_is_the_load_balancers_and_metrics_are_not_on_it(stack: Stack) -> None:
    published = {
        shown["Config"]["Labels"]["com.docker.compose.service"]: sorted(
            port for port, bound in shown["NetworkSettings"]["Ports"].items() if bound
        )
        for shown in stack.inspect()
    }
    assert published == {service: ["8000/tcp"] if service == "balancer" else [] for service in EVERY_SERVICE}
    assert httpx.get(f"{stack.http}/metrics", trust_env=False).status_code == 404
    edge = stack.containers("app")[0]
    read = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9100/metrics').read().decode())"
    assert "salon_ws_edge_connections" in stack.python(edge, read)


@pytest.mark.parametrize("folder", SERVICES.values())
def test_an_image_is_small_and_has_neither_pip_nor_setuptools(stack: Stack, folder: str) -> None:
    image = json.loads(docker("image", "inspect", f"salon/{folder}"))[0]
    say(f"salon/{folder}: {image['Size'] / 1e6:.0f} MB")
    assert image["Size"] <= LARGEST_IMAGE_BYTES
    assert not image["Config"].get("Volumes")
    find = "import importlib.util as u; print([n for n in ('pip', 'setuptools', 'ensurepip') if u.find_spec(n)])"
    asked = ("run", "--rm", "--network=none", "--entrypoint=python", f"salon/{folder}", "-c", find)
    assert docker(*asked).splitlines()[-1] == "[]"


def test_services_and_nats_refuse_who_does_not_prove_who_they_are(stack: Stack) -> None:
    edge = stack.containers("app")[0]
    script = """
import asyncio, grpc, nats
from salon.rooms.v1 import rooms_pb2 as messages, rooms_pb2_grpc as stubs
try:
    with grpc.insecure_channel("rooms:50051") as channel:
        stubs.RoomsServiceStub(channel).ExecuteGraphQL(messages.ExecuteGraphQLRequest(), timeout=5)
except grpc.RpcError as refusal:
    print(refusal.code().name)

async def main():
    try:
        await nats.connect("nats://nats:4222", allow_reconnect=False, connect_timeout=5, error_cb=ignore)
    except nats.errors.Error as refusal:
        print(refusal)

async def ignore(_):
    pass

asyncio.run(main())
"""
    said = stack.python(edge, script)
    assert "UNAUTHENTICATED" in said
    assert "Authorization Violation" in said


def test_everybody_behind_the_load_balancer_has_an_address_of_their_own(stack: Stack) -> None:
    """Two anonymous people in containers of their own; a ban of one leaves the other in."""

    async def story() -> None:
        async with admin_in(stack, "addresses") as admin:
            ids = [await asyncio.to_thread(start_visitor, stack, "addresses") for _ in range(2)]
            try:
                addresses = [address_of(stack, each) for each in ids]
                names = {(await told(admin, "user_joined"))["username"] for _ in ids}
                assert names == {f"Anonymous_{address}" for address in addresses}
                await ban(admin, f"Anonymous_{addresses[0]}")
                await told(admin, "user_left", username=f"Anonymous_{addresses[0]}")
                wait_until("the one who was banned is gone", lambda: not is_running(ids[0]))
                assert "closed 4003" in docker("logs", ids[0])
                assert is_running(ids[1])
            finally:
                docker("rm", "-f", *ids)

    asyncio.run(story())


def test_what_a_client_says_of_its_own_address_is_not_believed(stack: Stack) -> None:
    async def story() -> None:
        async with admin_in(stack, "spoofed") as admin:
            names = []
            for said in ({}, {"X-Forwarded-For": "203.0.113.7"}, {"Forwarded": "for=203.0.113.8"}):
                async with visitor(stack, "spoofed", said):
                    names.append((await told(admin, "user_joined"))["username"])
            assert len(set(names)) == 1
            assert "203.0.113" not in str(names[0])

    asyncio.run(story())


def test_behind_a_proxy_of_ones_own_the_last_address_that_it_adds_is_the_clients(stack: Stack) -> None:
    async def story() -> None:
        async with admin_in(stack, "proxied") as admin:
            names = []
            for last in ("203.0.113.7", "203.0.113.8"):
                async with visitor(stack, "proxied", {"X-Forwarded-For": f"198.51.100.1, {last}"}):
                    names.append((await told(admin, "user_joined"))["username"])
            assert names == ["Anonymous_203.0.113.7", "Anonymous_203.0.113.8"]

    stack.settings["SALON_PROXIES"] = "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"
    try:
        stack.up("--no-deps", "balancer")
        asyncio.run(story())
    finally:
        del stack.settings["SALON_PROXIES"]
        stack.up("--no-deps", "balancer")


@pytest.mark.parametrize("compose", compose_commands(), ids=" ".join)
def test_the_logs_of_app_can_be_followed(stack: Stack, compose: list[str]) -> None:
    following = subprocess.Popen(
        stack.command("logs", "-f", "app", compose=compose),
        cwd=ROOT,
        env=stack.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert following.stdout is not None
    try:
        lines = [following.stdout.readline() for _ in range(2)]
        assert any("app" in line for line in lines), lines
        assert following.poll() is None
    finally:
        following.send_signal(signal.SIGKILL)
        following.wait()
        following.stdout.close()


def test_commands_that_start_nothing_need_no_secrets(stack: Stack) -> None:
    for compose in compose_commands():
        for arguments in (("ps",), ("logs", "--tail=1", "app"), ("config",)):
            without = stack.environment() | {"SALON_SECRETS": "/nonexistent"}
            run(stack.command(*arguments, compose=compose), without)


@pytest.mark.parametrize("service", EVERY_SERVICE)
async def test_a_crash_of_a_container_loses_no_acknowledged_message(stack: Stack, service: str) -> None:
    container = stack.containers(service)[0]
    async with Load(stack, f"kill-{service}") as load:
        await load.during(lambda: stack.kill(container))
    report(f"kill -9 of {service}", load)


@pytest.mark.parametrize("service", EVERY_SERVICE)
async def test_a_container_that_is_made_anew_loses_no_acknowledged_message(stack: Stack, service: str) -> None:
    async with Load(stack, f"anew-{service}") as load:
        before = stack.containers(service)
        await load.during(lambda: stack.up("--no-deps", "--force-recreate", service))
        assert not set(before) & set(stack.containers(service))
    report(f"recreate of {service}", load)


async def test_a_room_lives_on_while_the_only_edge_is_replaced(stack: Stack) -> None:
    async with admin_in(stack, "lives-on") as admin:
        await admin.send(json.dumps({"type": "chat_message", "data": {"message": "before"}}))
        before = await told(admin, "chat_message")
        await asyncio.to_thread(stack.up, "--no-deps", "--force-recreate", "app")
        with pytest.raises(ConnectionClosed):
            await told(admin, "nothing")
        assert admin.close_code == 1012
    async with admin_in(stack, "lives-on") as admin:
        await admin.send(json.dumps({"type": "chat_message", "data": {"message": "after"}}))
        after = await told(admin, "chat_message")
        assert (after["room_id"], after["prev_id"]) == (before["room_id"], before["id"])


async def test_more_edges_share_the_clients_and_fewer_lose_nothing(stack: Stack) -> None:
    read = """
import urllib.request as u
lines = u.urlopen("http://127.0.0.1:9100/metrics").read().decode().splitlines()
print(sum(float(line.split()[-1]) for line in lines if line.startswith("salon_ws_edge_connections")))
"""

    def connections() -> list[float]:
        return [float(stack.python(edge, read).split()[-1]) for edge in stack.containers("app")]

    async with Load(stack, "scale") as load:
        await load.during(lambda: stack.up("--no-deps", "--no-recreate", "--scale", "app=3", "app"))
        assert len(stack.containers("app")) == 3
        async with Load(stack, "scaled") as more:
            await asyncio.to_thread(
                wait_until, "each edge has connections", lambda: min(connections()) >= 3, within_s=20.0
            )
            await more.during(lambda: stack.kill(stack.containers("app")[0]))
            await more.during(lambda: stack.up("--no-deps", "--no-recreate", "--scale", "app=1", "app"))
        report("kill -9 of one of three edges, then two of them gone", more)
        await load.during(lambda: None)
    assert len(stack.containers("app")) == 1
    report("--scale app=3 and app=1", load)


def test_what_is_decided_outlives_the_containers(stack: Stack) -> None:
    # By id: their address is another one in the network that is made anew.
    token = token_of(stack, 9_000_002, "rude")

    async def bans() -> None:
        async with (
            admin_in(stack, "kept") as admin,
            visitor(stack, "kept", {"Authorization": f"Bearer {token}"}) as rude,
        ):
            await told(rude, "room_joined")
            order = {"action": "ban", "target_user_id": 9_000_002}
            await admin.send(json.dumps({"type": "moderation_action", "data": order}))
            with pytest.raises(ConnectionClosed):
                await told(rude, "nothing")

    async def is_still_banned() -> None:
        async with visitor(stack, "kept", {"Authorization": f"Bearer {token}"}) as rude:
            with pytest.raises(ConnectionClosed):
                await told(rude, "nothing")
            assert rude.close_code == 4003

    asyncio.run(bans())
    volumes = docker("volume", "ls", "-q").split()
    run(stack.command("down"), stack.environment() | {"SALON_SECRETS": "/nonexistent"})
    assert docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={stack.project}") == ""
    assert docker("volume", "ls", "-q").split() == volumes
    started = time.monotonic()
    stack.up()
    say(f"up again in {time.monotonic() - started:.0f} s")
    assert docker("volume", "ls", "-q").split() == volumes
    asyncio.run(is_still_banned())


def test_secrets_stand_nowhere(stack: Stack) -> None:
    """After all that happened above: in what the engine shows, and in every line that was logged."""
    texts = {"docker inspect": docker("inspect", *stack.containers()), "logs": stack.run("logs", "--no-color")}
    for container in stack.containers():
        shown = stack.inspect(container)[0]
        texts[f"docker top of {shown['Name']}"] = docker("top", container)
    for folder in SERVICES.values():
        texts[f"history of {folder}"] = docker("history", "--no-trunc", f"salon/{folder}")
    for name in SECRETS:
        secret = stack.secret(name)
        assert [where for where, text in texts.items() if secret in text or secret[:8] in text] == []
    assert "token=" not in texts["logs"]
    assert "Traceback" not in texts["logs"]


def report(what: str, load: Load) -> None:
    """For whoever runs it with -s."""
    say(f"{what}: {load.summary()}")


def token_of(stack: Stack, user_id: int, username: str, *roles: str) -> str:
    """As the site's own backend signs it."""
    claims = {"user_id": user_id, "username": username, "roles": roles, "exp": int(time.time()) + 3600}
    return jwt.encode(claims, stack.secret("jwt_secret"), "HS256")


@asynccontextmanager
async def admin_in(stack: Stack, room: str) -> AsyncIterator[ClientConnection]:
    """Somebody who may ban."""
    token = token_of(stack, 9_000_001, "boss", "admin")
    async with connect(f"{stack.ws}/chat/ws/room/{room}?token={token}", proxy=None) as admin:
        await told(admin, "room_joined")
        yield admin


@asynccontextmanager
async def visitor(stack: Stack, room: str, headers: dict[str, str]) -> AsyncIterator[ClientConnection]:
    """Somebody anonymous, who says this of themselves."""
    address = f"{stack.ws}/chat/ws/room/{room}"
    async with connect(address, additional_headers=headers, proxy=None) as socket:
        yield socket


async def told(socket: ClientConnection, type_: str, **fields: object) -> dict[str, object]:
    """The next frame of this type with these fields."""
    async with asyncio.timeout(30):
        while True:
            frame = json.loads(await socket.recv())
            if frame["type"] == type_ and fields.items() <= frame["data"].items():
                data: dict[str, object] = frame["data"]
                return data


async def ban(admin: ClientConnection, name: object) -> None:
    """Of an anonymous user; returns when it holds."""
    await admin.send(json.dumps({"type": "moderation_action", "data": {"action": "ban", "target_username": name}}))
    await told(admin, "moderation_action", action="ban", target_username=name)


_VISITOR = """
import asyncio, sys
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

async def main():
    async with connect(sys.argv[1]) as socket:
        try:
            async for _ in socket:
                pass
        except ConnectionClosed:
            pass
        print("closed", socket.close_code, flush=True)

asyncio.run(main())
"""


def start_visitor(stack: Stack, room: str) -> str:
    """Somebody anonymous with an address of their own: a container on the same network."""
    network = f"--network={stack.project}_default"
    url = f"ws://balancer:8000/chat/ws/room/{room}"
    return docker("run", "-d", network, "--entrypoint=python", "salon/ws_edge", "-c", _VISITOR, url).split()[-1]


def address_of(stack: Stack, container: str) -> str:
    """Its address."""
    networks = stack.inspect(container)[0]["NetworkSettings"]["Networks"]
    return str(networks[f"{stack.project}_default"]["IPAddress"])


def is_running(container: str) -> bool:
    """Whether it has not ended."""
    return docker("inspect", "-f", "{{.State.Running}}", container).strip().endswith("true")
