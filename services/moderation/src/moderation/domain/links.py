"""The links in a text, by their hosts."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

_SUFFIXES = PublicSuffixList(accept_unknown=False, only_icann=True)
"""What people register names under."""
_MOST_LABELS = 6
"""More than any of them has."""
_ENDS_OF_THREE = frozenset({"py"})
"""Domains under which nobody has a name of two labels. With two it is a file."""
_LONGEST_OF_A_COUNTRY = 2
_HOSTS = re.compile(r"(?<=[A-Za-z0-9])://(?:[^\s/?#@]*@)?(?:\[([^\]\s]*)\]?|(\w[\w.-]*))|[\w.-]+")
"""After any scheme any host, else what may be the name of one."""
_REST = re.compile(r"(?::\d+)?[/?#]\S*")
_INNER_DOT = re.compile(r"\w\.\w")
_BETWEEN_NAMES = re.compile(r"\.{2,}|_+")
_INVISIBLE = "­​‌‍⁠﻿"
_COMPATIBLE = (range(0x2024, 0x2025), range(0x2100, 0x2150), range(0x2460, 0x2500), range(0xFF01, 0xFFEF))
_MATHEMATICAL = range(0x1D400, 0x1D800)
_AS_BROWSERS_READ = {
    **{ord(sign): None for sign in _INVISIBLE},
    **{
        code: alike
        for code in (code for codes in (*_COMPATIBLE, _MATHEMATICAL) for code in codes)
        if len(alike := unicodedata.normalize("NFKC", chr(code))) == 1
    },
    0x3002: ".",
    0xFF61: ".",
}
"""Other forms of letters and dots. NFKC of the whole text would make up to 18 characters of one."""


def has_link(text: str) -> bool:
    """Whether there is any, see hosts_in."""
    return next(hosts_in(text), None) is not None


def hosts_in(text: str) -> Iterator[str]:
    """The hosts of addresses with a scheme, and names of hosts that somebody may have registered: what clients make a
    link of, e-mail addresses too. In order, as they are written. Linear in the length of the text.

    Where a dot stands between two words without a space nobody can tell a sentence from a host: "ok.now" is a link.
    A number before a domain of two letters is none ("at 10.am"), nor is a bare IP address.
    """
    if not text.isascii():
        text = text.translate(_AS_BROWSERS_READ)
    if "://" not in text and ("." not in text or not _INNER_DOT.search(text)):
        return
    end = 0
    for found in _HOSTS.finditer(text):
        if found.start() < end:
            continue  # in the path of the link before it
        address, word = found[1] or found[2], found[0]
        if address is None and not _INNER_DOT.search(word):
            continue
        hosts = [address] if address else [name for name in _BETWEEN_NAMES.split(word) if _is_host(name)]
        yield from (host.strip(".-") for host in hosts)
        if hosts and (rest := _REST.match(text, found.end())):
            end = rest.end()


def _is_host(name: str) -> bool:
    """Of letters, digits, hyphens and single dots."""
    name = name.strip(".-")
    if "." not in name:
        return False
    *names, end = (label.strip("-") for label in name.lower().split("."))
    if not names[-1] or (end in _ENDS_OF_THREE and len(names) < 2):
        return False
    if len(end) <= _LONGEST_OF_A_COUNTRY and names[-1].isdecimal():
        return False
    return _is_registrable(".".join([*names, end][-_MOST_LABELS:]))


@lru_cache(2_000)
def _is_registrable(name: str) -> bool:
    return _SUFFIXES.privatesuffix(name) is not None
