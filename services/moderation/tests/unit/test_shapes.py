"""What the look of a text tells: links, capitals, repeats, long words, piled-up marks."""

import time

import pytest
from hypothesis import given, settings, strategies as st

from moderation.domain.shapes import (
    capitals_percent,
    domain_problem,
    domains_of,
    hosts_in,
    is_allowed,
    longest_repeat,
    longest_word,
    most_marks,
)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("look at https://Example.com/x?y and www.b.co.uk.", ["example.com", "www.b.co.uk"]),
        ("t.me/abc or spam.xyz", ["t.me", "spam.xyz"]),
        ("http://10.0.0.1/x", ["10.0.0.1"]),
        ("пример.рф", ["xn--e1afmkfd.xn--p1ai"]),
        ("exa\u200bmple。com", ["example.com"]),
        ("write to me@example.com", ["example.com"]),
        ("no. Really no... 3.5 e.g", []),
        ("mailto:me@example.com", ["example.com"]),
        ("https://example.com/readme.md, b.org:80?q=c.com d.io", ["example.com", "b.org", "d.io"]),
        ("https://good.com@evil.com and [x](evil.co.za)", ["evil.com", "evil.co.za"]),
        ("http://[::1]:80/a.com http://[::2", ["::1", "::2"]),
        ("nothing", []),
    ],
)
def test_links_are_found_by_their_hosts(text: str, hosts: list[str]) -> None:
    assert hosts_in(text) == hosts


def test_an_allowed_domain_allows_what_is_in_it_and_nothing_that_ends_alike() -> None:
    assert is_allowed("www.example.com", domains_of(["example.com"]))
    assert is_allowed("xn--e1afmkfd.xn--p1ai", domains_of(["Пример.рф"]))
    assert not is_allowed("notexample.com", domains_of(["example.com"]))
    assert not is_allowed("example.com", domains_of([]))
    assert domains_of(["a..example"]) == {"a..example"}  # no name of a host: it is taken as it stands


@pytest.mark.parametrize("host", ["死" * 980, "死.com" + ".com" * 240, "".join(map(chr, range(0x4E00, 0x4E00 + 980)))])
def test_what_is_too_long_for_a_host_costs_nothing(host: str) -> None:
    began_s = time.process_time()
    assert hosts_in(f"http://{host}") == [host]
    assert time.process_time() - began_s < 0.02


@pytest.mark.parametrize("domain", ["co.uk", "github.io", "com", "", "nowhere.notatld", "a b", "a" * 70])
def test_what_nobody_owns_cannot_be_allowed(domain: str) -> None:
    assert domain_problem(domain) == f"{domain}: this is no domain that somebody owns"


def test_a_domain_of_somebody_can_be_allowed() -> None:
    assert domain_problem("example.co.uk") is None


def test_capitals_are_counted_among_letters_that_can_be_capitals() -> None:
    assert capitals_percent("WHY IS NOBODY here 123 死") == 73
    assert capitals_percent("OK GG WP") == 0  # too few
    assert capitals_percent("ПОЧЕМУ ВСЕ КРИЧАТ") == 100


@pytest.mark.parametrize(
    ("text", "times"), [("noooo", 4), ("NoOoO", 4), ("spam spam Spam eggs", 3), ("a    b", 1), ("", 0), ("💀💀💀", 3)]
)
def test_repeats_are_of_characters_or_words(text: str, times: int) -> None:
    assert longest_repeat(text) == times


def test_the_longest_word_is_no_link_and_counts_no_marks() -> None:
    assert longest_word("one seventeen https://example.com/a/very/long/path") == 9
    assert longest_word("z\u0301\u0302\u200bo") == 2
    assert longest_word("") == 0


def test_marks_that_belong_to_a_letter_do_not_pile_up() -> None:
    assert most_marks("é ñ e\u0301 Ệ") == 0
    assert most_marks("z\u0335\u0336\u0337a\u0335") == 3
    assert most_marks("") == 0


@settings(max_examples=150, deadline=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from("a.:/@ -。")), max_size=60))
def test_no_text_fails(text: str) -> None:
    for measure in (hosts_in, capitals_percent, longest_repeat, longest_word, most_marks):
        measure(text)
