"""Writes docs/api/asyncapi.yaml: the chat protocol, made of the frames that the edge reads and writes. What has no type
(when an error comes, what a close code means, examples) is taken from docs/protocol.md.

A new frame comes in by itself once it stands in ClientFrame or ServerFrame, a field with its text below it.
"""

import ast
import inspect
import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import msgspec
import yaml

from ws_edge.errors import ErrorCode
from ws_edge.protocol import frames, server_frames
from ws_edge.transport.sanic_app import LIVE_PATH, ROOM_PATH, VIDEO_PATH
from ws_edge.transport.upgrade import TOKEN_SUBPROTOCOL

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "api" / "asyncapi.yaml"
_HEAD = "# Written by `make asyncapi` from the frames of services/ws_edge and from docs/protocol.md.\n"
_ABOUT = """\
Live chat for streams and videos. A room comes into being with its first connection and is gone with its last one.

Operations are named from the server's side: it receives what clients send. A frame is one JSON object in one text
frame of at most 16 KiB (/live/ws: any text of at most 4 KiB). The server ignores fields of clients that it does not
know; its own frames may gain fields, and never lose or change one: ignore those that you do not know.

A handshake succeeds, whoever comes; who may not enter gets one `error` frame and the close. `x-close-codes` has the
codes of close frames.
"""
_PARAMETERS = {
    "ref": "The number of a room (1 to 2^53-1, without leading zeros), or a slug: 1 to 128 letters and digits of any "
    "script and `. _ : @ ~ -`, not starting with a dot.",
    "video_id": "The number of a video, 1 to 2^53-1.",
}
_QUERY = {
    "token": "A JSON Web Token. It may come in the header Authorization or as a subprotocol instead; without any you "
    "are anonymous.",
    "since": "Of a client that comes back: the id of the last entry that it saw, 0: none.",
    "epoch": "Beside `since`: the epoch of the room_joined that came before that entry.",
    "resume": "Of an anonymous client that comes back: `you.resume` of its room_joined. Not read beside a token.",
}
_HEADERS = {
    "Authorization": {"description": "Bearer and the token.", "pattern": "^[Bb][Ee][Aa][Rr][Ee][Rr] +[^ ]+$"},
    "Sec-WebSocket-Protocol": {
        "description": f"The pair of subprotocols `{TOKEN_SUBPROTOCOL}` and the token, for browsers that keep the "
        f"token out of addresses: the server selects `{TOKEN_SUBPROTOCOL}`.",
        "pattern": f"^{TOKEN_SUBPROTOCOL} *, *[^ ,]+$",
    },
}

_AIMED_AT_NOBODY = ("delete", "pin", "unpin", "policy", "shield", "undo", "allow", "deny")
_TARGETS = (("target_user_id", "integer"), ("target_username", "string"))


def document() -> dict[str, Any]:
    """The whole of it, as YAML has it."""
    protocol = (ROOT / "docs" / "protocol.md").read_text()
    edge = tomllib.loads((ROOT / "services" / "ws_edge" / "pyproject.toml").read_text())
    sent, client_schemas = _frames("client", frames, frames.ClientFrame)
    received, server_schemas = _frames("server", server_frames, server_frames.ServerFrame)
    for type_, examples in _examples(protocol).items():
        received[f"server.{type_}"]["examples"] = [{"payload": example} for example in examples]
    client_schemas["client.ModerationData"]["anyOf"] = [
        {"properties": {"action": {"enum": ["clear"]}}},
        {
            "required": ["changes"],
            "properties": {"action": {"enum": ["policy"]}, "changes": {"not": {"type": "null"}}},
        },
        {
            "required": ["message_id"],
            "properties": {"action": {"enum": ["delete", "pin", "unpin"]}, "message_id": {"type": "integer"}},
        },
        {"required": ["on"], "properties": {"action": {"enum": ["shield"]}, "on": {"type": "boolean"}}},
        {"required": ["action_id"], "properties": {"action": {"enum": ["undo"]}, "action_id": {"type": "integer"}}},
        {
            "required": ["hold_id"],
            "properties": {"action": {"enum": ["allow", "deny"]}, "hold_id": {"type": "integer"}},
        },
        *(
            {
                "required": [field],
                "properties": {
                    "action": {"not": {"enum": [*_AIMED_AT_NOBODY, "warn"]}},
                    field: {"type": type_},
                },
            }
            for field, type_ in _TARGETS
        ),
        *(
            {
                "required": [field, "reason"],
                "properties": {"action": {"enum": ["warn"]}, field: {"type": type_}, "reason": {"pattern": r"\S"}},
            }
            for field, type_ in _TARGETS
        ),
    ]
    client_schemas["client.ReportData"]["anyOf"] = [
        {"required": [field], "properties": {field: {"type": type_}}}
        for field, type_ in (("message_id", "integer"), *_TARGETS)
    ]
    changes = client_schemas["client.PolicyChanges"]
    changes["anyOf"] = [{"required": [field]} for field in changes["properties"]]
    server_schemas["server.ErrorData"]["oneOf"] = _errors(protocol)
    texts = {f"{side}.text": _text_message(side) for side in ("client", "server")}
    channels = {
        "room": (f"{ROOM_PATH}/{{ref}}", "The chat of a room.", [*sent, *received]),
        "video": (f"{VIDEO_PATH}/{{video_id}}", "The chat of a video.", [*sent, *received]),
        "live": (LIVE_PATH, "What anybody sends goes to everybody, as it is.", [*texts, "server.error"]),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Salon",
            "version": edge["project"]["version"],
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "localhost:8000", "protocol": "ws", "description": "What `make run` starts."}},
        "channels": {name: _channel(*about) for name, about in channels.items()},
        "operations": dict(_operations({name: names for name, (_, _, names) in channels.items()})),
        "components": {
            "messages": sent | received | texts,
            "schemas": client_schemas | server_schemas,
        },
        "x-close-codes": _close_codes(protocol),
    }


def _frames(side: str, module: ModuleType, union: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The messages and schemas of one direction."""
    kinds = get_args(union)
    _, found = msgspec.json.schema_components(kinds, ref_template=f"#/components/schemas/{side}.{{name}}")
    schemas = {f"{side}.{name}": _described(schema, getattr(module, name)) for name, schema in found.items()}
    messages = {f"{side}.{kind.__struct_config__.tag}": _message(side, kind) for kind in kinds}
    return messages, schemas


def _message(side: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        "name": kind.__struct_config__.tag,
        "summary": inspect.getdoc(kind),
        "payload": {"$ref": f"#/components/schemas/{side}.{kind.__name__}"},
    }


def _text_message(side: str) -> dict[str, Any]:
    summary = "Any text of at most 4 KiB." if side == "client" else "What somebody on /live/ws sent."
    return {"name": "text", "summary": summary, "contentType": "text/plain", "payload": {"type": "string"}}


def _described(schema: dict[str, Any], kind: type) -> dict[str, Any]:
    """With the texts that stand below the fields, and without what says nothing."""
    schema.pop("title")
    for empty in ("properties", "required"):
        if not schema.get(empty, True):
            del schema[empty]
    if issubclass(kind, msgspec.Struct):
        for name, text in _texts_below_fields(kind):
            if "$ref" not in schema["properties"][name]:
                schema["properties"][name] = {"description": text} | schema["properties"][name]
    return schema


def _texts_below_fields(kind: type) -> Iterator[tuple[str, str]]:
    definition = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(definition, ast.ClassDef)
    for field, below in pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            yield ast.unparse(field.target), " ".join(ast.literal_eval(below.value).split())


def _channel(address: str, about: str, messages: list[str]) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": address,
        "description": about,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }
    if parameters := re.findall(r"\{(\w+)\}", address):
        channel["parameters"] = {name: {"description": _PARAMETERS[name]} for name in parameters}
        query = {name: {"type": "string", "description": about} for name, about in _QUERY.items()}
        headers = {name: {"type": "string", **about} for name, about in _HEADERS.items()}
        channel["bindings"] = {
            "ws": {
                "method": "GET",
                "query": {"type": "object", "properties": query},
                "headers": {"type": "object", "properties": headers},
                "bindingVersion": "0.1.0",
            }
        }
    return channel


def _operations(channels: Mapping[str, list[str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for channel, names in channels.items():
        for action, side in (("receive", "client"), ("send", "server")):
            messages = [
                {"$ref": f"#/channels/{channel}/messages/{name}"} for name in names if name.startswith(f"{side}.")
            ]
            about = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": messages}
            yield f"{channel}.{action}", about


def _errors(protocol: str) -> list[dict[str, Any]]:
    """One for each error: its code, its text, and when it comes. Raises KeyError where docs/protocol.md has none."""
    when = {code: about for _, code, about in re.findall(r"^\| `(.+)` \| `(\w+)` \| (.+) \|$", protocol, re.MULTILINE)}
    return [
        {
            "description": when[code.value],
            "properties": {
                "code": {"const": code.value},
                "message": {"default": code.text} if code is ErrorCode.BLOCKED else {"const": code.text},
            },
        }
        for code in ErrorCode
    ]


def _close_codes(protocol: str) -> list[dict[str, Any]]:
    table = protocol.partition("\n## Close codes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d{4}(?:, \d{4})*) \| (.+) \| (.+) \|$", table, re.MULTILINE)
    return [
        {"code": int(code), "meaning": meaning, "connect_again": "no" if again == "–" else again}
        for codes, meaning, again in rows
        for code in codes.split(", ")
    ]


def _examples(protocol: str) -> dict[str, list[Any]]:
    """The frames that docs/protocol.md shows among those that clients receive, by type."""
    block = protocol.partition("\n## Frames you receive\n")[2].partition("```json\n")[2].partition("```")[0]
    found: dict[str, list[Any]] = {}
    decoder, at = json.JSONDecoder(), 0
    while block[at:].strip():
        at += len(block[at:]) - len(block[at:].lstrip())
        frame, at = decoder.raw_decode(block, at)
        found.setdefault(frame["type"], []).append(frame)
    return found


class _Dumper(yaml.SafeDumper):
    """Without anchors, and longer texts as blocks."""

    def ignore_aliases(self, _data: object) -> bool:
        """Everything stands where it is needed."""
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def text() -> str:
    """The file's."""
    return _HEAD + yaml.dump(document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=118)


def main() -> int:
    """Write the file."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
