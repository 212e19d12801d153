"""Slugs, names and titles."""

import pytest

from rooms.domain.naming import check_description, check_name, check_new_slug, extended, slug_from_name
from rooms.domain.people import Slug
from rooms.errors import InvalidInput


@pytest.mark.parametrize(
    "text", ["live-general", "été", "a.b_c:d@e~f-g", "x" * 128, "12a", "video-", "Video-1", "हिन्दी"]
)
def test_a_slug_is_letters_and_digits_of_any_script_with_some_signs(text: str) -> None:
    assert check_new_slug(text) == text


@pytest.mark.parametrize("text", ["", ".a", "a b", "a/b", "x" * 129, "a\n", "12", "video-7", "😀"])
def test_a_slug_of_only_digits_of_a_video_or_malformed_is_invalid(text: str) -> None:
    with pytest.raises(InvalidInput):
        check_new_slug(text)


def test_a_slug_is_brought_to_nfc() -> None:
    assert check_new_slug("e\u0301te\u0301") == "été"


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Discussion Générale", "discussion-générale"), ("42", "room-42"), ("Video 7", "room-video-7"), ("!!!", "room"),
     ("x" * 200, "x" * 108)],
)  # fmt: skip
def test_a_slug_is_made_from_the_name(name: str, slug: str) -> None:
    assert slug_from_name(name) == slug
    assert check_new_slug(slug) == slug


def test_a_numbered_slug_stays_within_the_length() -> None:
    assert extended(Slug("a"), "2") == "a-2"
    assert extended(Slug("x" * 128), "10") == "x" * 125 + "-10"


@pytest.mark.parametrize("name", ["", " \t", "x" * 201])
def test_a_name_is_neither_empty_nor_too_long(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_name(name)


def test_a_description_may_be_missing_but_not_too_long() -> None:
    assert check_description(None) is None
    with pytest.raises(InvalidInput):
        check_description("x" * 2001)
