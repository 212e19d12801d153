"""Fixtures of the end-to-end tests: running Salons, visitors, rooms of one's own, and the logs of what failed."""

import inspect
import itertools
import shutil
import subprocess
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import chat_client
import httpx
import pytest
import pytest_asyncio
import salon_processes
import slow_stories
from chat_client import Person, Visitors
from graphql_client import GraphQL
from real_postgres import Postgres
from salon_processes import Edge, Group, Salon, Shape, stop_all

_addresses = itertools.count(2)
_LOG_SHOWN = 5_000
_WSCAT = Path.home() / ".cache" / "salon-tests" / "wscat"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All here are end-to-end tests; what waits for a slow story comes last, since it ripens meanwhile."""
    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    for item in ours:
        item.add_marker(pytest.mark.e2e)
    items.sort(key=_asks_for_a_story)


def _asks_for_a_story(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and "stories" in inspect.signature(item.function).parameters


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes logged during a test that failed."""
    if call.when == "setup":
        offsets = {p.log: p.log.stat().st_size if p.log.exists() else 0 for p in salon_processes.RUNNING}
        item.stash[_OFFSETS] = offsets
    report = yield
    if report.failed:
        offsets = item.stash.get(_OFFSETS, {})
        for process in salon_processes.RUNNING:
            text = process.text(offsets.get(process.log, 0))
            if text:
                report.sections.append((f"log of {process.name}", text[-_LOG_SHOWN:]))
    return report


_OFFSETS = pytest.StashKey[dict[Path, int]]()


@pytest.fixture(scope="session")
def shape(request: pytest.FixtureRequest) -> Shape:
    """How many there are of each service: one, or with --replicas as many as in production, on PostgreSQL."""
    if not request.config.getoption("--replicas"):
        return Shape()
    return Shape(nats=3, rooms=2, moderation=2, workers=2, postgres=request.getfixturevalue("postgres_server"))


@pytest.fixture(scope="session")
def start_salon(tmp_path_factory: pytest.TempPathFactory, shape: Shape) -> Iterator[Callable[..., Salon]]:
    """Starts Salons with settings of their own; what a test does not stop itself is stopped at the end."""
    started: list[Salon] = []

    def start(*, edges: int = 1, **settings: str) -> Salon:
        salon = Salon(tmp_path_factory.mktemp("salon"), settings, shape)
        started.append(salon)
        return salon.start(edges)

    yield start
    stop_all(started)


@pytest.fixture(scope="session")
def salon(start_salon: Callable[..., Salon]) -> Salon:
    """The Salon that most tests share; each test uses rooms, users and addresses of its own."""
    return start_salon()


@pytest.fixture(scope="session")
def edge(salon: Salon) -> Edge:
    """Its first edge."""
    return salon.edges[0]


@pytest.fixture(scope="session")
def second_edge(salon: Salon) -> Edge:
    """One more edge of the shared Salon."""
    return salon.start_edge()


@pytest.fixture(scope="session")
def killable(start_salon: Callable[..., Salon]) -> Salon:
    """A Salon with two edges whose parts are killed."""
    return start_salon(edges=2)


@pytest.fixture
def frail(killable: Salon) -> Salon:
    """The same, with everything running."""
    for group in (killable.nats, killable.moderation, killable.rooms, Group([killable.edges[0].process])):
        group.start()
    for edge in killable.edges[:2]:  # others are started and stopped by tests
        salon_processes.wait_until_ready(edge)
        salon_processes.wait_until_open(edge)
    return killable


@pytest.fixture(scope="session")
def choosy(start_salon: Callable[..., Salon], catalogue: str) -> Salon:
    """A Salon that makes rooms for slugs alone, is crowded above five, and asks a catalogue about videos."""
    return start_salon(ROOMS_AUTO_CREATE="slugs", ROOMS_PRESENCE_BROADCAST_LIMIT="5", ROOMS_VIDEO_CATALOG_URL=catalogue)


@pytest_asyncio.fixture
async def choosy_visitors(choosy: Salon) -> AsyncIterator[Visitors]:
    """Its visitors."""
    opened = Visitors(choosy.edges[0].ws)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[Salon]:
    """Two edges, two replicas of moderation, one database; each module has its own."""
    started = Salon(tmp_path_factory.mktemp("pair"), {}, Shape(moderation=2, postgres=postgres_server))
    try:
        yield started.start(edges=2)
    finally:
        stop_all([started])


@pytest_asyncio.fixture
async def guests(pair: Salon) -> AsyncIterator[Visitors]:
    """Who comes through the first edge of the pair."""
    opened = Visitors(pair.edges[0].ws)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def api(pair: Salon) -> AsyncIterator[GraphQL]:
    """GraphQL through its second edge."""
    async with httpx.AsyncClient(base_url=pair.edges[1].http, trust_env=False, timeout=30) as client:
        yield GraphQL(client)


class _Catalogue(BaseHTTPRequestHandler):
    """Knows video 7; stumbles over video 500."""

    def do_GET(self) -> None:
        self.send_response({"/videos/7": 200, "/videos/500": 500}.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keeps the tests' output clean."""


@pytest.fixture(scope="session")
def catalogue() -> Iterator[str]:
    """A video catalogue by URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Catalogue)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/videos/{{video_id}}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session", autouse=True)
def _stories_begin_early(request: pytest.FixtureRequest) -> None:
    if any(_asks_for_a_story(item) for item in request.session.items):
        request.getfixturevalue("stories")


@pytest.fixture(scope="session")
def stories(salon: Salon) -> Iterator[slow_stories.Stories]:
    """What takes long by its nature runs from the start, beside everything else."""
    running = slow_stories.Stories(
        salon.edges[0].ws, slow_stories.Edges(doomed=salon.start_edge(), frozen=salon.start_edge())
    )
    running.start()
    yield running
    running.stop()


@pytest_asyncio.fixture
async def visitors(edge: Edge) -> AsyncIterator[Visitors]:
    """Connections to the shared edge that end with the test."""
    opened = Visitors(edge.ws)
    yield opened
    await opened.close()


@pytest.fixture
def room() -> str:
    """A slug that nobody else uses."""
    return f"room-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def address() -> str:
    """An address of the loopback network that no other test comes from."""
    number = next(_addresses)
    return f"127.0.{1 + number // 250}.{number % 250 + 1}"


@pytest.fixture
def admin() -> Person:
    """Somebody who may mute and ban."""
    return chat_client.person("Adele", "admin")


@pytest.fixture
def moderator() -> Person:
    """Somebody who may mute."""
    return chat_client.person("Moritz", "moderator")


@pytest.fixture
def ana() -> Person:
    """A user."""
    return chat_client.person("ana", "user")


@pytest.fixture
def bob() -> Person:
    """Another user."""
    return chat_client.person("bob", "user")


@pytest_asyncio.fixture
async def http(edge: Edge) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to the shared edge."""
    async with httpx.AsyncClient(base_url=edge.http, trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def graphql(http: httpx.AsyncClient) -> GraphQL:
    """GraphQL over that."""
    return GraphQL(http)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Debian's chromium; a skip that says why where it is not installed."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed (apt-get install chromium), so no browser drives the page")
    return found


@pytest.fixture(scope="session")
def wscat() -> str:
    """The program, installed from npm once; a skip that says why where that is impossible."""
    program = _WSCAT / "node_modules" / ".bin" / "wscat"
    if program.exists():
        return str(program)
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed, so wscat cannot run")
    _WSCAT.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(_WSCAT), "wscat@6"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm install wscat did not finish within 120 s")
    if done.returncode != 0:
        pytest.skip(f"npm install wscat failed: {done.stderr.strip()[-300:]}")
    return str(program)
