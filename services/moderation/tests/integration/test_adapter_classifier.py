"""adapters/classifier.py against a real server: where it connects to, what it takes for an answer, and TLS."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from certificates import Authority
from classifier_server import SECRET, ClassifierServer, classifier_server

from moderation.adapters import classifier as module
from moderation.adapters.classifier import HttpClassifier
from moderation.domain.classifiers import Call, Secrets, Subject, call_of
from moderation.domain.rules import Rule, RuleAction, RuleKind
from moderation.errors import ClassifierFailed

pytestmark = pytest.mark.integration
NAME = "classify.example.com"
NOT_PUBLIC = "The classifier is at no public address"


@pytest.fixture
def server() -> Iterator[ClassifierServer]:
    with classifier_server() as running:
        yield running


@asynccontextmanager
async def asking(
    look_up: Callable[[str, int], list[str]] | None = None,
    *,
    private: bool = True,
    seconds: list[float] | None = None,
) -> AsyncIterator[HttpClassifier]:
    observed = [] if seconds is None else seconds
    asks = HttpClassifier(private=private, observe=observed.append, look_up=look_up)
    try:
        yield asks
    finally:
        await asks.close()


def call(url: str, text: str = "hello") -> Call:
    rule = Rule("asks", RuleKind.CLASSIFIER, RuleAction.REFUSE, url=url)
    return call_of(7, rule, Secrets(SECRET), Subject(text, "live", None), call_id="msg_1", now_ms=0)


async def test_an_answer_comes_over_a_connection_that_is_kept(server: ClassifierServer) -> None:
    seconds: list[float] = []
    async with asking(seconds=seconds) as asks:
        for _ in range(2):
            assert b'"allow"' in await asks.ask(call(server.url))
    assert (len(server.asked), server.unsigned, len(seconds)) == (2, 0, 2)
    assert server.connections == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [("broken it", "status 500"), ("moved it", "status 307"), ("long one", "an answer that is too long")],
)
async def test_what_is_no_answer_is_refused(server: ClassifierServer, text: str, problem: str) -> None:
    async with asking() as asks:
        with pytest.raises(ClassifierFailed, match=problem):
            await asks.ask(call(server.url, text))
        assert b'"allow"' in await asks.ask(call(server.url))
    assert server.redirected == 0


async def test_where_nobody_listens_it_fails(server: ClassifierServer) -> None:
    async with asking() as asks:
        with pytest.raises(ClassifierFailed):
            await asks.ask(call("http://127.0.0.1:1/"))


async def test_no_proxy_of_the_environment_is_used(server: ClassifierServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with asking() as asks:
        assert b'"allow"' in await asks.ask(call(server.url))


async def test_a_name_is_asked_only_where_all_that_it_leads_to_is_public_each_time(server: ClassifierServer) -> None:
    leads_to = ["8.8.8.8"]
    port = server.url.rpartition(":")[2]
    async with asking(lambda *_: leads_to, private=False) as asks:
        assert await asks.problem(f"https://{NAME}:{port}/") is None
        for later in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"]):
            leads_to[:] = later
            assert await asks.problem(f"https://{NAME}:{port}/") == NOT_PUBLIC
            with pytest.raises(ClassifierFailed, match=NOT_PUBLIC):
                await asks.ask(call(f"https://{NAME}:{port}/"))
        for url, problem in (
            (server.url, "The url of a classifier begins with https://"),
            (f"https://127.0.0.1:{port}/", NOT_PUBLIC),
        ):
            assert await asks.problem(url) == problem
            with pytest.raises(ClassifierFailed, match=problem):
                await asks.ask(call(url))
    assert server.connections == 0


async def test_a_name_that_cannot_be_looked_up_has_no_problem_until_it_is_asked() -> None:
    def away(*_: object) -> list[str]:
        raise OSError("no such name")

    async with asking(away, private=False) as asks:
        assert await asks.problem(f"https://{NAME}/") is None
        with pytest.raises(ClassifierFailed, match="no such name"):
            await asks.ask(call(f"https://{NAME}/"))
    async with asking() as asks:
        assert await asks.problem("http://127.0.0.1/") is None
        with pytest.raises(ClassifierFailed, match="no name"):
            await asks.ask(call(f"http://{'x' * 64}.example.com/"))


async def test_a_name_that_takes_long_keeps_nobody_who_saves_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOKED_UP_FOR_S", 0.01)
    gate = threading.Event()

    def slow(*_: object) -> list[str]:
        gate.wait(60)
        return ["127.0.0.1"]

    async with asking(slow, private=False) as asks:
        assert await asks.problem(f"https://{NAME}/") is None
        gate.set()


async def test_the_next_address_is_tried_where_one_does_not_answer(server: ClassifierServer) -> None:
    port = server.url.rpartition(":")[2]
    async with asking(lambda *_: ["127.0.0.2", "127.0.0.1"]) as asks:
        assert b'"allow"' in await asks.ask(call(f"http://{NAME}:{port}/"))


async def test_the_next_address_is_tried_where_one_says_nothing(server: ClassifierServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(("127.0.0.2", port))
        silent.listen(0)
        for waiting in (first, second):  # as many as its queue takes: the system lets no more in
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", port))
        async with asking(lambda *_: ["127.0.0.2", "127.0.0.1"]) as asks, asyncio.timeout(30):
            assert b'"allow"' in await asks.ask(call(f"http://{NAME}:{port}/"))


async def test_tls_is_for_the_name_whatever_the_address_and_by_the_authorities_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    pair = authority.issue(NAME)
    theirs.load_cert_chain(pair.certificate, pair.key)
    with classifier_server(theirs) as server:
        port = server.url.rpartition(":")[2]
        monkeypatch.setattr("certifi.where", lambda: str(authority.certificate))
        async with asking(lambda *_: ["127.0.0.1"]) as asks:  # no other list of authorities counts
            with pytest.raises(ClassifierFailed, match="CERTIFICATE_VERIFY_FAILED"):
                await asks.ask(call(f"https://{NAME}:{port}/"))
        monkeypatch.undo()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        async with asking(lambda *_: ["127.0.0.1"]) as asks:
            assert b'"allow"' in await asks.ask(call(f"https://{NAME}:{port}/"))
            with pytest.raises(ClassifierFailed, match="CERTIFICATE_VERIFY_FAILED"):
                await asks.ask(call(f"https://another.example.com:{port}/"))


async def test_what_is_broken_off_leaves_room_for_others(
    server: ClassifierServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CALLS", 1)
    async with asking() as asks:
        late = asyncio.ensure_future(asks.ask(call(server.url, "late one")))
        await asyncio.to_thread(server.is_late.wait, 60)
        late.cancel()
        await asyncio.wait([late])
        assert b'"allow"' in await asks.ask(call(server.url))
