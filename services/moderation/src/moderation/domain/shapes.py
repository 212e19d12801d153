"""What the look of a text tells, without its words: links, capitals, repeats, long words, piled-up marks."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import groupby

from publicsuffixlist import PublicSuffixList

from moderation.domain import links
from moderation.domain.folding import is_hidden

FEWEST_LETTERS = 10
"""Of fewer than so many letters nobody says that most are capitals."""
_WORD = re.compile(r"\S+")
_LONGEST_HOST = 253
_LONGEST_LABEL = 63


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(accept_unknown=False)


def domain_problem(domain: str) -> str | None:
    """Why links to a domain can't be allowed, or None."""
    if _suffixes().privatesuffix(_ascii_host(domain)) is None:
        return f"{domain}: this is no domain that somebody owns"
    return None


def hosts_in(text: str) -> list[str]:
    """The hosts of the links in a text, in ASCII and small letters, in order."""
    return [_ascii_host(host) for host in links.hosts_in(text)]


def domains_of(allowed: Iterable[str]) -> frozenset[str]:
    """Allowed domains as `is_allowed` wants them."""
    return frozenset(map(_ascii_host, allowed))


def is_allowed(host: str, domains: frozenset[str]) -> bool:
    """Whether a host is one of these domains, or in one."""
    while host not in domains:
        _, dot, host = host.partition(".")
        if not dot:
            return False
    return True


def _ascii_host(host: str) -> str:
    """What is too long for a host stays as it is: the codec takes the square of its length."""
    host = host.lower().rstrip(".")
    if len(host) > _LONGEST_HOST or any(len(label) > _LONGEST_LABEL for label in host.split(".")):
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def capitals_percent(text: str) -> int:
    """How many of a text's letters are capitals; 0 where it has too few of those that can be."""
    letters = [c for c in text if c.islower() or c.isupper()]
    return 100 * sum(map(str.isupper, letters)) // len(letters) if len(letters) >= FEWEST_LETTERS else 0


def longest_repeat(text: str) -> int:
    """How often a character, or a word, stands one after the other at most. Spaces do not count."""
    folded = text.casefold()
    characters = max((len(list(run)) for c, run in groupby(folded) if not c.isspace()), default=0)
    return max(characters, max((len(list(run)) for _, run in groupby(folded.split())), default=0))


def longest_word(text: str) -> int:
    """Characters of the longest word that is no link; marks and what is invisible do not count."""
    words = (word for word in _WORD.findall(text) if not links.has_link(word))
    return max((sum(not is_hidden(c) for c in word) for word in words), default=0)


def most_marks(text: str) -> int:
    """How many marks a character has at most, beyond those that belong to it in writing."""
    most = marks = 0
    for character in unicodedata.normalize("NFC", text):
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        most = max(most, marks)
    return most
