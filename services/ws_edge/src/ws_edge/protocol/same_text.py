"""When two texts are the same to whoever reads them."""

import unicodedata
from hashlib import blake2b

_DIACRITICS = (range(0x0300, 0x0370), range(0x1AB0, 0x1B00), range(0x1DC0, 0x1E00), range(0x20D0, 0x2100))
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
_LONGEST = 8
"""Characters that one may become."""
_MOST_KEPT = 20_000
"""Characters, which are fewer than Unicode has: hostile texts can't fill the memory."""


class _Folded(dict[int, str]):
    """What a character becomes, made where it is first seen: what is normalized as a whole may become 18 times as long,
    which a stranger could have done again and again."""

    def __missing__(self, code: int) -> str:
        apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", chr(code)).casefold())
        if len(self) >= _MOST_KEPT:
            self.clear()
        folded = self[code] = "".join(sign for sign in apart if not _is_dropped(sign))[:_LONGEST]
        return folded


def _is_dropped(sign: str) -> bool:
    """Accents and what nobody sees; vowel signs of other scripts tell words apart."""
    code = ord(sign)
    if any(code in codes for codes in _DIACRITICS) or code in _VARIATION_SELECTORS:
        return True
    return unicodedata.category(sign) == "Cf"


_FOLDED = _Folded()


def fold(text: str) -> str:
    """A text without what does not tell it from another one: case, accents, other forms of letters (NFKD), signs that
    nobody sees, and how much white space there is. The text itself where nothing would be left.

    >>> fold("  Ｈéllo \\u200b WORLD ")
    'hello world'
    """
    folded = text.casefold() if text.isascii() else text.translate(_FOLDED)
    return " ".join(folded.split()) or text


def digest_of(text: str) -> bytes:
    """16 bytes that two texts have in common where they fold to the same."""
    return blake2b(fold(text).encode(errors="surrogatepass"), digest_size=16).digest()
