"""Writes the table of settings into the README of each service that has the two marks, from its Config."""

import importlib
import sys
from pathlib import Path
from typing import Any

from chassis.settings import declared

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("ws_edge", "rooms", "moderation")
BEGIN = "<!-- settings: written by `make tables` -->"
END = "<!-- end of settings -->"


def table(service: str) -> str:
    """The rows of a service's settings, in the order of its Config."""
    config = importlib.import_module(f"{service}.config").Config
    rows = [
        f"| `{setting.metadata['name']}` | {_shown(setting.metadata['name'], setting.default)} "
        f"| {setting.metadata['about'].replace('|', chr(92) + '|')} |"
        for setting in declared(config)
    ]
    return "\n".join([BEGIN, "| setting | default | meaning |", "| --- | --- | --- |", *rows, END])


def with_table(text: str, service: str) -> str:
    """A README with its table as it should be; unchanged without the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + table(service) + after if begin and end else text


def _shown(name: str, default: Any) -> str:
    if name == "JWT_SECRET":
        return "a development secret"
    if isinstance(default, bool):
        return str(int(default))
    text = ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return f"`{text}`" if text else "none"


def main() -> int:
    """Rewrite what is out of date."""
    for service in SERVICES:
        readme = ROOT / "services" / service / "README.md"
        readme.write_text(with_table(readme.read_text(), service))
    return 0


if __name__ == "__main__":
    sys.exit(main())
