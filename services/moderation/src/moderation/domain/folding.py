"""What a text reads as to a person, however its characters were disguised. Nothing here changes what is shown.

A text becomes glyphs, each with the letters that it may stand for. A *reading* is a row of glyphs and breaks: signs are
breaks or letters ("$h!t"), spaced-out letters are apart or joined. There are at most READINGS of a text, and each
costs a fixed number of passes over it.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain, groupby
from typing import Any, NamedTuple

import re2

from moderation.domain.confusables import LOOKALIKES

_LATIN = "abcdefghijklmnopqrstuvwxyz"
_WRITTEN_WITH = (
    "คв¢∂єƒﻮнιנкℓмησρףяѕтυνωχуz",
    "ค๒ς๔єŦɠђเןкl๓ภ๏קợгรtยשฬאץչ",
    "ąɓƈđε∱ɠɧïʆҡℓɱŋσþҩŗşŧų√щхγẕ",
    "₳฿₵ĐɆ₣₲ⱧłJ₭Ⱡ₥₦Ø₱QⱤ₴₮ɄV₩ӾɎⱫ",
    "卂乃匚ᗪ乇千Ꮆ卄丨ﾌҜㄥ爪几ㄖ卩Ɋ尺丂ㄒㄩᐯ山乂ㄚ乙",
    "ﾑ乃ᄃり乇ｷムんﾉﾌズﾚﾶ刀のｱゐ尺丂ｲひ√Wﾒﾘ乙",
    "卂乃匸刀モ下ム卄工丁长乚从𠘨口尸㔿尺丂丅凵リ山乂丫乙",
    "Λ฿ᄃDΣFGΉIJKᄂMПӨPQЯƧTЦVЩXҰZ",
    "ᗩᗷᑕᗞᕮᖴᏀᕼᓰᒍᏦᒪᗰᑎᗝᑭᑫᖇᔕTᑌᐯᗯ᙭Ⴤᘔ",
    "ᗅᕊᑢᕲᘿᖶᘜᕱᓵᒚᖽᒪᘻᘉᓍᕵᕴᖆSᖶᘮᐺᘺ᙭ᖻᗱ",
    "ᏗᏰፈᎴᏋᎦᎶᏂᎥᏠᏦᏝᎷᏁᎧᎮᎤᏒᏕᏖᏬᏉᏇጀᎩፚ",
    "ąცƈɖɛʄɠɧıʝƙƖɱŋơ℘զཞʂɬų۷ῳҳყʑ",
    "ȺՅՇԺҽƒցհìʝҟӀʍղօքզɾʂէմѵա×վՀ",
    "ǟɮƈɖɛʄɢɦɨʝӄʟʍռօքզʀֆȶʊʋաӼʏʐ",
    "ꍏꌃꉓꀸꍟꎇꁅꃅꀤꀭꀘ꒒ꂵꈤꂦꉣꆰꋪꌗ꓄ꀎꃴꅏꊼꌩꁴ",
    "ꋬꃳꉔ꒯ꏂꊰꍌꁝ꒐꒻ꀘ꒒ꂵꋊꄲꉣꆰꋪꇙ꓄꒤꒦ꅐꉧꌦꁴ",
    "ልጌርዕቿቻኗዘጎጋጕረጠክዐየዒዪነፕሁሀሠሸሃጊ",
    "ค๖¢໓ēfງhiวkl๓ຖ໐p๑rŞtนงຟxฯຊ",
    "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵",
    "ɐqɔpǝɟƃɥᴉɾʞꞁɯuodbɹsʇnʌʍxʎz",
    "∀𐐒ƆᗡƎℲ⅁HIſʞ⅂WNOԀΌᴚS⊥∩ΛMX⅄Z",
    "αճςժεբ9հιյκĿмղΘρգг$τυνώאγՀ",
)
"""Alphabets, a to z, of the sites that write a text "in another font", for letters that Unicode's table lacks."""
_TURNED = str.maketrans("ɐɔǝɟƃɥᴉıɾʞꞁɯɹʇʌʍʎnupdbq", "acefghiijklmrtvwyundpqb")
"""A text upside down is written from its end."""
_TURNED_ALONE = frozenset("ɐɔǝɟƃɥᴉɾʞꞁɯɹʇʎ")
_MORE_LOOKALIKES = {
    "a": "∆Λλдл",
    "b": "βбьЪъ",
    "d": "δ∂",
    "e": "ε€ⲉэ",
    "f": "ϝ",
    "i": "Ꮖ",
    "l": "լԼ",
    "m": "μ",
    "n": "пπП",
    "o": "ф",
    "r": "Я",
    "s": "Σ",
    "u": "иИцЦуμυᥙ",
    "v": "и",
    "w": "ωΩшщ",
    "x": "χж",
    "y": "υч",
    "z": "ζ",
    "c": "ς",
    "б": "Ƃƃ",
    "в": "ʙ",
    "д": "∂",
    "з": "ʒɜӡ",
    "л": "ʌΛλ",
    "п": "π",
    "т": "τ",
    "ф": "φ",
    "ш": "ɯ",
    "ь": "ƅ",
    "я": "ʁ",
}
"""Read as these letters in chats, and missing in Unicode's table, or another letter there, which stays first."""
_BETTER = {"ε": "e", "€": "e", "ⲉ": "e", "ꞅ": "r", "ғ": "f"}
"""What looks like another letter than the one that Unicode's table or its name says."""

_LEET_DIGITS = {
    "0": "oоオ",
    "1": "ilイ",
    "2": "zニ",
    "3": "eзэミサ",
    "4": "a死シч",
    "5": "sゴ",
    "6": "bgロムб",
    "7": "tナ",
    "8": "bвハヤ",
    "9": "gqяクキ",
}
"""By their look, and in Japanese by their names."""
_LEET_SIGNS = {
    "@": "a",
    "^": "a",
    "(": "c",
    "<": "c",
    "{": "c",
    "¢": "c",
    "€": "e",
    "#": "h",
    "!": "il",
    "¡": "il",
    "|": "il",
    "£": "l",
    "$": "sсス",
    "§": "s",
    "+": "t",
    "†": "t",
    "×": "x",
    "¥": "y",
}
_LEADING, TRAILING_SIGNS = "!¡(<{|+#^×@", "!¡(<{#^×"
"""Signs that also stand before and after words, without being letters of them."""
_TRIMMED = (("", TRAILING_SIGNS), (_LEADING, _LEADING), ("", ""))
_ALL_SIGNS = "".join(_LEET_SIGNS)
_WORDS_OF_ONE_LETTER = frozenset("aeiouywzàèéòóавикосуя")
_DRAWN = {
    "/\\/\\": "m",
    "\\/\\/": "w",
    "|\\/|": "m",
    "[\\/]": "m",
    "(\\/)": "m",
    "|/\\|": "w",
    "|v|": "m",
    "/v\\": "m",
    "|\\|": "n",
    "/\\/": "n",
    "[\\]": "n",
    "(_)": "u",
    "|_|": "u",
    "[_]": "u",
    "\\_/": "u",
    "|-|": "h",
    "]-[": "h",
    ")-(": "h",
    "}-{": "h",
    "}|{": "ж",
    ">|<": "ж",
    "/-\\": "a",
    "\\/": "v",
    "/\\": "a",
    "|<": "k",
    "|{": "k",
    "|=": "f",
    "|)": "d",
    "|]": "d",
    "|>": "p",
    "|2": "r",
    "|3": "b",
    "|_": "l",
    "_|": "j",
    "()": "o",
    "[]": "o",
    "{}": "o",
    "<>": "o",
    "><": "x",
    "}{": "x",
    ")(": "x",
    "vv": "w",
    "ph": "f",
    "9i": "я",
    "9|": "я",
    "タヒ": "死",
    "ﾀﾋ": "死",
    "ß": "b",
}
"""Letters drawn with several characters, the longer ones first; and ß, where no German word has it."""
_DRAWN_WITH = re.compile(r"[|\\/(\[{<>}\])ßタﾀ]")
_ANY_DRAWN = re.compile(
    r"(?=[|\\/(\[{<>}\])_vp9タﾀß])(" + "|".join([*map(re.escape, [*_DRAWN][:-1]), "(?<![aeiouyäöü])ß"]) + ")",
    re.IGNORECASE | re.ASCII,
)

_ASCII_LOOKALIKES = {"I": "il", "v": "vu", "V": "vu"}

ALPHABETS = tuple(
    map(
        frozenset,
        (
            "àâæçéèêëîïôœùûüÿñ",  # French
            "áéíñóúü",  # Spanish
            "áâãàçéêíóôõú",  # Portuguese
            "äöüé",  # German
            "àèéìíîòóùú",  # Italian
            "ąćęłńóśźż",  # Polish
            "çğıöşüâîû",  # Turkish
            "áčďéěíňóřšťúůýž",  # Czech, Slovak
            "åäöæøé",  # Danish, Norwegian, Swedish
            "áéíóöőúüű",  # Hungarian
            "ăâîșțşţ",  # Romanian
            "čćđšž",  # Croatian
        ),
    )
)
"""What is written with marks every day, by language: a word whose marks are all of one of these is not disguised."""
_EVERYDAY = frozenset(chain.from_iterable(ALPHABETS))
_CYRILLIC = frozenset("абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґўјљњћџђ")
_CYRILLIC_BY_NAME = {unicodedata.name(letter): letter for letter in _CYRILLIC}
_GREEK = frozenset("αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΐΰ")

_KATAKANA = {hiragana: chr(hiragana + 0x60) for hiragana in range(0x3041, 0x3097)}
"""A word in the other one of the two is the same word."""
_DRAWN_OUT_KANA = re.compile("([\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d])([ー〜～ｰ]+)")
_LONG_VOWELS = "ー〜～ｰ"

_ELIDED = re.compile(r"['’](?:(?<=\b[cdjlmnstCDJLMNST].)|(?<=\b[qQ][uU].))(?=\w\w\w)")
"""As in "l'eau". What is looked for first is one of two characters: anything else before it takes ten times as long."""

_HIDDEN = frozenset(
    chain(
        "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0",
        map(chr, range(0x180B, 0x1810)),
        map(chr, range(0xFE00, 0xFE10)),
        map(chr, range(0xE0000, 0xE1000)),
    )
)
"""Default ignorable characters that are neither controls of format nor marks."""
_BLANK = "\u2800"  # of Braille
_FOLDED_MARKS = ("COMBINING", "CYRILLIC", "HEBREW", "ARABIC")
"""Marks whose names begin so are left out. Those of other scripts are vowels: without them words mean others."""
_RIGHT_TO_LEFT, _EMBEDDINGS, _POPS, _PARAGRAPHS = (
    "\u202e",
    "\u202a\u202b\u202d\u2066\u2067\u2068",
    "\u202c\u2069",
    "\n\u2029",
)
_DIRECTED = re.compile(f"[{_RIGHT_TO_LEFT}{_EMBEDDINGS}{_POPS}]")


def _alike() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, characters in LOOKALIKES.items():
        for character in characters:
            found.setdefault(character, {"i": "il", "l": "li"}.get(name, name))  # one stroke is either
    for name, characters in _MORE_LOOKALIKES.items():
        for character in characters:
            if name not in found.get(character, ""):
                found[character] = found.get(character, "") + name
    for alphabet in _WRITTEN_WITH:
        for name, character in zip(_LATIN, alphabet, strict=True):
            if not character.isascii() and name not in found.get(character, ""):
                found[character] = found.get(character, "") + name
    return found | _BETTER


_ALIKE = _alike()


def _classes(several: Iterable[str]) -> dict[str, str]:
    """A letter of the alphabet for every letter: the same one for all that one character may stand for."""
    classes = {letter: letter for letter in _LATIN}
    for letters in several:
        joined = {classes.get(letter, letter) for letter in letters}
        kept = min(joined)
        classes.update({letter: kept for letter, earlier in classes.items() if earlier in joined})
        classes.update(dict.fromkeys(letters, kept))
    return classes


_LATIN_IN_ASCII = tuple(
    "".join(filter(_LATIN.__contains__, letters))
    for letters in (*_LEET_DIGITS.values(), *_LEET_SIGNS.values(), *_ASCII_LOOKALIKES.values())
)
_CLASSES = _classes(_LATIN_IN_ASCII)
"""For texts in Latin letters that are written every day."""
_BROAD_CLASSES = _classes(
    (
        *_LATIN_IN_ASCII,
        "mnuvy",
        *(_ALIKE[letter][0] + letter for letter in sorted(_CYRILLIC | _GREEK) if letter in _ALIKE),
    )
)
"""For all others: what most of the look-alikes of other alphabets have in common."""
ALTERNATIVES = 4
"""In so many classes at most one character is looked for; a word is found where all are of the first, or all of the
second … classes of its characters."""


class Script(IntEnum):
    """By which a word is told from one that mixes alphabets."""

    OTHER = 0
    LATIN = 1
    CYRILLIC = 2
    GREEK = 3
    HEBREW = 4
    ARABIC = 5
    THAI = 6
    ARMENIAN = 7
    GEORGIAN = 8
    ETHIOPIC = 9
    CJK = 10
    HIRAGANA = 10
    KATAKANA = 10


@dataclass(frozen=True, slots=True, eq=False)
class Glyph:
    """What one letter, digit or sign is, and what it may stand for."""

    base: str
    """Itself without case, form and marks: one character."""
    letters: str
    """All that it may be read as: `base` where that is no sign, then the letters that it looks like, the likeliest
    first."""
    script: Script
    accented: str = ""
    """The letter of an everyday alphabet that it is with its marks; empty where it has none."""
    is_odd: bool = False
    """Nobody writes it without a purpose: another form of a letter, or one that looks like a letter of elsewhere."""
    is_digit: bool = False
    is_sign: bool = False
    code: str = field(init=False)
    """Its class: a small letter where it may be read as a Latin letter or a digit, else a capital."""
    broad_codes: tuple[str, ...] = field(init=False)
    """ALTERNATIVES of the broad classes, the last one repeated; of a kana or an ideograph its own one, and last a Latin
    letter's, so that digits read as kana stand beside it."""

    def __post_init__(self) -> None:
        latin = next((c for c in self.letters if c in _CLASSES), "")
        object.__setattr__(self, "code", _CLASSES[latin] if latin else chr(ord("A") + ord(self.base) % 26))
        is_other = self.is_digit or (self.is_odd and self.script is not Script.CJK and self.base not in _BROAD_CLASSES)
        letters = self.letters.lstrip(self.base) if is_other else ""
        broad = [*dict.fromkeys(_BROAD_CLASSES.get(c, chr(ord("A") + ord(c) % 26)) for c in letters or self.letters)]
        last = broad[-1:] * ALTERNATIVES
        codes = broad[:1] * (ALTERNATIVES - 1) + last if self.script is Script.CJK else broad + last
        object.__setattr__(self, "broad_codes", tuple(codes[:ALTERNATIVES]))


class Break(IntEnum):
    """What stands between words. White space alone parts "f.u.c.k" from what follows."""

    SPACE = 1
    PUNCTUATION = 2


class Placed(NamedTuple):
    """A glyph, the index of the character that it came from, and that character."""

    glyph: Glyph
    at: int
    character: str


Item = Placed | Break
Reading = list[Item]

_ORDERS = 3
READINGS = 36
"""At most so many of a text: three orders, signs in four ways, words in two of these in four, else in two."""


def is_hidden(character: str) -> bool:
    """Whether it is a mark, a control of format, or nothing to the eye."""
    if character in _HIDDEN:
        return True
    category = unicodedata.category(character)
    if category == "Mn":
        return unicodedata.name(character, "").startswith(_FOLDED_MARKS)
    return category in ("Cf", "Me")


def _bare(text: str) -> str:
    """Without case, compatibility forms and marks."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if not is_hidden(c)))


def _script(lower: str) -> Script:
    alphabet = unicodedata.name(lower, "").partition(" ")[0]
    return Script.__members__.get(alphabet, Script.OTHER)


_DRAWN_GLYPHS = {drawn: Glyph(letter, letter, Script.OTHER, is_sign=True) for drawn, letter in _DRAWN.items()}


def glyphs_of(character: str) -> tuple[Glyph, ...] | Break:
    """What a character is: glyphs, none at all, or a break."""
    bare = _bare(character)[:_LONGEST].translate(_KATAKANA)
    if not bare or is_hidden(character):
        return ()
    sign = character if character in _LEET_SIGNS else bare
    if sign in _LEET_SIGNS:
        return (Glyph(sign, _LEET_SIGNS[sign], Script.OTHER, is_sign=True),)
    if bare in _LEET_DIGITS:
        return (Glyph(bare, bare + _LEET_DIGITS[bare], Script.OTHER, is_odd=character != bare, is_digit=True),)
    alike = _ALIKE.get(character, "") or _ALIKE.get(character.lower(), "")
    if alike or (len(bare) == 1 and bare.isalnum()):
        return (_letter(character, bare, alike),)
    found = tuple(_letter(character, c, _ALIKE.get(c, "")) for c in bare if c.isalnum())
    return found or (Break.SPACE if character.isspace() or character == _BLANK else Break.PUNCTUATION)


def glyphs_in(character: str) -> tuple[Glyph, ...]:
    """The glyphs of a character, none where it is a break."""
    glyphs = _GLYPHS[character]
    return () if isinstance(glyphs, Break) else glyphs


def _letter(character: str, bare: str, alike: str) -> Glyph:
    lower = character.lower().translate(_KATAKANA) if len(character.lower()) == 1 else bare
    script = Script.CJK if _script(bare[0]) is Script.CJK else _script(lower)
    base = bare if len(bare) == 1 and bare.isalnum() else alike[0]
    if script is Script.LATIN and alike and not bare.isascii():
        base = alike[0]
    if character.isascii():
        return Glyph(base, _ASCII_LOOKALIKES.get(character, base), script)
    is_everyday = (
        lower in _EVERYDAY
        or character in "ßẞİ"
        or lower in _CYRILLIC
        or lower in _GREEK
        or (
            (script > Script.GREEK or (script is Script.OTHER and not alike))
            and unicodedata.normalize("NFKC", character) == character
        )
    )
    letters = "".join(dict.fromkeys(base + _without_tail(lower) + alike + _ALIKE.get(base, "")))
    accented = lower if is_everyday and lower not in (base, "ё", "ß") else ""
    return Glyph(base, letters, script, accented, is_odd=not is_everyday)


def _without_tail(lower: str) -> str:
    """The Cyrillic letter that one with a tail, a hook or a bar is made of."""
    name, has_more, _ = unicodedata.name(lower, "").partition(" WITH ")
    return _CYRILLIC_BY_NAME.get(name, "") if has_more else ""


def _prepared(text: str) -> str:
    """Composed, what lengthens a vowel as that letter again, and without articles before an apostrophe."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
        if any(map(text.__contains__, _LONG_VOWELS)):
            text = _DRAWN_OUT_KANA.sub(lambda kana: kana[1] * (1 + len(kana[2])), text)
    return _ELIDED.sub(" ", text) if "'" in text or "’" in text else text


def readings(text: str) -> Iterator[Reading]:
    """The ways to read a text that say different things, each once."""
    seen = set()
    for ordered in _orders(_prepared(text)):
        for reading in _ways(ordered):
            codes = codes_of(reading)
            if codes not in seen:
                seen.add(codes)
                yield reading


def _orders(text: str) -> list[str]:
    """A text as it is stored and as it is seen, and in lower case, where some letters look like others."""
    orders = [text] if _RIGHT_TO_LEFT not in text else [text, displayed(text)]
    if not text.isascii() and not text.islower():
        orders.append(orders[-1].lower())
    if _is_turned(text):
        orders.append(text[::-1].translate(_TURNED))
    return orders[:_ORDERS]


def _is_turned(text: str) -> bool:
    return not _TURNED_ALONE.isdisjoint(text)


class _Folded(dict[int, str]):
    """By code point, as str.translate wants it, kept as they come."""

    def __missing__(self, code_point: int) -> str:
        _keep_small(self)
        folded = self[code_point] = _bare(chr(code_point))[:_LONGEST]
        return folded


def fold(text: str) -> str:
    """A text without case, compatibility forms, marks and what is invisible. Folding it again changes nothing."""
    return _fold(text)[0]


def _fold(text: str) -> tuple[str, bool]:
    """A folded text, and whether all its characters are written every day."""
    if text.isascii():
        return text.lower(), True
    for characters in _CHARACTER_SETS:
        if (everyday := characters.encode(text, "strict")) is not None:
            return codecs.charmap_decode(everyday, "strict", characters.folded)[0], True
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).translate(_FOLDED)), not is_odd(text)


def texts_for_expressions(text: str) -> list[str]:
    """What expressions see: a text folded, and, where that differs, in one plain way to read it. There words of several
    alphabets are in Latin letters, signs and digits in words are letters, three and more of a letter are one, and
    spelled words are joined."""
    folded, is_everyday = _fold(text)
    read = folded
    disguises = _DISGUISES.Match(read.encode(errors="replace")) or ()
    if is_everyday and not disguises:
        return [folded]
    if _MIXED in disguises or not is_everyday:
        shown = displayed(unicodedata.normalize("NFC", text))
        read = fold("".join(_one_alphabet(part) for part in _WORDS.split(shown)))
        disguises = _DISGUISES.Match(read.encode(errors="replace")) or ()
    if _LEET in disguises:
        read = " ".join([word if word.isalpha() else _without_leet(word) for word in read.split(" ")])
    if _DRAWN_OUT in disguises:
        read = _THREE.sub(r"\1", read)
    if _SPELLED_APART in disguises:
        read = _SPELLED_OUT.sub(lambda spelled: _NO_LETTERS.sub("", spelled[0]), read)
    return [folded] if read == folded else [folded, read]


_MIXED, _LEET, _DRAWN_OUT, _SPELLED_APART = range(4)
_DISGUISES = re2.Set.SearchSet()
for _expression in (
    r"[a-z][Ͱ-ӿ]|[Ͱ-ӿ][a-z]",
    r"\pL[0-9@$|+(€§]|[0-9@$!|+(€§]\pL",
    "|".join(f"{letter}{{3}}" for letter in "abcdefghijklmnopqrstuvwxyzабвгдежзийклмнопрстуфхцчшщъыьэюя"),
    r"(?:^|[^\pL\pN])\pL[^\pL\pN]{1,3}\pL[^\pL\pN]{1,3}\pL(?:[^\pL\pN]|$)",
):
    _DISGUISES.Add(_expression)
_DISGUISES.Compile()
_WORDS = re.compile(r"(\s+)")
_THREE = re.compile(r"([^\W\d_])\1{2,}")
_NO_LETTERS = re.compile(r"[\W_]+")
_SPELLED_OUT = re.compile(r"(?<!\w)[^\W\d_](?:[\W_]{1,3}[^\W\d_](?!\w)){2,}")
_LEET_LETTERS = str.maketrans({character: letters[0] for character, letters in (_LEET_DIGITS | _LEET_SIGNS).items()})
_LEET_EDGES = _LEADING + "?.,;:)]}"


def _one_alphabet(word: str) -> str:
    """In Latin letters, where it has letters of several alphabets, or others that nobody writes without a purpose."""
    if word.isascii():
        return word
    glyphs = [glyph for character in word for glyph in glyphs_in(character)]
    scripts = {glyph.script for glyph in glyphs} - {Script.OTHER}
    if len(scripts) > 1 or any(glyph.is_odd for glyph in glyphs):
        return "".join(map(_latin, word))
    return word


def _without_leet(word: str) -> str:
    core = word.strip(_LEET_EDGES)
    if core.isalpha() or not any(map(str.isalpha, core)):
        return word
    return word.replace(core, core.translate(_LEET_LETTERS), 1)


def _latin(character: str) -> str:
    """The Latin letters that a character looks like, else itself."""
    glyphs = glyphs_in(character)
    if not glyphs:
        return "" if is_hidden(character) else character
    return (
        "".join(next((c for c in glyph.letters if c.isascii()), glyph.base) for glyph in glyphs if not glyph.is_sign)
        or character
    )


def term_reading(term: str) -> Reading:
    """The one way to read what somebody looks for: signs inside of words are letters, others are breaks."""
    return _trimmed(_placed(_prepared(term).lower(), is_drawn=False), _LEADING, _LEADING)


def displayed(text: str) -> str:
    """In the order in which it is seen: what a control forces from right to left is turned round, as a whole, whatever
    other controls are within."""
    if not _DIRECTED.search(text):
        return text
    shown: list[str] = []
    depth = turned_depth = 0
    since: int | None = None
    for character in chain(text, _PARAGRAPHS[0]):
        if character == _RIGHT_TO_LEFT or character in _EMBEDDINGS:
            depth += 1
            if character == _RIGHT_TO_LEFT and since is None:
                since, turned_depth = len(shown), depth
            continue
        if character in _PARAGRAPHS or character in _POPS:
            depth = max(0, depth - 1) if character in _POPS else 0
            if since is not None and depth < turned_depth:
                shown[since:] = reversed(shown[since:])
                since = None
        if character not in _POPS:
            shown.append(character)
    return "".join(shown[:-1])


def codes_of(reading: Reading) -> str:
    """One code for each item: a space for a break, else that of the glyph's first broad class."""
    return "".join([_SPACE if isinstance(item, Break) else item.glyph.broad_codes[0] for item in reading])


def alternatives_of(reading: Reading) -> list[str]:
    """The same of each of ALTERNATIVES, each once."""
    codes = [_BREAK_CODES if isinstance(item, Break) else item.glyph.broad_codes for item in reading]
    return list(dict.fromkeys(map("".join, zip(*codes, strict=True))))


def _ways(text: str) -> Iterator[Reading]:
    """Signs as breaks, as letters, and as letters inside of words alone; each as it stands, and joined."""
    signs = _placed(text, is_drawn=False)
    ways = [[Break.PUNCTUATION if not isinstance(item, Break) and item.glyph.is_sign else item for item in signs]]
    if ways[0] != signs or _ANY_DRAWN.search(text):
        letters = _placed(text, is_drawn=True)
        ways += [_trimmed(letters, leading, trailing) for leading, trailing in _TRIMMED]
    for number, reading in enumerate(ways):
        yield reading
        if Break.PUNCTUATION in reading:
            yield [item for item in reading if item is not Break.PUNCTUATION]
        if number < 2 and _SPELLED.search(collapse(f" {codes_of(reading)} ".encode())):
            yield from _unspelled(reading)


def _placed(text: str, *, is_drawn: bool) -> Reading:
    reading: Reading = []
    at = 0
    for number, piece in enumerate(_ANY_DRAWN.split(text) if is_drawn else [text]):
        if number % 2:
            reading.append(Placed(_DRAWN_GLYPHS[piece.lower()], at, piece))
            at += len(piece)
            continue
        for character in piece:
            glyphs = _GLYPHS[character]
            if isinstance(glyphs, Break):
                reading.append(glyphs)
            else:
                reading += [Placed(glyph, at, character) for glyph in glyphs]
            at += 1
    return reading


def _parts(reading: Reading) -> Iterator[list[Item]]:
    """Words and gaps in turn."""
    for _, items in groupby(reading, lambda item: isinstance(item, Break)):
        yield list(items)


def _trimmed(reading: Reading, leading: str, trailing: str) -> Reading:
    """Without these signs at the edges of words. A sign alone is a letter only beside others that stand alone."""
    trimmed: Reading = []
    parts = list(_parts(reading))
    for number, part in enumerate(parts):
        begin, end = 0, len(part)
        if end > 1:
            while begin < end and _is_one_of(part[begin], leading):
                begin += 1
            while begin < end and _is_one_of(part[end - 1], trailing):
                end -= 1
        if end - begin == 1 and _is_one_of(part[begin], _ALL_SIGNS):
            beside = [parts[other] for other in (number - 2, number + 2) if 0 <= other < len(parts)]
            end = end if any(len(other) == 1 for other in beside) else begin
        trimmed += [Break.PUNCTUATION] * begin + part[begin:end] + [Break.PUNCTUATION] * (len(part) - end)
    return trimmed


def _is_one_of(item: Item, signs: str) -> bool:
    return not isinstance(item, Break) and item.glyph.is_sign and item.glyph.base in signs


def _unspelled(reading: Reading) -> Iterator[Reading]:
    """With letters that stand alone joined to words: once in their place, where wider gaps still part words, and once
    all of each row, also without a first or last letter, which may be a word of its own."""
    parts = list(_parts(reading))
    in_place: Reading = []
    rows: Reading = []
    at = 0
    while at < len(parts):
        end = at
        while end < len(parts) and _is_lone(parts[end]):
            end += 2
        letters = parts[at:end:2]
        if _is_spelled(letters):
            in_place += _close(letters, parts[at + 1 : end - 1 : 2])
            first, last = (int(_is_word(letters[edge])) for edge in (0, -1))
            for begin, cut in sorted({(0, 0), (first, 0), (0, last), (first, last)}):
                rows += [*chain.from_iterable(letters[begin : len(letters) - cut]), Break.SPACE]
        else:
            end = max(end, at + 2)
            in_place += chain.from_iterable(parts[at : end - 1])
        at = end - 1
    yield in_place
    yield rows


def _is_lone(part: list[Item]) -> bool:
    """Whether it is one letter, or the same again and again."""
    return not isinstance(part[0], Break) and len(set(codes_of(part))) == 1


def _is_word(part: list[Item]) -> bool:
    """Whether a lone letter or digit may be a word of its own."""
    item = part[0]
    return not isinstance(item, Break) and (item.glyph.is_digit or item.character.lower() in _WORDS_OF_ONE_LETTER)


def _is_spelled(letters: list[list[Item]]) -> bool:
    """Three letters are a spelled word; where a letter can be half a word, two are."""
    return len(letters) > 2 or (len(letters) == 2 and any(codes_of(letter)[0].isupper() for letter in letters))


def _close(letters: list[list[Item]], gaps: list[list[Item]]) -> Reading:
    narrow = min(map(len, gaps))
    joined = list(letters[0])
    for gap, letter in zip(gaps, letters[1:], strict=True):
        joined += [*([Break.SPACE] if len(gap) > narrow else []), *letter]
    return joined


# What follows finds, in a few passes over bytes, whether the glyphs of a text need to be looked at.

_SPACE, _STOP = " ", "."
_BREAK_CODES = (_SPACE,) * ALTERNATIVES
_STOP_CODE = _STOP.encode()
_SIGN_CODES = dict(zip(_LEET_SIGNS, "!\"#$%&'()*+,-/:;<=", strict=True))
_SIGNS = "".join(_SIGN_CODES.values()).encode()
_ODD = 0x80
"""A bit in the code of what nobody writes without a purpose, or looks like another letter in lower case."""


def _code_of(glyph: Glyph, alternative: int | None) -> str:
    if glyph.is_digit:
        return glyph.base
    if glyph.is_sign:
        return _SIGN_CODES[glyph.base]
    return glyph.code if alternative is None else glyph.broad_codes[alternative]


_LONGEST = 8
"""Characters that one is taken for: a ligature may be 18."""
_MOST_KEPT = 80_000
"""Characters, which are fewer than Unicode has: hostile texts can't fill the memory, and what they have filled is made
anew for others."""


def _keep_small(kept: dict[Any, Any]) -> None:
    if len(kept) >= _MOST_KEPT:
        kept.clear()


class _Glyphs(dict[str, "tuple[Glyph, ...] | Break"]):
    """By character, kept as they come."""

    def __init__(self) -> None:
        self.of_several_classes: set[str] = set()

    def __missing__(self, character: str) -> tuple[Glyph, ...] | Break:
        _keep_small(self)
        glyphs = self[character] = glyphs_of(character)
        if not isinstance(glyphs, Break) and any(len({*glyph.broad_codes}) > 1 for glyph in glyphs):
            self.of_several_classes.add(character)
        return glyphs


class _Codes(dict[str, str]):
    """By character, kept as they come."""

    def __init__(self, alternative: int | None) -> None:
        """Of broad classes, or of the plain ones."""
        self._alternative = alternative

    def __missing__(self, character: str) -> str:
        glyphs = _GLYPHS[character]
        if isinstance(glyphs, Break):
            codes = _SPACE if glyphs is Break.SPACE else _STOP
        else:
            codes = "".join([_code_of(glyph, self._alternative) for glyph in glyphs])
            lower = character.lower()
            if any(glyph.is_odd for glyph in glyphs) or (
                len(lower) == 1 and lower != character and self[lower] != codes
            ):
                codes = "".join(chr(ord(code) | _ODD) for code in codes)
        _keep_small(self)
        self[character] = codes
        return codes

    def of(self, text: str) -> str:
        """Of a text. It takes half as long as str.translate."""
        return "".join(map(self.__getitem__, text))


_GLYPHS = _Glyphs()
_FOLDED = _Folded()
_PLAIN_CODES = _Codes(None)
_BROAD_CODES = tuple(map(_Codes, range(ALTERNATIVES)))
_CODES = _BROAD_CODES[0]
_ASCII_CODES = bytes(ord(_PLAIN_CODES[chr(code_point)] or _SPACE) for code_point in range(128)).ljust(256)


def _letter_code(character: str, alternative: int | None) -> str:
    """Of a digit or sign as a letter."""
    (glyph,) = glyphs_in(character)
    return glyph.code if alternative is None else glyph.broad_codes[alternative]


def _table(alternative: int | None, signs: dict[str, str]) -> bytes:
    """For bytes.translate: codes without the bit for odd ones, signs replaced, digits and these as codes of letters."""
    table = bytearray(code & ~_ODD for code in range(256))
    for code, other in [*signs.items(), *((digit, _letter_code(digit, alternative)) for digit in _LEET_DIGITS)]:
        table[ord(code)] = table[ord(code) | _ODD] = ord(other)
    return bytes(table)


def _of_signs(alternative: int | None) -> dict[str, str]:
    return {code: _letter_code(sign, alternative) for sign, code in _SIGN_CODES.items()}


_KINDS = (*range(ALTERNATIVES), None)
"""Of codes: the alternatives of broad ones, then, as the last, plain ones."""
_STOP_APART = {_STOP: _SPACE}
_WITHOUT_ODD = bytes(code & ~_ODD for code in range(256))
_SIGNS_APART = [_table(kind, dict.fromkeys(_SIGN_CODES.values(), _SPACE) | _STOP_APART) for kind in _KINDS]
_SIGNS_AS_LETTERS = [_table(kind, _of_signs(kind) | _STOP_APART) for kind in _KINDS]
_PLAIN = len(_KINDS) - 1
_TRIMMED_CODES = tuple(
    tuple("".join(map(_SIGN_CODES.__getitem__, signs)).encode() for signs in trimmed) for trimmed in _TRIMMED
)
_TRAILING_CODES = _TRIMMED_CODES[0][1]
_PARTS = re.compile(rb"([ .]+)")
_SPELLED = re.compile(rb" (?:[^ ] (?=(?:[^ ] [^ ]|[A-Z]) )|[A-Z] (?=[^ ] ))(?:[^ ] )+")


def _first_look() -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    looks = re2.Set.SearchSet(options)
    sign, trailing = (f"[{re.escape(codes.decode())}]" for codes in (_SIGNS, _TRAILING_CODES))
    letter, leet = "[A-Za-z0-9]", f"(?:{sign}|[0-9])"
    several = "|".join(
        f"{re.escape(chr(code))}[{re.escape(_TRAILING_CODES.replace(bytes([code]), b'').decode())}]"
        for code in _TRAILING_CODES
    )
    for look in (
        rf"{letter}(?:\.|{sign})+{letter}",
        rf"[{re.escape(_SIGNS.translate(None, _TRAILING_CODES).decode())}]|{trailing}(?:\.|{sign})*{letter}"
        rf"|{leet}[^ ]*[A-Za-z][^ ]*{trailing}|[A-Za-z][^ ]*[0-9][^ ]*{trailing}|{several}"
        rf"|(?:^|[ .])[^ .][ .]+{sign}(?:[ .]|$)|(?:^|[ .]){sign}[ .]+[^ .](?:[ .]|$)",
    ):
        looks.Add(look)
    looks.Compile()
    return looks


_FIRST_LOOK = _first_look()
_JOINED, _SIGNED = range(2)
"""What a first look at the codes finds: that there is punctuation within a word, and a sign that may be a letter."""


class _CharacterSet:
    """For texts in one alphabet: their characters as bytes, these as codes or folded. A look at each character in turn
    costs ten times as much."""

    def __init__(self, letters: Iterable[str], *, is_plain: bool) -> None:
        capitals = {c.upper() for c in letters if len(c.upper()) == 1}
        several = [
            c
            for c in dict.fromkeys([*sorted(letters), *sorted(capitals), *"’‘“”„«»…–—¿·€°İ"])
            if len(_CODES[c]) == len(_FOLDED[ord(c)]) == 1 and (not is_plain or _is_plain(c))
        ]
        characters = "".join(map(chr, range(128))) + "".join(several)[:128]
        of_code = _PLAIN_CODES if is_plain else _CODES
        self._bytes = codecs.charmap_build(characters.ljust(256, "\ufffe"))
        self.codes = b"".join((of_code[c] or _SPACE).encode("latin-1") for c in characters).ljust(256)
        ambiguous = {at for at, c in enumerate(characters) if _GLYPHS[c] and c in _GLYPHS.of_several_classes}
        self.of_one_class = bytes(set(range(256)) - ambiguous)
        """Of its bytes those that are of the same class in all alternatives."""
        self.folded = "".join(_FOLDED[ord(c)] or c for c in characters).ljust(256, "\ufffe")

    def encode(self, text: str, errors: str) -> bytes | None:
        """As bytes, or None where `errors` does not know what to make of another character."""
        try:
            return codecs.charmap_encode(text, errors, self._bytes)[0]
        except UnicodeEncodeError:
            return None


def _is_plain(character: str) -> bool:
    """Whether all Latin letters that it may stand for are of one class."""
    return all(len({_CLASSES[c] for c in glyph.letters if c in _CLASSES}) < 2 for glyph in glyphs_in(character))


def _encode_breaks(problem: UnicodeError) -> tuple[str, int]:
    """The handler of errors that puts breaks for what is not of a character set and no letter either, as emoji. For a
    letter it gives what is in no set, at which the codec fails: an error raised here would be part of a cycle with its
    own traceback, and each would be left to the collector."""
    assert isinstance(problem, UnicodeEncodeError)
    if _CODES[problem.object[problem.start]].strip(_SPACE + _STOP):
        return _IN_NO_SET, problem.end
    codes = _CODES.of(problem.object[problem.start : problem.end])
    return (_IN_NO_SET if codes.strip(_SPACE + _STOP) else codes), problem.end


_BREAKS = "moderation.breaks"
_IN_NO_SET = "\uffff"
codecs.register_error(_BREAKS, _encode_breaks)
_EVERYDAY_LATIN, _EVERYDAY_CYRILLIC = _CHARACTER_SETS = (
    _CharacterSet(_EVERYDAY, is_plain=True),
    _CharacterSet(_CYRILLIC, is_plain=False),
)


def _plain_codes(text: str) -> bytes | None:
    """Codes of a text of which each stands for one class of Latin letters; None where there are other characters."""
    if text.isascii():
        return text.encode().translate(_ASCII_CODES)
    everyday = _EVERYDAY_LATIN.encode(text, _BREAKS)
    return everyday if everyday is None else everyday.translate(_EVERYDAY_LATIN.codes)


def _broad_codes(text: str, alternative: int = 0) -> bytes:
    everyday = _EVERYDAY_CYRILLIC.encode(text, _BREAKS) if alternative == 0 else None
    if everyday is not None:
        return everyday.translate(_EVERYDAY_CYRILLIC.codes)
    return _BROAD_CODES[alternative].of(text).encode("latin-1")


def is_odd(text: str) -> bool:
    """Whether there is a character that nobody writes without a purpose."""
    return _is_odd(unicodedata.normalize("NFC", text))


def _is_odd(text: str) -> bool:
    """The same of one that is composed."""
    if _RIGHT_TO_LEFT in text:
        return True
    if text.isascii():
        return False
    return not _broad_codes(text).isascii() and _plain_codes(text) is None


class SearchCodes(NamedTuple):
    """Codes of a text in which there is a word wherever it is in one of the readings."""

    uncollapsed: bytes
    codes: bytes
    """The same, runs collapsed, and spaces at both ends."""
    spelled: bytes
    """These of letters that stand alone, joined; without spaces between words that they may be."""
    is_plain: bool
    """Whether these are plain codes, of which a class is one letter or two; else broad ones."""
    is_certain: bool
    """False: it may be in the readings alone."""


def search_codes(text: str) -> SearchCodes:
    """Make them in a few passes, whatever the text is."""
    text = _prepared(text)
    drawn = _drawn(text)
    codes = _plain_codes(text) if drawn is text else None
    is_plain, is_certain = codes is not None, _RIGHT_TO_LEFT not in text
    if codes is not None:
        variants = _variants(codes, codes, _PLAIN)
    else:
        everyday = _EVERYDAY_CYRILLIC.encode(text, "strict") if drawn is text else None
        if everyday is not None and not everyday.translate(None, _EVERYDAY_CYRILLIC.of_one_class):
            codes = everyday.translate(_EVERYDAY_CYRILLIC.codes)
            variants, is_everyday = _variants(codes, codes, 0), codes.isascii() and is_certain
        else:
            codes = _broad_codes(text)
            variants = _broad_variants(text, drawn, codes)
            is_everyday = drawn is text and codes.isascii() and is_certain
        if not is_everyday and _is_odd(text):
            lower = text.lower()
            if lower != text:
                variants |= _broad_variants(lower, _drawn(lower), _broad_codes(lower))
            is_certain = is_certain and not _is_turned(text)
    uncollapsed = b" " + b" ".join(variants) + b" "
    collapsed = collapse(uncollapsed)
    spelled = b" ".join(_SPELLED.findall(collapsed)).replace(b" ", b"") if _SPELLED.search(collapsed) else b""
    return SearchCodes(uncollapsed, collapsed, collapse(spelled), is_plain, is_certain)


def _broad_variants(text: str, drawn: str, codes: bytes) -> dict[bytes, None]:
    """`codes`: of the first alternative."""
    variants: dict[bytes, None] = {}
    for alternative in range(ALTERNATIVES):
        codes = _broad_codes(text, alternative) if alternative else codes
        variants |= _variants(codes, codes if drawn is text else _broad_codes(drawn, alternative), alternative)
        if _GLYPHS.of_several_classes.isdisjoint(drawn):
            break
    return variants


def _drawn(text: str) -> str:
    """A text with the letters that are drawn in it."""
    if not _DRAWN_WITH.search(text) and not _has_pair(text.lower()):
        return text
    drawn = _ANY_DRAWN.sub(lambda found: _DRAWN[found[0].lower()], text)
    return text if drawn == text else drawn


def _has_pair(lower: str) -> bool:
    """Whether there are letters that draw another one."""
    return "vv" in lower or "ph" in lower or "9i" in lower


_KEPT = bytes(code & 0x7F for code in range(256))
_DROPPED = bytes(range(0x80))


def collapse(codes: bytes) -> bytes:
    """Every run of a code once."""
    length = len(codes)
    number = int.from_bytes(codes, "little")
    differing = (number ^ number << 8) + int.from_bytes(b"\x7f" * length, "little")
    ends = differing & int.from_bytes(b"\x80" * length, "little")
    return (number | ends).to_bytes(length, "little").translate(_KEPT, _DROPPED)


def _variants(codes: bytes, drawn: bytes, kind: int) -> dict[bytes, None]:
    """As _ways() reads them, but for spelled letters; `kind` as in _KINDS."""
    apart, as_letters = _SIGNS_APART[kind], _SIGNS_AS_LETTERS[kind]
    variants = {codes.translate(apart): None}
    seen = _FIRST_LOOK.Match(codes if codes.isascii() else codes.translate(_WITHOUT_ODD)) or ()
    if _JOINED in seen:
        variants[codes.translate(apart, _SIGNS + _STOP_CODE)] = None
    if _SIGNED in seen or drawn is not codes:
        for leading, trailing in _TRIMMED_CODES:
            trimmed = _trimmed_codes(drawn, leading, trailing)
            variants[trimmed.translate(as_letters)] = variants[trimmed.translate(as_letters, _STOP_CODE)] = None
    return variants


def _trimmed_codes(codes: bytes, leading: bytes, trailing: bytes) -> bytes:
    """As _trimmed() does it."""
    parts = _PARTS.split(codes)
    trimmed = parts.copy()
    for number, part in enumerate(parts):
        if number % 2 or part.isalnum():
            continue
        begin, end = 0, len(part)
        if end > 1:
            begin = end - len(part.lstrip(leading))
            end = begin + len(part[begin:].rstrip(trailing))
        if end - begin == 1 and part[begin] in _SIGNS:
            beside = parts[max(0, number - 2) : number : 2] + parts[number + 2 : number + 3]
            end = end if any(len(other) == 1 for other in beside) else begin
        trimmed[number] = _STOP_CODE * begin + part[begin:end] + _STOP_CODE * (len(part) - end)
    return b"".join(trimmed)
