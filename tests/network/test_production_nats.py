"""deploy/nats/production.conf on three real servers: each service may do what it does, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import httpx
import nats
import pytest
from chat_client import Visitors, of_type, person
from graphql_client import DELETE, GraphQL
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from network_processes import Nats, Starter, edge_links, until
from salon_processes import RUNNING, SECRET
from websockets.asyncio.client import connect

from salon.events.v1.events_pb2 import LogEntry
from salon.moderation.v1 import moderation_pb2 as pb
from salon.moderation.v1.moderation_pb2_grpc import ModerationServiceStub
from tools.ports import held_port

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "nats" / "production.conf"
USERS = ("ws_edge", "rooms", "moderation", "operator")
DEADLINE_S = 5


def login(user: str) -> dict[str, str]:
    """With a password that has to be quoted."""
    return {"user": user, "pass": f"{user} kX/9+q#t@1="}


def servers(starter: Starter) -> list[Nats]:
    """Of the production configuration everything but places."""
    names = [f"nats-{number}" for number in range(3)]
    clients, routes = ([held_port() for _ in names] for _ in range(2))
    (starter.folder / "passwords.conf").write_text(
        "\n".join(f'{user.upper()}_PASSWORD: "{login(user)["pass"]}"' for user in USERS)
    )
    found = []
    for name, client, route in zip(names, clients, routes, strict=True):
        text = CONFIG.read_text()
        places = {
            '"0.0.0.0:4222"': f'"127.0.0.1:{client}"',
            '"0.0.0.0:8222"': '"127.0.0.1:-1"',
            '"0.0.0.0:6222"': f'"127.0.0.1:{route}"',
            'store_dir: "/data"': f'store_dir: "{starter.folder / name}"',
            **{f"nats-{n}.nats:6222": f"127.0.0.1:{port}" for n, port in enumerate(routes)},
        }
        for here, there in places.items():
            assert text.count(here) == 1, here
            text = text.replace(here, there)
        found.append(starter.nats_as_it_is(text, name=name, port=client))
    return found


@pytest.mark.slow
def test_all_three_services_work_with_their_own_logins_and_break_no_rule(starter: Starter) -> None:
    cluster = servers(starter)
    known = {"NATS_URL": ",".join(server.url for server in cluster), "WS_EDGE_STREAM_REPLICAS": "3"}
    for user in USERS[:3]:
        (starter.folder / f"{user}.password").write_text(login(user)["pass"])

    def told(service: str) -> dict[str, str]:
        file = str(starter.folder / f"{service}.password")
        return {**known, "NATS_USER": service, "NATS_PASSWORD_FILE": file, "JWT_SECRET": SECRET}

    moderation = starter.service("moderation", **told("moderation"))
    rooms = starter.service("rooms", ROOMS_MODERATION_ADDRESSES=f"127.0.0.1:{moderation.port}", **told("rooms"))
    edges = [starter.service("ws_edge", **edge_links(rooms, moderation), **told("ws_edge")) for _ in range(2)]
    for edge in edges:
        until(edge.is_ready, "the edge is ready", starter.started)
    asyncio.run(story([edge.port for edge in edges], moderation.port, cluster[0].url))
    logs = {process.name: process.text() for process in starter.started}
    assert [name for name, text in logs.items() if "iolation" in text or "Traceback" in text] == []


async def story(ports: list[int], moderation_port: int, url: str) -> None:
    """Everything that travels by NATS, from one edge to the other."""
    here, there = (Visitors(f"ws://127.0.0.1:{port}") for port in ports)
    chair, ana, bob = person("chair", "admin"), person("ana"), person("bob")
    witness = await here.join("stage", ana)
    speaker = await there.join("stage", bob)
    await witness.wait_for("user_joined", user_id=bob.user_id)
    await speaker.send("typing_start")
    await witness.wait_for("typing_start", user_id=bob.user_id)
    said = await speaker.say("hello", nonce="once")
    assert await witness.wait_for("chat_message", message="hello") | {"nonce": "once"} == said | {"nonce": "once"}
    again = await here.join("stage", bob)
    await again.send("chat_message", message="hello", nonce="once")
    assert (await again.wait_for("chat_message"))["id"] == said["id"]
    async with (
        connect(f"{here.ws}/live/ws", proxy=None) as one,
        connect(f"{there.ws}/live/ws", proxy=None) as other,
    ):
        await one.send("to all")
        async with asyncio.timeout(DEADLINE_S):
            assert await other.recv() == "to all"
    await deleted(said["id"], moderation_port, url)
    moderator = await here.join("stage", chair)
    await moderator.send("moderation_action", action="ban", target_user_id=bob.user_id)
    assert [await speaker.closed(), await again.closed()] == [4003, 4003]
    assert of_type(witness.seen, "error") == []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[0]}", trust_env=False) as http:
        await GraphQL(http).run(DELETE, chair, id=witness.joined["room_id"])
    assert [await witness.closed(), await moderator.closed()] == [4004, 4004]
    await purged(url)


async def deleted(message_id: int, moderation_port: int, url: str) -> None:
    """Moderation tells the log of a message that it takes back, and erases it, on all three servers."""
    sequence, partition = divmod(message_id, 256)
    operator = await nats.connect(url, user="operator", password=login("operator")["pass"])
    try:
        stream = operator.jetstream()
        message = await stream.get_msg(f"SALON_LOG_{partition}", sequence)
        assert message.subject is not None
        room_id, life = map(int, message.subject.split(".")[4:])
        request = pb.ExecuteRequest(
            actor=pb.Speaker(user_id=1, username="chair", rank=pb.RANK_ADMIN),
            slug="stage",
            log=pb.LogRef(partition=partition, room_id=room_id, life=life),
            delete_message=pb.DeleteMessage(message_id=message_id),
        )
        async with grpc.aio.insecure_channel(f"127.0.0.1:{moderation_port}") as channel:
            answer = await ModerationServiceStub(channel).Execute(request, timeout=DEADLINE_S)
        assert answer.outcome == pb.ExecuteResponse.OUTCOME_DONE
        async with asyncio.timeout(DEADLINE_S):
            while await is_stored(stream, partition, sequence):  # noqa: ASYNC110 - erasing tells nobody
                await asyncio.sleep(0.05)
        told = await stream.get_last_msg(f"SALON_LOG_{partition}", message.subject)
        assert told.data is not None
        assert LogEntry.FromString(told.data).message_deleted.message_id == message_id
    finally:
        await operator.close()


async def is_stored(stream: JetStreamContext, partition: int, sequence: int) -> bool:
    try:
        await stream.get_msg(f"SALON_LOG_{partition}", sequence)
    except NotFoundError:
        return False
    return True


async def purged(url: str) -> None:
    """The stream has its copies, and nothing of a room that was deleted."""
    operator = await nats.connect(url, user="operator", password=login("operator")["pass"])
    try:
        stream = operator.jetstream()
        assert (await stream.stream_info("SALON_LOG_0")).config.num_replicas == 3
        async with asyncio.timeout(DEADLINE_S):
            while (await stream.stream_info("SALON_LOG_0")).state.messages:  # noqa: ASYNC110 - a purge tells nobody
                await asyncio.sleep(0.05)
    finally:
        await operator.close()


class Raw:
    """A client that writes the protocol by hand. nats-py's flush may send its PING before what was published."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def told(self, commands: str) -> list[str]:
        """What the server has to say to these commands; everything, where it ends the connection."""
        self._writer.write(f"{commands}PING\r\n".encode())
        return await self.lines_until("PONG")

    async def lines_until(self, last: str) -> list[str]:
        """Every line before that one."""
        lines = []
        async with asyncio.timeout(DEADLINE_S):
            while (line := (await self._reader.readline()).decode()) not in ("", f"{last}\r\n"):
                lines.append(line.rstrip())
        return lines


@asynccontextmanager
async def raw(server: Nats, known: dict[str, str]) -> AsyncIterator[tuple[Raw, list[str]]]:
    """And what it is told when it presents itself so."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    client = Raw(reader, writer)
    try:
        yield client, await client.told(f"CONNECT {json.dumps({'verbose': False, 'pedantic': False, **known})}\r\n")
    finally:
        writer.transport.abort()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    """One of the three."""
    starter = Starter(tmp_path_factory.mktemp("nats"), {})
    found = servers(starter)[0]
    until(lambda: "Server is ready" in found.process.text(), "it listens", [found.process])
    yield found
    starter.end()
    RUNNING[:] = [process for process in RUNNING if process not in starter.started]


@pytest.mark.parametrize("known", [{}, {"user": "ws_edge"}, {"user": "ws_edge", "pass": "rooms"}])
async def test_nobody_comes_in_without_a_login(server: Nats, known: dict[str, str]) -> None:
    async with raw(server, known) as (_, told):
        assert json.loads(told[0].removeprefix("INFO "))["auth_required"]
        assert told[-1] == "-ERR 'Authorization Violation'"


def _of_streams(*calls: str) -> set[str]:
    """Of whichever stream: permissions know whole words of a subject alone."""
    return {f"$JS.API.{call}.{name}" for call in calls for name in ("SALON_LOG_0", "SALON_LOG_255", "SALON_MESSAGES")}


MAY_PUBLISH = {
    "ws_edge": {
        "salon.v1.log.0.1.2",
        "salon.v1.live.1.2.typing",
        "salon.v1.live.1.2.returned",
        "salon.v1.live.1.2.reached",
        "salon.v1.live.1.2.reactions",
        "salon.v1.broadcast",
        *_of_streams("STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.PURGE", "STREAM.MSG.GET", "DIRECT.GET"),
    },
    "rooms": {
        "salon.v1.live.1.2.presence",
        "salon.v1.rooms.deleted",
        "salon.v1.rooms.emotes",
        *_of_streams("STREAM.PURGE"),
    },
    "moderation": {
        "salon.v1.moderation.sanction",
        "salon.v1.moderation.feed",
        "salon.v1.log.0.1.2",
        "salon.v1.log.0.1.2.erasures",
        "salon.v1.log.0.1.2.barred.3.1800000000000",
        "salon.v1.log.0.fence",
        *_of_streams("STREAM.MSG.GET", "STREAM.MSG.DELETE", "STREAM.PURGE", "DIRECT.GET"),
    },
}
NOBODY_PUBLISHES = {
    "salon.v1.live.1.2.log",
    "$JS.API.STREAM.DELETE.SALON_LOG_0",
    "$JS.API.CONSUMER.CREATE.SALON_LOG_0",
    "$SYS.REQ.SERVER.PING",
}
MAY_HEAR = {
    "ws_edge": {
        "salon.v1.live.1.2.*",
        "salon.v1.rooms.deleted",
        "salon.v1.rooms.emotes",
        "salon.v1.moderation.sanction",
        "salon.v1.moderation.feed",
        "salon.v1.broadcast",
        "_INBOX.x.*",
    },
    "rooms": {"_INBOX.x.*"},
    "moderation": {"salon.v1.moderation.sanction", "_INBOX.x.*"},
}
NOBODY_HEARS = {">", "salon.v1.>", "salon.v1.log.0.1.2", "$JS.>"}


async def refused(server: Nats, user: str, *, to_publish: set[str], to_hear: set[str]) -> set[str]:
    """Of these, what the server refuses."""
    commands = [f"PUB {subject} 1\r\nx\r\n" for subject in to_publish]
    commands += [f"SUB {subject} {number}\r\n" for number, subject in enumerate(to_hear)]
    async with raw(server, login(user)) as (client, _):
        problems = [line for line in await client.told("".join(commands)) if line.startswith("-ERR")]
    return {s for s in to_publish | to_hear if any(f'"{s}"' in problem for problem in problems)}


@pytest.mark.parametrize("user", USERS[:3])
async def test_a_service_publishes_and_hears_what_is_its_own_and_nothing_else(server: Nats, user: str) -> None:
    subjects = NOBODY_PUBLISHES.union(*MAY_PUBLISH.values())
    assert await refused(server, user, to_publish=subjects, to_hear=set()) == subjects - MAY_PUBLISH[user]
    subjects = NOBODY_HEARS.union(*MAY_HEAR.values())
    assert await refused(server, user, to_publish=set(), to_hear=subjects) == subjects - MAY_HEAR[user]


async def test_an_edge_can_tell_nobody_of_a_sanction(server: Nats) -> None:
    event = "PUB salon.v1.moderation.sanction {}\r\n{}\r\n"
    async with (
        raw(server, login("moderation")) as (other, _),
        raw(server, login("ws_edge")) as (edge, _),
        raw(server, login("moderation")) as (moderation, _),
    ):
        await other.told("SUB salon.v1.moderation.sanction 1\r\n")
        assert any("Permissions Violation" in line for line in await edge.told(event.format(6, "forged")))
        await moderation.told(event.format(4, "true"))
        heard = [line for line in await other.lines_until("true") if line.startswith("MSG")]
    assert heard == ["MSG salon.v1.moderation.sanction 1 4"]


def test_the_table_of_what_each_may_is_that_of_the_configuration() -> None:
    table = (CONFIG.parents[1] / "README.md").read_text()
    text = CONFIG.read_text()
    for user in USERS[:3]:
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `{user}` |")]
        own = text[text.index(f"user: {user},") :]
        for side, cell in zip(("publish", "subscribe"), row.split("|")[2:4], strict=True):
            named = own[own.index(f"{side}: [") : own.index("]", own.index(f"{side}: ["))]
            configured = {part for part in named.split('"') if part.startswith(("salon.", "$JS.", "_INBOX"))}
            told: set[str] = set()
            for words in cell.replace("`", "").split(", "):
                head, _, rest = words.strip().partition("{")
                ends = rest.partition("}")
                told |= {f"{head}{end}{ends[2]}" for end in ends[0].split(",")} if rest else {head}
            assert told == configured, json.dumps([user, side])
