"""What a run of the benchmark does; read once from the environment and the command line."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Sizes are those of the work rows times `share`; `seconds` is how long each sample sends."""

    repeat: int = 5
    seconds: float = 6
    minutes: float = 600
    """No repetition but the first begins a row after so long."""
    share: float = 1
    quick: bool = False
    rows: tuple[str, ...] = ()
    """Empty: all."""
    systems: tuple[str, ...] = ()
    """Empty: all. Salon is always there."""
    before: Path | None = None
    """Another checkout of Salon, as a peer."""
    write: bool = True

    def scaled(self, size: int, least: int = 2) -> int:
        """A size of this run."""
        return max(least, round(size * self.share))


class BadSetting(Exception):
    """A setting that cannot be used; the text begins with its name."""


def load(quick: bool) -> Settings:
    """BENCH_REPEAT, _SECONDS, _MINUTES, _SHARE, _ROWS, _SYSTEMS, _BEFORE, _WRITE. Raises BadSetting."""
    return Settings(
        repeat=int(_number("BENCH_REPEAT", 1 if quick else 5, 1, 100)),
        seconds=_number("BENCH_SECONDS", 3 if quick else 6, 0.5, 600),
        minutes=_number("BENCH_MINUTES", 600, 0, 10_000),
        share=_number("BENCH_SHARE", 1, 0.001, 1),
        quick=quick,
        rows=_names("BENCH_ROWS"),
        systems=_names("BENCH_SYSTEMS"),
        before=_checkout("BENCH_BEFORE"),
        write=not quick and os.environ.get("BENCH_WRITE", "1") == "1",
    )


def python_of(checkout: Path) -> Path:
    """The interpreter of its virtual environment."""
    return checkout.absolute() / ".venv" / "bin" / "python"


def cache() -> Path:
    """Where the generator and the peers are kept from one run to the next."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "salon-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _number(name: str, default: float, least: float, most: float) -> float:
    raw = os.environ.get(name) or str(default)
    try:
        value = float(raw)
    except ValueError:
        raise BadSetting(f"{name}={raw}: must be a number") from None
    if not least <= value <= most:
        raise BadSetting(f"{name}={raw}: must be from {least:g} to {most:g}")
    return value


def _checkout(name: str) -> Path | None:
    raw = os.environ.get(name)
    if not raw:
        return None
    if not python_of(Path(raw)).exists():
        raise BadSetting(f"{name}={raw}: has no virtual environment: make setup, there")
    return Path(raw)


def _names(name: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in os.environ.get(name, "").split(",") if part.strip())
