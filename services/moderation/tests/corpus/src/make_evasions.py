"""Writes ../terms.txt and ../evasions.tsv from hosts.txt and curated.txt. Seeded; disguises only."""
import random, re, unicodedata as U
R = random.Random(20240611)
QUOTA = 112
KINDS = "zero_width confusables leetspeak spacing repeats bidi zalgo combining mixed_scripts combined".split()

terms, lang, hosts = [], {}, {}
for line in open("hosts.txt", encoding="utf-8"):
    line = line.rstrip("\n")
    if line.startswith("#") or not line: continue
    if line[0] == "=":
        t, l = line[1:].split("\t"); terms.append(t); lang[t] = l; hosts[t] = []
    elif line[0] == ">": form = line[1:]
    else: hosts[terms[-1]].append((form, line))
open("../terms.txt", "w", encoding="utf-8").write("".join(t + "\n" for t in terms))

def plain(t):
    a = r"\w*" if t.startswith("*") else ""
    b = r"\w*" if t.endswith("*") else ""
    return re.compile(r"(?<!\w)" + a + re.escape(t.strip("*").casefold()) + b + r"(?!\w)")
PLAIN = [plain(t) for t in terms]
def hits(text): return any(p.search(text.casefold()) for p in PLAIN)

base = lambda c: {"ı": "i", "ł": "l"}.get(c, c if unicodedata_is_cyr(c) else U.normalize("NFD", c)[0])
def unicodedata_is_cyr(c): return "\u0400" <= c <= "\u04ff" or c > "\u3000"

def row(letters, alike): return dict(zip(letters, alike))
AZ = "abcdefghijklmnopqrstuvwxyz"
def block(lo): return {c: chr(lo + i) for i, c in enumerate(AZ)}
SCRIPTS = {
 "cyr": row("aceopxyijsdhmnrutkvwqlgb", "асеорхуіјѕԁһмпгцткѵԝԛӏԍЬ"),
 "cyrU": row("ABCEHIJKMOPSTXYU", "АВСЕНІЈКМОРЅТХУЦ"),
 "gre": row("abcdefgiklmnoprstuvwxyzh", "αβϲδεϝɡικιμηορгѕτυνωχγζһ"),
 "greU": row("ABEZHIKMNOPTYXS", "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧΣ"),
 "arm": row("ghjnoqul", "ցհյոօզսլ"),
 "armU": row("OSUL", "ՕՏՍԼ"),
 "cheU": row("ABCDEGHIJKLMPRSTVWYZ", "ᎪᏴᏟᎠᎬᏀᎻᏆᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᎩᏃ"),
 "lisU": row("ABCDEFGHIJKLMNOPRSTUVWXYZ", "ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ"),
 "ipa": row("aegiflnrsuvyzhdtb", "ɑɘɡɩƒɭɲɾʂʋʋʏʐɦɖƭɓ"),
 "cop": row("oceprktyuiv", "ⲟⲥⲉⲣꞅⲕⲧⲩᥙⲓⲛ"[:0] or "ⲟⲥⲉⲣꞅⲕⲧⲩᥙⲓⲩ"),
 "num": row("cdilmvx", "ⅽⅾⅰⅼⅿⅴⅹ"),
}
STYLES = {
 "small": row("abcdefghijklmnopqrstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡʏᴢ"),
 "super": row("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"),
 "sub": row("aehijklmnoprstuvx", "ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ"),
 "full": block(0xFF41), "fullU": block(0xFF21), "circ": block(0x24D0), "circU": block(0x24B6), "paren": block(0x249C),
 "negcirc": block(0x1F150), "square": block(0x1F130), "negsq": block(0x1F170),
 "bold": block(0x1D41A), "boldU": block(0x1D400), "ital": {**block(0x1D44E), "h": "ℎ"}, "boldital": block(0x1D482),
 "script": {**block(0x1D4B6), "e": "ℯ", "g": "ℊ", "o": "ℴ"}, "boldscript": block(0x1D4EA), "frak": block(0x1D51E),
 "dbl": block(0x1D552), "boldfrak": block(0x1D586), "sans": block(0x1D5BA), "sansbold": block(0x1D5EE),
 "sansital": block(0x1D622), "sansbi": block(0x1D656), "mono": block(0x1D68A), "monoU": block(0x1D670),
 "dblU": {**block(0x1D538), "c": "ℂ", "h": "ℍ", "n": "ℕ", "p": "ℙ", "q": "ℚ", "r": "ℝ", "z": "ℤ"},
}
CYR2LAT = row("асеорхуктвнимьйлпг", "aceopxykтBHuMbŭлnr")
CYR2GRE = row("аоеуктрхив", "αοεγκτρχυβ")
KANA = row("ブスきもいえろ消死ね", ["ﾌﾞ","㋜","き","も","い","え","ろ","消","死","ね"])

def case(s):
    r = R.random()
    if r < .62: return s
    if r < .78: return s.upper()
    if r < .88: return s[0].upper() + s[1:]
    return "".join(c.upper() if R.random() < .5 else c for c in s)
def some(n, p, least=1):
    """Indexes out of n, each with chance p, at least `least`."""
    k = [i for i in range(n) if R.random() < p]
    while len(k) < min(least, n):
        i = R.randrange(n)
        if i not in k: k.append(i)
    return set(k)
def letters(s): return [i for i, c in enumerate(s) if c.isalpha()]
def each(s, idx, f): return "".join(f(c) if i in idx else c for i, c in enumerate(s))
def pick(s, p, least=1):
    l = letters(s); return {l[i] for i in some(len(l), p, least)}
def latin(t): return lang[t] not in ("ru", "ja")

ZW = ["\u200b"]*6 + ["\u200c"]*3 + ["\u200d"]*3 + ["\u2060"]*3 + ["\ufeff"]*2 + ["\u00ad"]*4 + ["\u034f", "\u180e", "\u2061", "\u2063", "\u2064", "\u3164", "\u115f", "\u1160", "\uffa0", "\u17b5"]
def vs(): return R.choice(["\ufe0f", "\ufe0e", "\ufe00", "\ufe01", chr(0xE0100 + R.randrange(40))])
def tag(): return "".join(chr(0xE0061 + R.randrange(26)) for _ in range(R.choice([1, 1, 2, 4])))
def zero_width(t, s):
    s = case(s); style = R.choice(["one", "all", "all", "some", "some", "vs", "tag", "run", "pool"])
    z = R.choice(ZW)
    inner = [i for i in range(len(s) - 1)]
    if style == "one": idx, f = {R.choice(inner)}, lambda: z
    elif style == "all": idx, f = set(inner), lambda: z
    elif style == "some": idx, f = {inner[i] for i in some(len(inner), .4)}, lambda: R.choice(ZW)
    elif style == "vs": idx, f = {inner[i] for i in some(len(inner), .7)}, vs
    elif style == "tag": idx, f = {inner[i] for i in some(len(inner), .5)}, tag
    elif style == "run": idx, f = {inner[i] for i in some(len(inner), .5)}, lambda: "".join(R.choice(ZW) for _ in range(R.randint(2, 6)))
    else: idx, f = set(inner), lambda: R.choice([R.choice(ZW), vs(), tag()])
    return "".join(c + (f() if i in idx else "") for i, c in enumerate(s))

def put(s, table, idx):
    """Letters at idx by the look-alikes of one table (its capitals are looked up as well)."""
    out = []
    for i, c in enumerate(s):
        b = base(c.lower())
        out.append(table.get(c) or table.get(b) or c if i in idx else c)
    return "".join(out)
def confusables(t, s):
    if lang[t] == "ja": return None
    if lang[t] == "ru":
        table = R.choice([CYR2LAT, CYR2LAT, CYR2LAT, CYR2GRE])
        s = s if R.random() < .7 else s[0].upper() + s[1:]
        return "".join(table.get(c, c) if R.random() < .75 else c for c in s)
    if R.random() < .5:
        name = R.choice(["cyr"]*6 + ["cyrU"]*2 + ["gre"]*4 + ["greU"]*2 + ["arm", "armU"] + ["cheU"]*3 + ["lisU"]*2 + ["ipa"]*2 + ["cop", "num"])
        if name.endswith("U"): s = "".join(base(c) for c in s).upper()
        tab = SCRIPTS[name]
        able = [i for i, c in enumerate(s) if c in tab or base(c.lower()) in tab]
        if not able: return None
        idx = {able[i] for i in some(len(able), R.choice([.3, .6, 1]), 1 if len(able) < 3 else R.choice([1, 2]))}
        return put(s, tab, idx)
    if R.random() < .1:
        return R.choice([" ", "\u200c"]).join(chr(0x1F1E6 + ord(base(c)) - 97) if base(c) in AZ else " " for c in s)
    tab = STYLES[R.choice(list(STYLES))]
    if any(c.isalpha() and base(c) not in tab for c in s) and R.random() < .7: return None
    return put(s, tab, set(letters(s)) if R.random() < .8 else pick(s, .5))

LEET = {"a": "4@4@^", "b": "888ß6", "c": "((<¢{", "e": "33€", "g": "9966", "h": "#", "i": "11!!|", "l": "1|1!", "o": "00",
        "s": "5$5$§", "t": "77++†", "z": "2", "u": ["v", "µ", "(_)", "|_|"], "k": ["|<"], "f": ["ƒ", "|="], "n": ["|\\|"],
        "m": ["|\\/|"], "v": ["\\/"], "w": ["\\/\\/", "vv"], "d": ["|)"], "x": ["><"], "y": "¥", "q": "9"}
RARE = set("ukfnmvwdxyh")
LEETRU = {"а": "@4", "о": "0", "е": "3", "з": "3", "ч": "4", "б": "6", "с": "$(", "и": "u", "х": ["}{", "><"], "т": "7+", "я": ["9I"]}
def leetspeak(t, s):
    if lang[t] == "ja": return None
    tab = LEETRU if lang[t] == "ru" else LEET
    s = case(s); out = []; n = 0; p = R.choice([.5, .75, 1, 1])
    for c in s:
        b = base(c.lower()) if tab is LEET else c.lower()
        if b in tab and R.random() < (p * .12 if b in RARE and tab is LEET else p):
            x = R.choice(tab[b]); n += 1
            if b == "o" and R.random() < .08: x = "()"
            out.append(x)
        else: out.append(c)
    o = "".join(out)
    if n < (2 if len(s) > 4 else 1) or o.isdigit() or not (set(o) & set("@$!|+(¢€") or sum(c.isalpha() for c in o) * 3 >= len(o)): return None
    if sum(c.isalpha() for c in o) * 5 < len(o): return None
    return o

SEP = [" "]*7 + [".", ".", ".", "-", "-", "_", "_", "*", "*", "/", "|", "~", "'", "·", "•", "+", ",", "=", "^", "..", "__", "--", " . ", " - ", "♥", "☆"]
WIDE = ["\u00a0", "\u2003", "\u2009", "\u3000", "\u202f", "\u2002", "\u200a", "\u205f", "\u1680", "\u2800", "\t", "  "]
def spacing(t, s):
    s = case(s); words = re.split(r"[ -]", s)
    style = R.choice(["sep"]*9 + ["wide"]*3 + ["nl"]*2 + ["mix"]*3 + ["part"]*4 + ["wordgap"]*5)
    gap = R.choice(["   ", "  ", " ", " / "])
    if style == "wordgap":
        if len(words) < 2: return None
        g = R.choice([".", "_", "-", "...", " - ", "\n", "\t", "\u00a0", "\u3000", "   ", "\u2003\u2003", "*", " . ", "/", "\u2028"])
        return g.join(words)
    if style == "part":
        if len(words) > 1 or len(s) < 4: return None
        i = R.randrange(1, len(s) - 1); return s[:i] + R.choice(".-_*.-'·/|~") + s[i:]
    if style == "sep":
        x = R.choice(SEP); return (gap if " " in x else " " if R.random() < .7 else x).join(x.join(w) for w in words)
    if style == "wide": x = R.choice(WIDE); return (x*3).join(x.join(w) for w in words)
    if style == "nl": return "\n\n".join("\n".join(w) for w in words)
    return gap.join("".join(c + (R.choice(SEP + WIDE) if i < len(w) - 1 else "") for i, c in enumerate(w)) for w in words)

def repeats(t, s):
    style = R.choice(["vowel", "vowel", "vowel", "last", "last", "each", "each", "some", "some", "first", "long"])
    s = s.upper() if R.random() < .25 else s
    l = letters(s); v = [i for i in l if base(s[i].lower()) in "aeiouyаеиоуыэюя"] or l
    n = lambda: R.choice([2, 3, 3, 4, 4, 5, 6, 7, 9, 12])
    if style == "vowel": i = R.choice(v); k = {i: n() + 1}
    elif style == "last": k = {l[-1]: n() + 1}
    elif style == "each": m = R.choice([2, 2, 3, 4]); k = {i: m + R.choice([0, 0, 1]) for i in l}
    elif style == "some": k = {i: n() for i in pick(s, .4)}
    elif style == "first": k = {l[0]: n()}
    else: k = {R.choice(v): R.randint(14, 30)}
    if lang[t] == "ja": k = {i: min(m, 8) for i, m in k.items()}
    o = "".join(c * k.get(i, 1) for i, c in enumerate(s))
    if R.random() < .12: o = "".join(c.upper() if R.random() < .5 else c for c in o)
    return o

MARK = ["\u200e", "\u200e", "\u200f", "\u200f", "\u061c", "\u202a\u202c", "\u202d\u202c", "\u2066\u2069", "\u2068\u2069"]
def bidi(t, s):
    s = case(s); style = R.choice(["marks"]*4 + ["onemark"]*2 + ["wrap"]*2 + ["iso"]*3 + ["lro"]*2 + ["rlo"]*3 + ["part"])
    inner = list(range(len(s) - 1)); i = R.randrange(1, len(s)); j = R.randrange(i, len(s)) + 1
    if style == "marks": k = {inner[x] for x in some(len(inner), .6)}; return "".join(c + (R.choice(MARK) if x in k else "") for x, c in enumerate(s))
    if style == "onemark": return s[:i] + R.choice(MARK[:5]) + s[i:]
    if style == "wrap": a, b = R.choice([("\u202a", "\u202c"), ("\u202d", "\u202c"), ("\u2066", "\u2069"), ("\u2068", "\u2069")]); return s[:i] + a + s[i:j] + b + s[j:]
    if style == "iso": return "".join(R.choice(["\u2066", "\u2068"]) + c + "\u2069" for c in s)
    if style == "lro": return "".join("\u202d" + c + "\u202c" for c in s) if R.random() < .5 else "\u202d" + s[:i] + "\u200e" + s[i:] + "\u202c"
    if style == "rlo": return R.choice(["\u202e%s\u202c", "\u2066\u202e%s\u202c\u2069"]) % s[::-1]
    return s[:i] + "\u202e" + s[i:][::-1] + "\u202c"

UP = [chr(c) for c in range(0x300, 0x315)] + [chr(c) for c in range(0x33D, 0x345)] + list("\u0346\u034a\u034b\u034c\u0350\u0351\u0352\u0357\u035b") + [chr(c) for c in range(0x363, 0x370)]
DOWN = [chr(c) for c in range(0x316, 0x31A)] + [chr(c) for c in range(0x323, 0x334)] + list("\u0339\u033a\u033b\u033c\u0345\u0347\u0348\u0349\u034d\u034e\u0353\u0354\u0355\u0356\u0359\u035a")
MID = list("\u0334\u0335\u0336\u0337\u0338\u0321\u0322\u0327\u0328")
def zalgo(t, s):
    s = case(s); m = R.choice([3, 4, 6, 9, 14]); idx = set(letters(s)) if R.random() < .75 else pick(s, .5, 2)
    def f(c):
        x = [R.choice(UP) for _ in range(R.randint(1, m))] + [R.choice(DOWN) for _ in range(R.randint(0, m))] + ([R.choice(MID)] if R.random() < .3 else [])
        R.shuffle(x); return c + "".join(x)
    return each(s, idx, f)

PRE = {"a": "àáâãäåāăąǎạả", "b": "ƀḃḅɓ", "c": "çćĉċčƈ", "d": "ďđḋḍ", "e": "èéêëēĕėęěẹẻ", "f": "ḟƒ", "g": "ĝğġģǧǵ", "h": "ĥħḣḥ", "i": "ìíîïĩīĭįịɨ", "j": "ĵǰ",
       "k": "ķḱǩḳ", "l": "ĺļľłḷ", "m": "ḿṁṃ", "n": "ñńņňṇ", "o": "òóôõöøōŏőọơ", "p": "ṕṗ", "r": "ŕŗřṙ", "s": "śŝşšșṡṣ", "t": "ţťŧțṫṭ", "u": "ùúûüũūŭůűųưụ", "v": "ṽṿ",
       "w": "ŵẁẃẅ", "x": "ẋẍ", "y": "ýÿŷȳỳ", "z": "źżžẓ", "а": ["ӑ", "ӓ"], "о": ["ӧ"], "у": ["ў", "ӯ", "ӱ"], "е": ["ё", "ѐ"], "к": ["ќ"], "и": ["ѝ", "ӣ"], "х": ["ҳ"]}
ONE = list("\u0301\u0300\u0308\u0302\u0303\u0304\u0306\u0307\u030a\u030c\u0323\u0331\u0332")
STROKE = ["\u0335", "\u0336", "\u0337", "\u0338"]
RING = ["\u20dd", "\u20de", "\u20df", "\u20e3", "\u20e0", "\u20e4", "\u20d2", "\u20e5"]
def combining(t, s):
    s = case(s); style = R.choice(["pre"]*7 + ["one"]*4 + ["stroke"]*3 + ["ring"]*2 + ["under"])
    if style == "pre":
        idx = pick(s, R.choice([.4, .7, 1])); o = []
        for i, c in enumerate(s):
            b = base(c.lower())
            if i in idx and b in PRE: x = R.choice(PRE[b]); o.append(x.upper() if c.isupper() and len(x.upper()) == 1 else x)
            else: o.append(c)
        return "".join(o)
    m = R.choice(ONE) if style == "one" else R.choice(STROKE) if style == "stroke" else "\u0332" if style == "under" else R.choice(RING)
    idx = pick(s, R.choice([.3, .6, 1])) if style == "one" else set(letters(s)) if R.random() < .8 else pick(s, .4)
    return each(s, idx, lambda c: c + (R.choice(ONE) if style == "one" and R.random() < .5 else m))

def mixed_scripts(t, s):
    if lang[t] == "ja": return None
    if lang[t] == "ru":
        o = "".join(R.choice([CYR2LAT, CYR2GRE, CYR2GRE]).get(c, c) if R.random() < .7 else c for c in s)
    else:
        up = R.random() < .3
        if up: s = "".join(base(c) for c in s).upper()
        pool = [SCRIPTS[x] for x in (["cyrU", "greU", "cheU", "lisU", "armU"] if up else ["cyr", "cyr", "gre", "gre", "arm", "ipa", "cop"])]
        pool += [STYLES["full" + "U" * up], STYLES["bold" + "U" * up], STYLES["small"]][:R.choice([0, 0, 1, 3])]
        o = ""
        for c in s:
            b = c if up else base(c)
            l = [p[x] for p in pool for x in (b, b.lower()) if x in p]
            o += R.choice(l) if l and R.random() < .8 else c
    sc = {U.name(c).split()[0] for c in o if c.isalpha()}
    return o if len(sc) >= (3 if len(letters(s)) > 3 and latin(t) else 2) else None

def sub(p, tab, s): return "".join(R.choice(tab[base(c.lower())]) if base(c.lower()) in tab and base(c.lower()) not in RARE and R.random() < p else c for c in s)
def spread(s, x): return "".join(c if i == len(s) - 1 or U.combining(s[i + 1]) or s[i + 1] in "\u200b\u200c\u2060\u00ad" or c == " " else c + x for i, c in enumerate(s))
def combined(t, s):
    j, r = lang[t] == "ja", lang[t] == "ru"
    tab = LEETRU if r else LEET
    steps = {"conf": lambda s: None if j else "".join(CYR2LAT.get(c, c) if R.random() < .6 else c for c in s) if r else put(s, SCRIPTS[R.choice(["cyr", "cyr", "gre", "ipa"])], pick(s, .6)),
             "style": lambda s: None if j or r else put(s, STYLES[R.choice(["full", "bold", "circ", "small", "sansbold", "mono", "frak"])], set(letters(s))),
             "leet": lambda s: None if j else sub(.6, tab, s),
             "rep": lambda s: each(s, pick(s, .35), lambda c: c * R.choice([2, 3, 4, 6])),
             "zw": lambda s: "".join(c + (R.choice(ZW[:21]) if i < len(s) - 1 and R.random() < .5 else "") for i, c in enumerate(s)),
             "mark": lambda s: each(s, pick(s, .5), lambda c: c + R.choice(ONE + STROKE)),
             "space": lambda s: spread(s, R.choice([" ", ".", "-", "_", "*", " "])),
             "zalgo": lambda s: each(s, set(letters(s)), lambda c: c + "".join(R.choice(UP + DOWN) for _ in range(R.randint(1, 5)))),
             "bidi": lambda s: "".join(c + (R.choice(MARK[:4]) if i < len(s) - 1 and R.random() < .4 else "") for i, c in enumerate(s))}
    order = ["leet", "conf", "style", "rep", "mark", "zalgo", "space", "zw", "bidi"]
    use = set(R.sample(order, R.choice([2, 2, 3])))
    if {"zalgo", "mark"} <= use or {"conf", "style"} <= use or ({"rep", "space"} <= use and R.random() < .6) or {"zw", "bidi"} <= use: return None
    s = case(s)
    for k in order:
        if k in use:
            n = steps[k](s)
            if n is None or n == s: return None
            s = n
    return s if not re.fullmatch(r"[\d\W]+", s) or set(s) & set("@$!") else None

PREF = {"en": ["bro ", "lol ", "omg ", "yo ", "dude ", "hey @%s ", "@%s ", "ngl ", "gg ", "chat, ", "imo "], "fr": ["mdr ", "@%s ", "wesh ", "franchement ", "ptdr "], "de": ["alter ", "@%s ", "lol ", "ey ", "boah "],
        "es": ["jaja ", "@%s ", "bro ", "oye ", "venga "], "it": ["ahah ", "@%s ", "oh ", "raga ", "senti "], "pt": ["kkk ", "@%s ", "mano ", "cara ", "slc "], "pl": ["xd ", "@%s ", "ej ", "stary ", "haha "],
        "tr": ["ya ", "@%s ", "abi ", "lan ", "sjsj "], "ru": ["лол ", "@%s ", "бро ", "слышь ", "ахах "], "ja": ["@%s ", "草 ", "は? ", "ねえ、 ", "www "]}
SUFF = [" 😂", " lol", "!!!", " 🤡", " xd", " 💀", "...", " 🖕", " :)", "!", " 😡😡", "??", " gg", " smh", " 🔥", " #stream", " KEKW", " 1/10", " 🙄", " @%s"]
SUFF2 = [" 😂", "!!!", " 🤡", "...", " 🖕", "!", " 😡😡", " www", " 💢"]
NAME = "mike_88 Nightowl xXreaperXx lena.k Tombo99 pika_q doc_brown Zoe2007 karim_ttv MrToast wolfie sam1312 aurora_b Kuba_PL emre34 hana_ch Dimon4ik lucas_br".split()
def around(t, s, host):
    if R.random() < .28: host = R.choice(PREF[lang[t]]) + host
    if R.random() < .32: host = host.rstrip() + R.choice(SUFF2 if lang[t] == "ja" else SUFF)
    host = host.replace("%s", R.choice(NAME))
    if R.random() < .1 and lang[t] not in ("ja",): host = host.upper() if R.random() < .5 else host[0].upper() + host[1:]
    return host

esc = lambda s: s.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
rows, seen = [], set()
cur = {k: [] for k in KINDS}
for line in open("curated.txt", encoding="utf-8"):
    if line.startswith("#"): continue
    k, t, x = line.rstrip("\n").split("|", 2)
    assert t in hosts, t
    cur[k].append((t, x.replace("\\n", "\n") if k == "spacing" else x))
for kind in KINDS:
    out = []
    for t, x in cur[kind]:
        if hits(x): print("PLAIN", kind, t, x); continue
        assert x not in seen, x
        seen.add(x); out.append((t, x))
    f = globals()[kind]; q = []; used = {}
    while len(out) < QUOTA:
        if not q: q = terms[:]; R.shuffle(q)
        t = q.pop()
        for _ in range(60):
            form, host = R.choice(hosts[t]); h = around(t, form, host); parts = h.split("{}")
            # a host with several places gets a disguise for each
            o, ok = parts[0], True
            for p in parts[1:]:
                d = f(t, form)
                if d is None or d.casefold() == form.casefold(): ok = False; break
                o += d + p
            if not ok or hits(o) or o in seen or len(o) > 990: continue
            if used.get((t, host), 0) > 1: continue
            n = len(h.replace("{}", form).split())
            if n > 25: continue
            used[t, host] = used.get((t, host), 0) + 1
            seen.add(o); out.append((t, o)); break
    R.shuffle(out)
    rows += [(kind, t, x) for t, x in out]
R.shuffle(rows)
with open("../evasions.tsv", "w", encoding="utf-8", newline="") as w:
    w.write("id\tkind\tterm\ttext\n")
    for i, (k, t, x) in enumerate(rows, 1): w.write(f"e{i:04}\t{k}\t{t}\t{esc(x)}\n")
