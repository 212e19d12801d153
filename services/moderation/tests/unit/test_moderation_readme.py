"""README.md: the table of settings is the one that config.py reads."""

from dataclasses import fields
from pathlib import Path

import pytest

from moderation.config import Config

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.mark.parametrize("setting", fields(Config), ids=lambda f: f.metadata["name"])
def test_every_setting_is_documented_with_its_default(setting) -> None:  # type: ignore[no-untyped-def]  # Field[Any]
    assert f"| `{setting.metadata['name']}` | {setting.default} | {setting.metadata['about']} |" in README
