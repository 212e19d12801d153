"""Writes evasions.tsv and innocents.tsv from hosts.txt, hand.txt and innocents.txt (all hand-written).
Only disguises text, folds nothing. Usage: python3 src/make.py path/of/terms.txt"""
import pathlib, random, re, sys, unicodedata
from check import KINDS_E, load_terms, plain, plain_re

SEED = 20261127
SRC = pathlib.Path(__file__).resolve().parent
OUT = SRC.parent
PER_KIND = 112
rng = random.Random(SEED)
TERMS = load_terms(pathlib.Path(sys.argv[1]))
RX = plain_re(TERMS)

ZW = "\u200b\u200b\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u180e\u2061\u2062\u2063\u2064\ufe0f\ufe0e"
LEET = {"a": ["4", "@", "4", "@", "/\\"], "b": ["8", "8", "6"], "c": ["(", "<", "¢"], "e": ["3", "3", "€"], "g": ["9", "6"],
        "h": ["#", "|-|"], "i": ["1", "!", "1", "|"], "k": ["|<", "|{"], "l": ["1", "|", "1"], "n": ["|\\|"], "o": ["0", "0", "()"],
        "s": ["5", "$", "5", "z"], "t": ["7", "+", "7"], "u": ["v", "|_|", "(_)", "µ"], "w": ["vv", "\\/\\/"], "y": ["¥"],
        "z": ["2"], "f": ["ƒ"], "ı": ["1", "!"], "é": ["3"], "á": ["4", "@"], "è": ["3"], "ę": ["3"], "ó": ["0"], "ñ": ["|\\|"],
        "а": ["@", "4"], "о": ["0"], "е": ["3", "€"], "б": ["6"], "с": ["$", "("], "т": ["7"], "у": ["y", "¥"], "х": ["x", "}{"],
        "к": ["|<"], "и": ["1", "u"], "ы": ["bl"], "й": ["u"], "л": ["/\\"], "ь": ["b"]}
LEET_RARE = set("h k n u w y f ñ".split())
CYR = {"a": "а", "b": "ьв", "c": "с", "d": "ԁ", "e": "еє", "f": "ғ", "h": "һн", "i": "і", "j": "ј", "k": "к", "l": "ӏ", "m": "м", "n": "п",
       "o": "о", "p": "р", "q": "ԛ", "r": "гя", "s": "ѕ", "t": "т", "u": "ц", "v": "ѵ", "w": "ԝш", "x": "х", "y": "у", "z": "з"}
GRK = {"a": "α", "b": "β", "c": "ϲ", "e": "εҽ", "f": "ϝ", "i": "ι", "j": "ϳ", "k": "κ", "n": "η", "o": "οσ", "p": "ρ", "t": "τ",
       "u": "υ", "v": "ν", "w": "ω", "x": "χ", "y": "γ", "z": "ζ", "ı": "ι"}
MISC = {"a": "ɑ∂а", "b": "ƅʙɓ", "c": "ⅽᴄƈ", "d": "ⅾɗ", "e": "ɛ℮ҽ", "f": "ƒẝ", "g": "ɡցɢ", "h": "հɦ", "i": "ɩⅰıἰ", "j": "ʝ", "k": "ĸƙκ", "l": "ⅼʟɭ",
        "m": "ⅿɱ", "n": "ոɳɴ", "o": "օ०○", "p": "ƥρ", "q": "զ", "r": "ɾʀɼ", "s": "ꜱʂƨ", "t": "ƭᴛ†", "u": "սʋυ", "v": "ⅴʋ", "w": "ɯѡ", "x": "ⅹ×",
        "y": "ʏүყ", "z": "ʐᴢȥ", "é": "ҽɛ", "ñ": "ղɲ", "ı": "іɩ"}
CHER = dict(zip("abcehijklmprstwyz", "ᎪᏴᏟᎬᎻᎥᎫᏦᏞᎷᏢᎡᏚᎢᏔᎩᏃ"))
LAT_FOR_CYR = {"с": "cϲᴄ", "у": "yүγ", "к": "kκ", "а": "aαɑ", "х": "xχ", "е": "eҽ", "б": "6Ƃ", "т": "tτᴛ", "ь": "bƅ", "о": "oοօ", "п": "nπ",
               "р": "pρ", "л": "ʌλ", "н": "ʜH", "и": "u", "й": "ѝŭ", "в": "Bʙ", "я": "ᴙR", "д": "g", "ы": "ӹ"}
JA_LIKE = {"ね": ["ネ", "ﾈ", "㋧"], "え": ["エ", "ｴ", "ぇ"], "ろ": ["ロ", "口", "ﾛ"], "ブ": ["ﾌﾞ", "フ゛", "ぶ"], "ス": ["ｽ", "す", "㋜"],
           "き": ["キ", "ｷ"], "も": ["モ", "ﾓ", "㋲"], "い": ["イ", "ｲ", "ぃ"], "死": ["ﾀﾋ", "タヒ", "歹匕"], "消": ["氵肖", "き"]}
JA_LEET = {"死ね": ["4ね", "４ね", "④ね", "氏ね", "4ネ"], "きもい": ["キモ1", "kim0i", "k1moi", "きも1"], "ブス": ["ブ5", "bu5u", "8usu"],
           "消えろ": ["消え6", "消え６", "消えr0"]}
SMALL = dict(zip("abcdefghijklmnopqrstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡʏᴢ"))
SUPER = dict(zip("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"))
UPSIDE = dict(zip("abcdefghijklmnopqrstuvwyz", "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍʎz"))
FLOAT = [0x1D400, 0x1D468, 0x1D4D0, 0x1D56C, 0x1D5A0, 0x1D5D4, 0x1D608, 0x1D63C, 0x1D670]
OVER = "\u0336\u0335\u0334\u0332\u0338\u0333\u0305\u0337\u20e3\u20dd\u20de\u0330\u0331\u0353"
ACC = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0323\u0327\u0328\u0331"
STROKE = {"o": "ø", "d": "đ", "l": "ł", "h": "ħ", "t": "ŧ", "b": "ƀ", "i": "ɨ", "u": "ʉ", "a": "ⱥ", "c": "ȼ", "e": "ɇ"}
UP = [chr(c) for c in range(0x300, 0x316)] + [chr(c) for c in range(0x33D, 0x345) if c not in (0x340, 0x341, 0x343, 0x344)] + [chr(c) for c in range(0x363, 0x370)]
DOWN = [chr(c) for c in range(0x316, 0x334)] + [chr(c) for c in range(0x353, 0x357)]
MID = list("\u0334\u0335\u0336\u0337\u0338\u0321\u0322")
SEPS = [" ", " ", " ", ".", ".", "-", "-", "_", "*", "·", "/", "|", "~", ",", "'", "\u00a0", "\u2009", "\u2003", "\u3000", "\u2022", "\n", "\t",
        " . ", " - ", "..", "\u202f", ":", "+", "=", "♥", "💀", "🤡", "\u2024", "\u30fb", "\u1160", "\u2800"]
EMOTE = [" LUL", " Kappa", " KEKW", " 💀", " 😂", " lol", " xD", " PogU", "!!", " :)", " 🤡", " ..."]


def is_ja(s):
    return any("\u3040" <= c <= "\u30ff" or "\u4e00" <= c <= "\u9fff" for c in s)


def is_cyr(s):
    return any("\u0400" <= c <= "\u04ff" for c in s)


def letters(s):
    return [i for i, c in enumerate(s) if c.isalpha()]


def upper(s, lang):
    return (s.replace("i", "İ") if lang == "tr" else s).upper()


def case(s, lang):
    r = rng.random()
    if is_ja(s) or r < .72:
        return s
    if r < .86:
        return upper(s, lang)
    if r < .95:
        return upper(s[0], lang) + s[1:]
    return "".join(upper(c, lang) if i % 2 else c for i, c in enumerate(s))


def some(idx, lo, hi):
    """Between the shares lo and hi of idx, at least one."""
    n = max(1, round(len(idx) * rng.uniform(lo, hi)))
    return set(rng.sample(idx, min(n, len(idx))))


def base(c):
    return unicodedata.normalize("NFD", c)[0]


def styled(form):
    s = form.lower()
    pick = rng.choice(["math"] * 6 + ["full"] * 3 + ["circ", "circ", "neg", "sq", "negsq", "negsq", "flag", "small", "small", "super", "paren", "upside", "cher"])
    if pick == "math":
        off, up = rng.choice(FLOAT), rng.random() < .25
        return "".join(chr(off + (0 if up else 26) + ord(base(c)) - 97) if "a" <= base(c) <= "z" else c for c in s)
    if pick == "full":
        up = rng.random() < .4
        return "".join(chr((0xFF21 if up else 0xFF41) + ord(base(c)) - 97) if "a" <= base(c) <= "z" else c for c in s)
    if pick in ("circ", "neg", "sq", "negsq", "paren"):
        off = {"circ": 0x24D0, "neg": 0x1F150, "sq": 0x1F130, "negsq": 0x1F170, "paren": 0x249C}[pick]
        return "".join(chr(off + ord(base(c)) - 97) if "a" <= base(c) <= "z" else c for c in s)
    if pick == "flag":
        sep = rng.choice([" ", "\u200b", "\u200c"])
        return sep.join(chr(0x1F1E6 + ord(base(c)) - 97) if "a" <= base(c) <= "z" else c for c in s)
    table = {"small": SMALL, "super": SUPER, "upside": UPSIDE, "cher": CHER}[pick]
    out = [table.get(base(c), c.upper() if pick == "cher" else c) for c in s]
    return "".join(reversed(out) if pick == "upside" else out)


def homoglyphs(form, lo, hi, tables, keep_one=False):
    idx = [i for i, c in enumerate(form) if any(c.lower() in t for t in tables)]
    if keep_one:
        rng.shuffle(idx)
        idx = idx[:max(1, len(letters(form)) - 1)]
    if not idx:
        return None
    hit, out = some(idx, lo, hi), []
    for i, c in enumerate(form):
        if i in hit:
            g = rng.choice(rng.choice([t for t in tables if c.lower() in t])[c.lower()])
            out.append(g.upper() if c.isupper() and len(g) == 1 and len(g.upper()) == 1 else g)
        else:
            out.append(c)
    return "".join(out)


def tables_for(form, mixed=False):
    if is_ja(form):
        return [JA_LIKE]
    if is_cyr(form):
        return [LAT_FOR_CYR]
    return [CYR, CYR, GRK] if mixed else [CYR, GRK, MISC, MISC]


def zero_width(form, lang):
    form = case(form, lang)
    gaps = [i for i in range(1, len(form)) if form[i - 1].isalpha() and form[i].isalpha()]
    one = rng.choice(ZW)
    hit = some(gaps, .2, 1)
    return "".join(("".join(one if rng.random() < .7 else rng.choice(ZW) for _ in range(rng.choice([1, 1, 1, 2, 3]))) if i in hit else "") + c
                   for i, c in enumerate(form))


def confusables(form, lang):
    if not is_ja(form) and not is_cyr(form) and rng.random() < .6:
        return styled(form)
    return homoglyphs(case(form, lang), .5, 1, tables_for(form))


def leetspeak(form, lang, lo=.3, hi=.85):
    if is_ja(form):
        return rng.choice(JA_LEET[form]) if form in JA_LEET else None
    s = case(form, lang)
    idx = [i for i, c in enumerate(s) if c.lower() in LEET and (c.lower() not in LEET_RARE or rng.random() < .25)]
    if rng.random() < .1:
        vow = [i for i, c in enumerate(s) if c.lower() in "aeiouyıéаеуиы"]
        hit, star = {rng.choice(vow)}, rng.choice("***#")
        return "".join(star if i in hit else c for i, c in enumerate(s))
    if not idx:
        return None
    hit = some(idx, lo, hi)
    return "".join(rng.choice(LEET[c.lower()]) if i in hit else c for i, c in enumerate(s))


def spacing(form, lang, seps=SEPS):
    s = case(form, lang)
    words = s.split(" ")
    r = rng.random()
    if len(words) > 1 and r < .25:
        if rng.random() < .4:
            return "".join(w[:1].upper() + w[1:] for w in words)
        return rng.choice(["", "", "-", "_", ".", "/"]).join(words)
    if r < .4 and len(letters(s)) >= 4:
        w = max(range(len(words)), key=lambda i: len(words[i]))
        cut = rng.randint(1, len(words[w]) - 1)
        words[w] = words[w][:cut] + rng.choice([" ", " ", " ", ".", "-", "_", "*", "\u00a0", " . "]) + words[w][cut:]
        return " ".join(words)
    if r < .47:
        a, b = rng.choice(["()", "[]", "{}", "<>", "**"])
        return "".join(c if c == " " else a + c + b for c in s)
    sep = rng.choice(seps)
    gap = rng.choice(["   ", "  ", sep + " " + sep]) if sep.isspace() and sep not in "\n\t" else rng.choice([" ", sep, sep + sep])
    return gap.join(sep.join(w) for w in words)


def repeats(form, lang):
    s = case(form, lang)
    if is_ja(s):
        r = rng.random()
        if r < .3:
            return s * rng.randint(2, 5)
        i = rng.randrange(len(s)) if r < .5 else len(s) - 1
        long = {"ね": "ねえぇー", "ろ": "ろぉおー", "い": "いぃー", "ス": "スー", "ブ": "ブー", "も": "もー", "え": "えー"}.get(s[i], s[i])
        return s[:i + 1] + rng.choice(long) * rng.randint(2, 8) + s[i + 1:]
    idx = letters(s)
    r = rng.random()
    if r < .35:
        vow = [i for i in idx if base(s[i].lower()) in "aeiouyıаеуиы"]
        hit = {rng.choice(vow or idx): rng.randint(3, 10)}
    elif r < .55:
        n = rng.choice([2, 2, 3])
        hit = {i: n for i in idx}
    else:
        hit = {i: rng.randint(2, 6) for i in some(idx, .3, .9)}
    return "".join(c * hit.get(i, 1) for i, c in enumerate(s))


def bidi(form, lang):
    s = case(form, lang)
    r = rng.random()
    if r < .36:
        return rng.choice(["\u202e{}\u202c", "\u202e{}\u202c", "\u202e{}\u202d", "\u2067\u202e{}\u202c\u2069"]).format(s[::-1])
    gaps = [i for i in range(1, len(s)) if s[i - 1].isalpha() and s[i].isalpha()]
    if r < .75:
        hit = some(gaps, .2, .9)
        return "".join((rng.choice("\u200e\u200f\u200e\u200f\u061c\u202c\u202a") if i in hit else "") + c for i, c in enumerate(s))
    i = rng.choice(gaps)
    j = rng.randint(i + 1, len(s))
    a, b = rng.choice(["\u2066\u2069", "\u2067\u2069", "\u2068\u2069", "\u202a\u202c", "\u202b\u202c", "\u202d\u202c"])
    return s[:i] + a + s[i:j] + b + s[j:]


def mark(c, lo, hi):
    return c + "".join(rng.choice(rng.choice([UP, UP, DOWN, MID])) for _ in range(rng.randint(lo, hi)))


def zalgo(form, lang):
    lo, hi = rng.choice([(1, 3), (2, 4), (3, 6), (4, 9)])
    return "".join(mark(c, lo, hi) if c.isalpha() else c for c in case(form, lang))


def combining(form, lang):
    s, r = case(form, lang), rng.random()
    if is_ja(s):
        m = rng.choice("゛゛\u3099\u309a\u0336\u0332\u0338\u20dd")
        hit = some(letters(s), .6, 1)
        return "".join(c + m if i in hit else c for i, c in enumerate(s))
    if r < .38:
        m = rng.choice(OVER)
        return "".join(c + m if c.isalpha() else c for c in s)
    hit = some(letters(s), .25, 1)
    if r < .5:
        out = "".join(STROKE.get(c, c + rng.choice("\u0336\u0335\u0338")) if i in hit else c for i, c in enumerate(s))
    else:
        out = "".join(c + rng.choice(ACC) if i in hit else c for i, c in enumerate(s))
    return unicodedata.normalize("NFC" if rng.random() < .6 else "NFD", out)


def mixed_scripts(form, lang):
    if is_ja(form):
        return homoglyphs(form, .3, .7, [JA_LIKE], keep_one=True)
    return homoglyphs(case(form, lang), .2, .75, tables_for(form, True), keep_one=True)


def combined(form, lang):
    s = case(form, lang)
    ja = is_ja(s)
    steps = rng.choice(["leet sep", "leet sep", "glyph sep", "glyph zw", "leet zw", "leet rep", "rep sep", "rep glyph", "leet glyph", "acc sep", "acc zw",
                        "acc leet", "rep acc", "glyph bidi", "leet bidi", "rep zw", "leet glyph sep", "rep leet sep", "glyph acc zw", "zw sep", "style zw", "style sep",
                        "rep style", "leet style"]).split()
    if ja:
        steps = rng.choice(["glyph sep", "glyph zw", "rep zw", "rep sep", "glyph acc", "acc sep", "glyph bidi"]).split()
    if is_cyr(s) and "style" in steps:
        steps = ["glyph", "sep"]
    toks = list(s)
    n = len(letters(s))
    if "rep" in steps:
        hit = some(letters(s), .2, .6)
        toks = [t for i, c in enumerate(s) for t in [c] * (rng.randint(2, 4) if i in hit else 1)]
    share = {"leet": .35, "glyph": .4}
    done = set()
    for st in ("leet", "glyph", "style"):
        if st not in steps:
            continue
        ok = [i for i, c in enumerate(toks) if i not in done and len(c) == 1 and c.isalpha() and
              (c.lower() in LEET and c.lower() not in LEET_RARE if st == "leet" else any(c.lower() in t for t in tables_for(s)) if st == "glyph" else base(c.lower()).isascii())]
        if not ok:
            return None
        hit = set(ok) if st == "style" else some(ok, .3, .6)
        off = rng.choice(FLOAT + [0xFF21])
        for i in hit:
            c = toks[i].lower()
            if st == "leet":
                toks[i] = rng.choice([x for x in LEET[c] if len(x) == 1] or LEET[c])
            elif st == "glyph":
                toks[i] = rng.choice(rng.choice([t for t in tables_for(s) if c in t])[c])
            else:
                b = base(c)
                toks[i] = chr((off + 26 if off != 0xFF21 else 0xFF41) + ord(b) - 97) if "a" <= b <= "z" else c
        done |= hit
    if "acc" in steps:
        ok = [i for i, c in enumerate(toks) if len(c) == 1 and c.isalpha()]
        m = rng.choice("゛\u3099\u0336") if ja else rng.choice(OVER)
        alls = rng.random() < .4
        for i in some(ok, .4, 1):
            toks[i] += m if alls or ja else rng.choice(ACC)
    if "zw" in steps or "bidi" in steps:
        pool = ZW if "zw" in steps else "\u200e\u200f\u061c"
        for i in range(1, len(toks)):
            if rng.random() < .5:
                toks[i] = rng.choice(pool) + toks[i]
    if "sep" in steps:
        sep = rng.choice([" ", " ", ".", ".", "-", "_", "*", "·", "/", "~", "\u00a0", ","])
        return sep.join(t for t in toks if t != " ") if sep != " " else " ".join(t if t != " " else " " for t in toks)
    return "".join(toks)


FUN = {f.__name__: f for f in (zero_width, confusables, leetspeak, spacing, repeats, bidi, zalgo, combining, mixed_scripts, combined)}


def decode(s):
    s = re.sub(r"<([0-9A-F]{4,5})>", lambda m: chr(int(m.group(1), 16)), s)
    return s


def escape(s):
    return s.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def term_of(form):
    hits = [t for t in TERMS if re.fullmatch((r"\w*" if t.startswith("*") else "") + re.escape(t.strip("*")) + (r"\w*" if t.endswith("*") else ""), form.casefold())]
    assert len(hits) == 1, (form, hits)
    return hits[0]


def main():
    hosts = []
    for line in (SRC / "hosts.txt").read_text(encoding="utf-8").split("\n"):
        if line:
            lang, text = line.split("\t")
            m = re.fullmatch(r"(.*)\[(.+)\](.*)", text)
            assert m and not plain(m.group(1) + "§" + m.group(3), RX), line
            hosts.append((lang, m.group(1), m.group(2), m.group(3), term_of(m.group(2))))
    rows, seen = [], set()
    for line in (SRC / "hand.txt").read_text(encoding="utf-8").split("\n"):
        if line:
            kind, term, text = line.split("\t")
            text = decode(text)
            if text in seen:
                print("hand duplicate", text)
                continue
            seen.add(text)
            rows.append((kind, term, text))
    queue = []
    for kind in KINDS_E:
        skipped, used = [], set()
        while sum(r[0] == kind for r in rows) < PER_KIND:
            if not queue:
                queue = hosts[:]
                rng.shuffle(queue)
            lang, pre, form, post, term = queue.pop()
            if (lang, pre, post) in used:
                skipped.append((lang, pre, form, post, term))
                continue
            used.add((lang, pre, post))
            for _ in range(30):
                d = FUN[kind](form, lang)
                if d is None:
                    continue
                p, q = pre, post
                if kind == "zalgo" and rng.random() < .1 and len(p + q) < 40:
                    p, q = ("".join(mark(c, 1, 2) if c.isalpha() else c for c in x) for x in (p, q))
                if kind == "combining" and rng.random() < .06:
                    p, q = ("".join(c + "\u0336" if c.isalpha() else c for c in x) for x in (p, q))
                text = p + d + q
                if kind == "bidi" and rng.random() < .04:
                    text = "\u202e" + (pre + form + post)[::-1]
                elif rng.random() < .2:
                    text += rng.choice(EMOTE)
                if len(text) <= 300 and text == text.strip() and text not in seen and not plain(text, RX) and d not in ("", form):
                    seen.add(text)
                    rows.append((kind, term, text))
                    break
            else:
                skipped.append((lang, pre, form, post, term))
        queue = skipped + queue
    rng.shuffle(rows)
    with open(OUT / "evasions.tsv", "w", encoding="utf-8", newline="\n") as f:
        f.write("id\tkind\tterm\ttext\n")
        for i, (k, t, x) in enumerate(rows, 1):
            f.write(f"h{i:04d}\t{k}\t{t}\t{escape(x)}\n")
    inn, lang, kind = [], None, None
    for line in (SRC / "innocents.txt").read_text(encoding="utf-8").split("\n"):
        if line.startswith("## "):
            _, lang, kind = line.split(" ")
        elif line:
            text = decode(line.replace("\\\\", "\\"))
            if text in seen:
                continue
            seen.add(text)
            inn.append((lang, kind, text))
    rng.shuffle(inn)
    with open(OUT / "innocents.tsv", "w", encoding="utf-8", newline="\n") as f:
        f.write("id\tlanguage\tkind\ttext\n")
        for i, (l, k, x) in enumerate(inn, 1):
            f.write(f"n{i:04d}\t{l}\t{k}\t{escape(x)}\n")


if __name__ == "__main__":
    main()
