"""What no process may print: tokens of anybody, and the secrets that it was given itself."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*", re.ASCII)
_NAME = re.compile(r".*(SECRET|PASSWORD|TOKEN|KEY)(_FILE)?", re.ASCII)
_SHORTEST = 8
_SHORTEST_SIGNATURE = 20
_AROUND = 300


def printed_secrets(name: str, text: str, environment: Mapping[str, str], *, tokens: Iterable[str] = ()) -> list[str]:
    """One line for each kind that stands in `text`, which a process of that name and environment printed: what it is
    and what stood around it, not the thing itself. `tokens` are looked for also by their signature alone."""
    parts = {part for token in tokens for part in (token, token.rpartition(".")[2]) if len(part) > _SHORTEST_SIGNATURE}
    found = {f"{name} printed a token": {*_TOKEN.findall(text), *(part for part in parts if part in text)}}
    for setting, value in environment.items():
        found[f"{name} printed what {setting} holds"] = {s for s in _secrets(setting, value) if s in text}
    return [f"{what}: {_around(text, things)}" for what, things in found.items() if things]


def _secrets(setting: str, value: str) -> Iterator[str]:
    """Those that one setting holds: itself, its file, each of several, or the passwords of its addresses."""
    if _NAME.fullmatch(setting):
        held = _content(value) if setting.endswith("_FILE") else value
        candidates = [held.strip(), *(part.strip() for part in held.split(","))]
    elif "://" in value:
        logins = [part.rpartition("@")[0].rpartition("/")[2] for part in value.split(",")]
        passwords = [login.partition(":")[2] for login in logins]
        candidates = [*passwords, *map(unquote, passwords)]
    else:
        candidates = []
    yield from (candidate for candidate in candidates if len(candidate) >= _SHORTEST)


def _content(path: str) -> str:
    return Path(path).read_text(errors="replace") if Path(path).is_file() else ""


def _around(text: str, things: set[str]) -> str:
    first = min(text.index(thing) for thing in things)
    shown = text[max(0, first - _AROUND) : first + max(map(len, things)) + _AROUND]
    for thing in sorted(things, key=len, reverse=True):
        shown = shown.replace(thing, "***")
    return shown.strip()
