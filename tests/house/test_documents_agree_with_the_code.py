"""What documents repeat of the code is what the code says."""

import importlib
import re
from pathlib import Path

import pytest
from packaging.utils import NormalizedName, canonicalize_name

from chassis.settings import declared
from tools.pins import FILES, text
from tools.settings_tables import SERVICES, with_table

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_of_settings_in_a_readme_is_up_to_date(service: str) -> None:
    readme = (ROOT / "services" / service / "README.md").read_text()
    assert with_table(readme, service) == readme, "make tables"


def test_every_setting_in_the_front_page_exists() -> None:
    known = {"PORT", "DATA_DIR"}
    for service in SERVICES:
        known |= {setting.metadata["name"] for setting in declared(importlib.import_module(f"{service}.config").Config)}
    rows = re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    shown = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert shown >= {"PORT", "WS_EDGE_HOST", "ROOMS_AUTO_CREATE"}
    assert shown <= known


def test_every_error_text_and_code_is_in_the_protocol_document() -> None:
    from ws_edge.protocol.errors import ErrorCode

    protocol = (ROOT / "docs" / "protocol.md").read_text()
    for code in ErrorCode:
        assert f"| `{code.text}` | `{code.value}` |" in protocol


@pytest.mark.parametrize("path", sorted(path for path in FILES))
def test_pinned_requirements_name_no_place_and_agree_with_each_other(path: str) -> None:
    pins = _pins(ROOT / path)
    everything = _pins(ROOT / "requirements" / "run.txt") | _pins(ROOT / "requirements" / "dev.txt")
    assert pins
    assert {name: version for name, version in pins.items() if everything.get(name) != version} == {}


def test_what_is_installed_is_what_is_pinned() -> None:
    title, roots, already = FILES["requirements/run.txt"]
    assert (ROOT / "requirements" / "run.txt").read_text() == text(title, roots, already), "make pins"


@pytest.mark.parametrize("page", sorted(p for p in ROOT.glob("docs/**/*.md")) + sorted(ROOT.glob("*.md")))
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    links = re.findall(r"(?<!!)\[[^]]*\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_file_that_the_architecture_names_exists() -> None:
    named = re.findall(r"`([a-z_/]+\.py)`", (ROOT / "docs" / "architecture.md").read_text())
    sources = [ROOT / "services" / service / "src" / service for service in SERVICES]
    assert len(named) > 10
    assert [name for name in named if not any((source / name).is_file() for source in sources)] == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[a-z-]+\.md)\)", (folder / "README.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def _pins(path: Path) -> dict[NormalizedName, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", line) for line in lines)
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
