"""What documents repeat of the code is what the code says."""

import importlib
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from chassis.settings import declared
from tools.pins import FILES, OWN
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
    from ws_edge.errors import ErrorCode

    protocol = (ROOT / "docs" / "protocol.md").read_text()
    for code in ErrorCode:
        assert f"| `{code.text}` | `{code.value}` |" in protocol


@pytest.mark.parametrize("path", FILES)
def test_pinned_requirements_name_no_place_and_agree_with_each_other(path: str) -> None:
    """A line a release, with where it is left out, and one a hash of its files."""
    release = r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+(?: ; [a-z_0-9'\"<>=!. ]+)? \\"
    for line in (ROOT / path).read_text().splitlines()[1:]:
        assert re.fullmatch(rf"{release}|    --hash=sha256:[0-9a-f]{{64}}(?: \\)?", line, re.IGNORECASE), line
    everything = _pins("requirements/dev.txt") | _pins("requirements/run.txt") | _pins("requirements/fuzz.txt")
    assert {name: pin for name, pin in _pins(path).items() if everything.get(name) != pin} == {}


@pytest.mark.parametrize("path", ["requirements/run.txt", "requirements/dev.txt"])
def test_what_is_installed_is_what_is_pinned(path: str) -> None:
    wanted = {pin for pin in _pins(path).values() if pin.marker is None or pin.marker.evaluate()}
    assert len(wanted) > 30
    assert [str(pin) for pin in wanted if not pin.specifier.contains(version(pin.name))] == [], "make setup"


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_service_depends_on_is_pinned_for_its_image(service: str) -> None:
    parts = [ROOT / "protos", ROOT / "chassis", ROOT / "services" / service]
    projects = [tomllib.loads((part / "pyproject.toml").read_text())["project"] for part in parts]
    wanted = {canonicalize_name(Requirement(each).name) for project in projects for each in project["dependencies"]}
    assert wanted - _pins(f"services/{service}/requirements.txt").keys() <= set(OWN), "make pins"


FOLDERS = ("", "docs/**/", "services/*/", "chassis/", "protos/**/", "deploy/**/", "loadtests/", "tests/")
PAGES = sorted(page for folder in FOLDERS for page in ROOT.glob(f"{folder}*.md"))
PAGES_OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md" and page.parent.name != "decisions"]


def short(page: Path) -> str:
    """The page's name in the names of tests."""
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    links = re.findall(r"(?<!!)\[[^]]*\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES_OF_TODAY, ids=short)
def test_every_source_file_that_a_page_names_exists(page: Path) -> None:
    """As `folder/file.py`, seen from a package, or as `file.py` alone."""
    named = set(re.findall(r"`([A-Za-z_/0-9]+\.py)`", page.read_text()))
    sources = [
        path
        for top in ("chassis", "protos", "services", "tests", "tools", "loadtests")
        for path in (ROOT / top).rglob("*.py")
    ]
    known = ["/" + str(path.relative_to(ROOT)) for path in sources]
    assert {name for name in named if not any(path.endswith(f"/{name}") for path in known)} == set()


def test_the_architecture_names_files() -> None:
    assert len(re.findall(r"`[a-z_/]+\.py`", (ROOT / "docs" / "architecture.md").read_text())) > 10


def test_every_decision_is_in_the_list_of_decisions() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[a-z-]+\.md)\)", (folder / "README.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def _pins(path: str) -> dict[NormalizedName, Requirement]:
    lines = re.findall(r"^(\S+==.*) \\$", (ROOT / path).read_text(), re.MULTILINE)
    return {canonicalize_name(pin.name): pin for pin in map(Requirement, lines)}
