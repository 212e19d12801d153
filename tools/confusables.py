"""python -m tools.confusables confusables.txt: writes moderation's look-alikes again from Unicode's table.

The table is https://www.unicode.org/Public/<version>/security/confusables.txt; it is read here, not kept.
"""

import re
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

WRITTEN = Path(__file__).resolve().parent.parent / "services/moderation/src/moderation/domain/confusables.py"
HEAD = '''"""Characters that look like a Latin letter. Written by `python -m tools.confusables` from Unicode's table.

© Unicode, Inc., under the Unicode License v3 (https://www.unicode.org/license.txt).
"""

UNICODE_VERSION = "{version}"

LOOKALIKES = {{
{rows}
}}
"""Letter, and all that look like it, as they are written: before their case is folded."""
'''
_NAMED = re.compile(
    r"(?:LATIN (?:CAPITAL|SMALL|LETTER SMALL CAPITAL)(?: LETTER)?(?: (?:REVERSED|SIDEWAYS|SCRIPT|INSULAR|OPEN|DOTLESS|"
    r"BARRED|BLACKLETTER|LONG))*"
    r"|(?:NEGATIVE )?(?:CIRCLED|SQUARED|PARENTHESIZED) LATIN (?:CAPITAL|SMALL) LETTER"
    r"|REGIONAL INDICATOR SYMBOL LETTER) ([A-Z])(?: WITH .*)?"
)
_HEX = r"[0-9A-F]+"
_ROW = re.compile(rf"({_HEX}) ;\t({_HEX}(?: {_HEX})*) ;\tMA")


def bare(text: str) -> str:
    """Without compatibility forms and marks."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def letter(character: str) -> str:
    """The Latin letter that a character is, or is named after, else nothing."""
    plain = bare(character)
    if len(plain) == 1 and plain.isascii():
        return plain.lower() if plain.isalpha() else ""
    named = _NAMED.fullmatch(unicodedata.name(character, ""))
    return named[1].lower() if named else ""


def lookalikes(table: str) -> dict[str, set[str]]:
    """By letter. What Unicode holds for alike is alike, whichever of them the letter is named in."""
    groups: dict[str, set[str]] = defaultdict(set)
    for source, target in _ROW.findall(table):
        prototype = bare("".join(chr(int(code, 16)) for code in target.split()))
        if len(prototype) == 1:
            groups[prototype] |= {chr(int(source, 16)), prototype}
    found: dict[str, set[str]] = defaultdict(set)
    for prototype, members in groups.items():
        letters = {letter(prototype)} if letter(prototype) else {letter(member) for member in members} - {""}
        if len(letters) == 1:
            found[letters.pop()] |= members
    for character in map(chr, range(0x80, sys.maxunicode + 1)):
        if letter(character):
            found[letter(character)].add(character)
    known = {unicodedata.name(c, ""): name for name, members in found.items() for c in members}
    for character in map(chr, range(0x370, 0x530)):  # Greek and Cyrillic letters with a hook, a bar …
        name, has_more, _ = unicodedata.name(character, "").partition(" WITH ")
        if has_more and name in known and not any(character in members for members in found.values()):
            found[known[name]].add(character)
    return {
        name: {c for c in members if not c.isascii() and bare(c) not in (name, name.upper())}
        for name, members in found.items()
    }


def rows(characters: set[str]) -> str:
    """One entry's literal, escaped, in lines that fit."""
    lines = [""]
    for character in sorted(characters):
        code = ord(character)
        escaped = f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
        if len(lines[-1]) + len(escaped) > 106:
            lines.append("")
        lines[-1] += escaped
    return "".join(f'\n        "{line}"' for line in lines)


def main() -> int:
    """Write the module."""
    table = Path(sys.argv[1]).read_text(encoding="utf-8-sig")
    version = re.search(r"# Version: (\S+)", table)
    if version is None:
        print("this is no confusables.txt: it names no version", file=sys.stderr)
        return 1
    found = lookalikes(table)
    entries = [f'    "{name}": ({rows(found[name])}\n    ),' for name in sorted(found) if found[name]]
    WRITTEN.write_text(HEAD.format(version=version[1], rows="\n".join(entries)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
