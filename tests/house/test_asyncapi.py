"""docs/api/asyncapi.yaml is what the code says, AsyncAPI 3, and able to tell a frame that it does not know."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from jsonschema import Draft7Validator
from wire_contract import CLIENT, DOCUMENT, SERVER, problem_with, read_document

from tools import asyncapi
from ws_edge.errors import CloseCode, ErrorCode, RefusedFrame
from ws_edge.protocol import codec
from ws_edge.protocol.frames import TYPES, ClientFrame
from ws_edge.protocol.server_frames import ServerFrame

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "salon-tests" / "asyncapi"


def test_the_committed_document_is_what_the_code_gives() -> None:
    assert DOCUMENT.read_text() == asyncapi.text(), "make asyncapi"


def test_every_frame_of_both_directions_is_in_it() -> None:
    named = set(read_document()["components"]["messages"])
    tags = {kind.__struct_config__.tag for kind in get_args(ClientFrame)}
    assert tags == TYPES
    assert named >= {f"client.{tag}" for tag in tags}
    assert named >= {f"server.{kind.__struct_config__.tag}" for kind in get_args(ServerFrame)}


def test_every_error_with_its_text_and_every_close_code_with_its_meaning_is_in_it() -> None:
    errors = read_document()["components"]["schemas"]["server.ErrorData"]["oneOf"]
    texts = {e["properties"]["code"]["const"]: e["properties"]["message"] for e in errors}
    assert texts.pop("blocked") == {"default": ErrorCode.BLOCKED.text}  # a rule may have one of its own
    assert texts == {code.value: {"const": code.text} for code in ErrorCode if code is not ErrorCode.BLOCKED}
    assert all(e["description"] for e in errors)
    codes = read_document()["x-close-codes"]
    sent = set(CloseCode) - {CloseCode.GOING_AWAY}  # browsers send it, the edge does not
    assert {each["code"] for each in codes} == sent
    assert all(each["meaning"] and each["connect_again"] for each in codes)


def test_the_addresses_and_what_they_may_carry_are_in_it() -> None:
    channels = read_document()["channels"]
    assert {each["address"] for each in channels.values()} == {
        "/chat/ws/room/{ref}",
        "/chat/ws/video/{video_id}",
        "/live/ws",
    }
    upgrade = (ROOT / "services/ws_edge/src/ws_edge/transport/upgrade.py").read_text()
    read = set(re.findall(r'args\.get\("(\w+)"\)', upgrade))
    assert read >= {"token", "since", "epoch"}
    for channel in ("room", "video"):
        binding = channels[channel]["bindings"]["ws"]
        assert set(binding["query"]["properties"]) == read
        assert re.search(binding["headers"]["properties"]["Sec-WebSocket-Protocol"]["pattern"], "bearer, a.b.c")


def test_every_reference_in_it_leads_somewhere_and_every_schema_is_one() -> None:
    document = read_document()
    references = list(_references(document))
    assert len(references) > 50
    for reference in references:
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
    for schema in document["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def _references(within: Any) -> Iterator[str]:
    if isinstance(within, dict):
        if isinstance(within.get("$ref"), str):
            yield within["$ref"]
        for each in within.values():
            yield from _references(each)
    elif isinstance(within, list):
        for each in within:
            yield from _references(each)


def test_the_examples_of_the_protocol_document_are_frames_of_it() -> None:
    shown = [
        example["payload"]
        for message in read_document()["components"]["messages"].values()
        for example in message.get("examples", ())
    ]
    assert {frame["type"] for frame in shown} == {kind.__struct_config__.tag for kind in get_args(ServerFrame)}
    assert [problem for frame in shown if (problem := problem_with(SERVER, json.dumps(frame)))] == []


@pytest.mark.parametrize(
    ("side", "frame", "problem"),
    [
        (SERVER, "not json", "not JSON"),
        (SERVER, "[]", "of type None"),
        (SERVER, '{"data":{}}', "of type None"),
        (SERVER, '{"type":["pong"],"data":{}}', "of type ["),
        (SERVER, '{"type":"ping","data":{}}', "of type 'ping'"),
        (CLIENT, '{"type":"pong","data":{}}', "of type 'pong'"),
        (SERVER, '{"type":"pong","data":{},"id":1}', "must not contain"),
        (SERVER, '{"type":"pong","data":{"at":1}}', "must not contain"),
        (SERVER, '{"type":"user_left","data":{"username":"ana"}}', "must contain"),
        (SERVER, '{"type":"user_left","data":{"username":"ana","user_id":"7"}}', "any definition"),
        (SERVER, '{"type":"user_left","data":{"username":"ana","user_id":9007199254740992}}', "any definition"),
        (SERVER, '{"type":"user_joined","data":{"username":"ana","user_id":7,"timestamp":"16:30"}}', "match pattern"),
        (SERVER, '{"type":"user_left","data":{"username":1,"user_id":7}}', "must be string"),
        (SERVER, '{"type":"error","data":{"message":"Not found","code":"lost"}}', "exactly by one"),
        (SERVER, '{"type":"error","data":{"message":"Not here","code":"not_found"}}', "exactly by one"),
        (CLIENT, '{"type":"chat_message","data":{"message":""}}', "longer than"),
        (CLIENT, '{"type":"moderation_action","data":{"action":"ban"}}', "any definition"),
        (CLIENT, '{"type":"moderation_action","data":{"action":"kick","target_user_id":1}}', "must be one of"),
    ],
)
def test_a_frame_that_the_document_does_not_know_is_told(side: str, frame: str, problem: str) -> None:
    assert problem in str(problem_with(side, frame))


_ids = st.integers(-2, 2) | st.sampled_from([2**53 - 1, 2**53]) | st.none()
_texts = st.text(max_size=4) | st.sampled_from(["x" * 64, "x" * 65, "x" * 129, "x" * 501, "\0"])
_objects = st.dictionaries(_texts, _ids)
_others = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(st.none()) | _objects
_values = {
    "message": st.text(min_size=1, max_size=20) | _others,
    "nonce": _texts | _others,
    "reply_to": _ids | _others,
    "action": st.sampled_from(["ban", "mute", "unban", "unmute", "kick"]) | _others,
    "target_user_id": _ids | _others,
    "target_username": _texts | _others,
    "duration_minutes": _ids | st.sampled_from([525_600, 525_601]) | _others,
    "reason": _texts | _others,
    "scope": st.sampled_from(["room", "everywhere", "here"]) | _others,
    "before": _ids | _others,
    "limit": _ids | st.sampled_from([100, 101]) | _others,
    "more": _others,
}
_frames = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(TYPES)) | st.sampled_from(["dance", "pong"]) | _others},
    optional={"data": st.fixed_dictionaries({}, optional=_values) | _others, "more": _others},
)


@given(_frames)
@example({"type": "moderation_action", "data": {"action": "ban", "target_user_id": None, "target_username": None}})
@example({"type": "chat_message", "data": {"message": "a", "reply_to": None}})
@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_the_edge_reads_exactly_the_frames_that_the_document_allows(frame: dict[str, Any]) -> None:
    payload = json.dumps(frame).encode()
    try:
        codec.decode(payload)
        is_read = True
    except RefusedFrame:
        is_read = False
    assert (problem_with(CLIENT, payload, is_open=True) is None) == is_read


@pytest.fixture(scope="session")
def parser() -> str:
    """The folder of AsyncAPI's own parser, installed from npm once; a skip that says why where that is impossible."""
    if (CACHE / "node_modules/@asyncapi/parser/package.json").exists():
        return str(CACHE)
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed, so AsyncAPI's parser cannot run")
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = "@asyncapi/parser@3.6.3"
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(CACHE), wanted]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm install {wanted} failed: {done.stderr.strip()[-300:]}")
    return str(CACHE)


_COMPLAINTS = """
const { Parser } = require(process.argv[1] + "/node_modules/@asyncapi/parser");
new Parser().parse(require("fs").readFileSync(process.argv[2], "utf8")).then(({ diagnostics }) => {
  const grave = diagnostics.filter((each) => each.severity < 2);
  console.log(JSON.stringify(grave.map((each) => each.path.join(".") + ": " + each.message)));
});
"""


def _complaints(parser: str, document: Path) -> list[str]:
    """Errors and warnings of the parser."""
    command = ["node", "-e", _COMPLAINTS, parser, str(document)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    complaints: list[str] = json.loads(done.stdout)
    return complaints


@pytest.mark.slow
def test_asyncapi_s_own_parser_finds_nothing_wrong_with_it(parser: str, tmp_path: Path) -> None:
    assert _complaints(parser, DOCUMENT) == []
    broken = tmp_path / "asyncapi.yaml"
    broken.write_text(DOCUMENT.read_text().replace("action: receive", "action: take", 1))
    assert any("operations.room.receive.action" in complaint for complaint in _complaints(parser, broken))
