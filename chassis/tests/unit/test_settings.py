"""settings.py: what is read, and what stops the start by name and without the value."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from chassis.errors import BadSetting
from chassis.settings import (
    address,
    addresses,
    choice,
    declared,
    flag,
    group,
    is_loopback,
    load,
    secret,
    setting,
    text,
    whole,
)


@dataclass(frozen=True, slots=True)
class Shared:
    url: str = setting("SHARED_URL", text, "here", "where it is")
    word: str = secret("SHARED_WORD", text, "", "the way in")


@dataclass(frozen=True, slots=True)
class Config:
    port: int = setting("THING_PORT", whole(0, 65535), 1, "port")
    shared: Shared = group(Shared)


def read(**environ: str) -> Config:
    return load(Config, environ, prefix="THING_")


def test_what_is_not_set_or_empty_is_the_default() -> None:
    assert read() == read(THING_PORT="", SHARED_URL="", PATH="/bin") == Config() == Config(1, Shared("here", ""))


def test_settings_of_a_group_are_read_with_the_others() -> None:
    assert read(THING_PORT="2", SHARED_URL="there") == Config(2, Shared("there"))
    assert [each.metadata["name"] for each in declared(Config)] == ["THING_PORT", "SHARED_URL", "SHARED_WORD"]


def test_an_unknown_name_with_the_prefix_is_refused_and_others_are_not_ours() -> None:
    with pytest.raises(BadSetting, match=r"^THING_PROT: no such setting$"):
        read(THING_PROT="1")
    assert read(OTHER_PROT="1") == Config()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("THING_SERVICE_HOST", "10.0.0.1"),
        ("THING_SERVICE_PORT", "1"),
        ("THING_SERVICE_PORT_GRPC", "1"),
        ("THING_PORT", "tcp://10.0.0.1:1"),
        ("THING_PORT_1_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_names_that_kubernetes_injects_are_ignored(name: str, value: str) -> None:
    assert read(**{name: value}) == Config()


def test_a_secret_may_come_from_a_file_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "word").write_text(" kX/9+q#t@1=\r\n")
    config = read(SHARED_WORD_FILE=str(tmp_path / "word"))
    assert config.shared.word == " kX/9+q#t@1="
    assert "kX" not in repr(config)


@pytest.mark.parametrize(
    ("content", "also", "problem"),
    [
        (b"", {}, "the file is empty"),
        (b"\xff\xfe", {}, "cannot be read: not a text file"),
        (b"x", {"SHARED_WORD": "y"}, "not together with SHARED_WORD"),
        (None, {}, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused(
    tmp_path: Path, content: bytes | None, also: dict[str, str], problem: str
) -> None:
    path = tmp_path / "word"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSetting) as refusal:
        read(SHARED_WORD_FILE=str(path), **also)
    assert str(refusal.value) == f"SHARED_WORD_FILE: {problem}"


def test_a_file_is_for_secrets_alone(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("there")
    assert read(SHARED_URL_FILE=str(tmp_path / "url")) == Config()
    with pytest.raises(BadSetting, match=r"^THING_PORT_FILE: no such setting$"):
        read(THING_PORT_FILE=str(tmp_path / "url"))


@pytest.mark.parametrize(
    ("parse", "raw", "value"),
    [
        (whole(0, 9), "9", 9),
        (choice("a", "b"), "b", "b"),
        (flag, "1", True),
        (flag, "0", False),
        (address, "[::1]:65535", "[::1]:65535"),
        (addresses, "a:1, b:2,", ("a:1", "b:2")),
    ],
)
def test_a_good_value_is_taken(parse: Callable[[str], object], raw: str, value: object) -> None:
    assert parse(raw) == value


@pytest.mark.parametrize(
    ("parse", "raw"),
    [
        (whole(0, 9), "10"),
        (whole(1, 9), "0"),
        (whole(0, 9), "-1"),
        (whole(0, 9), "٣"),
        (whole(0, 9), "1.5"),
        (whole(0, 9), " 1"),
        (choice("a", "b"), "A"),
        (flag, "yes"),
        (address, "a:1,b:2"),
        (addresses, ","),
        (addresses, "nowhere"),
        (addresses, "a:0"),
        (addresses, "a:65536"),
        (addresses, "http://a:1"),
    ],
)
def test_a_bad_value_is_refused_without_showing_it(parse: Callable[[str], object], raw: str) -> None:
    with pytest.raises(ValueError, match=r"^must be ") as refusal:
        parse(raw)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "salon.example", "localhost.example", "192.0.2.1"])
def test_another_machine_is_not_taken_for_this_one(host: str) -> None:
    assert not is_loopback(host)
