"""Settings of a process: declared as fields of frozen dataclasses, read from the environment once, refused by name.

A service declares one dataclass:

    @dataclass(frozen=True, slots=True)
    class Config:
        port: int = setting("ROOMS_PORT", whole(0, 65535), 50051, "port of gRPC")
        nats: NatsSettings = group(NatsSettings)

and reads it with `load(Config, environ, prefix="ROOMS_")`.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import Field, field, fields
from pathlib import Path
from typing import Any, TypeVar

from chassis.errors import BadSetting

_INJECTED = re.compile(r".*_SERVICE_HOST|.*_SERVICE_PORT(_.*)?|.*_PORT_\d+_.*")
_T = TypeVar("_T")


def setting(name: str, parse: Callable[[str], Any], default: Any, about: str) -> Any:
    """A field read from the variable `name`; `parse` raises ValueError with what the text must be."""
    return field(default=default, metadata={"name": name, "parse": parse, "about": about, "secret": False})


def secret(name: str, parse: Callable[[str], Any], default: Any, about: str) -> Any:
    """The same, also taken from a file (`NAME_FILE`), and never shown."""
    return field(default=default, repr=False, metadata={"name": name, "parse": parse, "about": about, "secret": True})


def group(kind: type[Any]) -> Any:
    """A field that holds the settings of another dataclass, which several services have alike."""
    return field(default_factory=kind, metadata={"group": kind})


def declared(kind: type[Any]) -> Iterator[Field[Any]]:
    """Every setting of a dataclass in its order, groups opened up."""
    for each in fields(kind):
        if "group" in each.metadata:
            yield from declared(each.metadata["group"])
        else:
            yield each


def load(kind: type[_T], environ: Mapping[str, str], *, prefix: str) -> _T:
    """Read every setting; an empty text is the default. Variables that begin with `prefix` and are no setting are
    refused, except what Kubernetes injects for its own services. Raises BadSetting."""
    settings = {each.metadata["name"]: each for each in declared(kind)}
    environ = _with_files(environ, (name for name, each in settings.items() if each.metadata["secret"]))
    unknown = sorted(
        n for n in environ if n.startswith(prefix) and n not in settings and not _is_injected(n, environ[n])
    )
    if unknown:
        raise BadSetting(f"{unknown[0]}: no such setting")
    return _read(kind, environ)


def _read(kind: type[_T], environ: Mapping[str, str]) -> _T:
    values: dict[str, Any] = {}
    for each in fields(kind):  # type: ignore[arg-type] # a dataclass, which the type cannot say
        if "group" in each.metadata:
            values[each.name] = _read(each.metadata["group"], environ)
            continue
        name = each.metadata["name"]
        raw = environ.get(name, "")
        if raw == "" or _is_injected(name, raw):
            continue
        try:
            values[each.name] = each.metadata["parse"](raw)
        except ValueError as problem:
            raise BadSetting(f"{name}: {problem}") from None
    return kind(**values)


def _is_injected(name: str, raw: str) -> bool:
    return _INJECTED.fullmatch(name) is not None or (name.endswith("_PORT") and raw.startswith("tcp://"))


def _with_files(environ: Mapping[str, str], secrets: Iterable[str]) -> dict[str, str]:
    found = dict(environ)
    for name in secrets:
        path = found.pop(f"{name}_FILE", "")
        if not path:
            continue
        if found.get(name):
            raise BadSetting(f"{name}_FILE: not together with {name}")
        found[name] = read_file(f"{name}_FILE", path).rstrip("\r\n")
        if not found[name]:
            raise BadSetting(f"{name}_FILE: the file is empty")
    return found


def read_file(name: str, path: str) -> str:
    """The text of a file that the setting `name` points to. Raises BadSetting."""
    try:
        return Path(path).read_text("utf-8")
    except OSError as problem:
        raise BadSetting(f"{name}: cannot be read: {problem.strerror or 'unreadable'}") from None
    except ValueError:  # not UTF-8, or a path with a zero byte in it
        raise BadSetting(f"{name}: cannot be read: not a text file") from None


def text(raw: str) -> str:
    """Any text."""
    return raw


def whole(smallest: int, largest: int) -> Callable[[str], int]:
    """A whole number, both bounds included."""

    def parse(raw: str) -> int:
        if not re.fullmatch(r"[0-9]{1,16}", raw, re.ASCII) or not smallest <= int(raw) <= largest:
            raise ValueError(f"must be a whole number from {smallest} to {largest}")
        return int(raw)

    return parse


def choice(*words: str) -> Callable[[str], str]:
    """One of these words."""

    def parse(raw: str) -> str:
        if raw not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return raw

    return parse


def flag(raw: str) -> bool:
    """0 or 1."""
    return choice("0", "1")(raw) == "1"


def addresses(raw: str) -> tuple[str, ...]:
    """One or more host:port, separated by commas."""
    found = tuple(part.strip() for part in raw.split(",") if part.strip())
    if not found or not all(_is_address(part) for part in found):
        raise ValueError("must be host:port, several separated by commas")
    return found


def address(raw: str) -> str:
    """One host:port."""
    found = addresses(raw)
    if len(found) != 1:
        raise ValueError("must be one host:port")
    return found[0]


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(
        re.fullmatch(r"[^\s/]+", host) and re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) and 0 < int(port) < 65536
    )


def host_of(host_and_port: str) -> str:
    """The host of a checked host:port."""
    return host_and_port.rpartition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
