"""Frames held against docs/api/asyncapi.yaml."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import yaml
from playwright.async_api import Page, WebSocket

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api" / "asyncapi.yaml"
CLIENT, SERVER = "client", "server"


def problem_with(side: str, payload: str | bytes, *, is_open: bool = False) -> str | None:
    """What the document says against one text frame of clients, or of the server. `is_open`: fields that it does not
    name are nothing against it; here they are, though whoever reads a frame is to ignore them."""
    try:
        frame = json.loads(payload)
    except (ValueError, RecursionError):
        return "it is not JSON"
    if _has_half_a_pair(payload, frame):
        return "it holds half a surrogate pair"
    type_ = frame.get("type") if isinstance(frame, dict) else None
    validate = _validators(side, is_open=is_open).get(type_) if isinstance(type_, str) else None
    if validate is None:
        return f"no {side} sends a frame of type {type_!r}"
    try:
        validate(frame)
    except fastjsonschema.JsonSchemaValueException as problem:
        return str(problem.message)
    return None


def _has_half_a_pair(payload: str | bytes, frame: object) -> bool:
    """Which no UTF-8 can carry; asked of the few alone that may."""
    if (b"\\u" if isinstance(payload, bytes) else "\\u") not in payload:  # type: ignore[operator]
        return False
    try:
        json.dumps(frame, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def watch_page(page: Page, complaints: list[str]) -> None:
    """Hold what a browser's page sends and receives on its chats against the document."""

    def check(side: str) -> Callable[[str | bytes], None]:
        def heard(payload: str | bytes) -> None:
            if (problem := problem_with(side, payload)) is not None:
                complaints.append(f"{payload!r}: {problem}")

        return heard

    def opened(socket: WebSocket) -> None:
        if "/chat/ws/" in socket.url:
            socket.on("framesent", check(CLIENT))
            socket.on("framereceived", check(SERVER))

    page.on("websocket", opened)


@cache
def read_document() -> Any:
    """The document as it is committed."""
    return yaml.load(DOCUMENT.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@cache
def _validators(side: str, *, is_open: bool) -> Mapping[str, Callable[[Any], object]]:
    """Of the frames of one direction, by type."""
    components = read_document()["components"]
    schemas = components["schemas"] if is_open else _closed(components["schemas"])
    return {
        message["name"]: fastjsonschema.compile({**message["payload"], "components": {"schemas": schemas}})
        for name, message in components["messages"].items()
        if name.startswith(f"{side}.") and "contentType" not in message
    }


def _closed(schema: Any) -> Any:
    """Objects with no fields but those that are named."""
    if not isinstance(schema, dict):
        return [_closed(each) for each in schema] if isinstance(schema, list) else schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed
