"""Checks evasions.tsv and innocents.tsv: columns, ids, counts, duplicates, lengths, no plain term.
Usage: python3 src/check.py [path of terms.txt]"""
import collections, pathlib, re, sys, unicodedata

HERE = pathlib.Path(__file__).resolve().parent.parent
TERMS = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "terms.txt"
KINDS_E = "zero_width confusables leetspeak spacing repeats bidi zalgo combining mixed_scripts combined".split()
KINDS_N = "scunthorpe chat elongated names_places numbers spelled_out code_urls caps accents lookalike_script".split()
LANGS = "en fr es ru de it ja pl pt tr".split()


def load_terms(path):
    return [t for t in path.read_text(encoding="utf-8").split("\n") if t]


def plain_re(terms):
    """One pattern for all terms as they stand: casefolded, whole words, '*' at an end for further letters."""
    parts = []
    for t in terms:
        core = t.strip("*").casefold()
        pat = r"\s+".join(re.escape(w) for w in core.split())
        parts.append(("" if t.startswith("*") else r"(?<!\w)") + pat + ("" if t.endswith("*") else r"(?!\w)"))
    return re.compile("|".join(parts))


def plain(text, rx):
    """A plain term in text, as typed or after NFC (composing only), or None."""
    for s in (text, unicodedata.normalize("NFC", text)):
        m = rx.search(s.casefold())
        if m:
            return m.group(0)
    return None


def unescape(s):
    return re.sub(r"\\(.)", lambda m: {"t": "\t", "n": "\n", "\\": "\\"}[m.group(1)], s)


def table(name, head):
    raw = (HERE / name).read_bytes()
    assert b"\r" not in raw and raw.endswith(b"\n") and not raw.startswith(b"\xef\xbb\xbf"), name
    lines = raw.decode("utf-8").split("\n")[:-1]
    assert lines[0].split("\t") == head, lines[0]
    rows = [l.split("\t") for l in lines[1:]]
    for r in rows:
        assert len(r) == len(head) and all(r), r
    return rows


def main():
    terms = load_terms(TERMS)
    rx = plain_re(terms)
    ev = table("evasions.tsv", ["id", "kind", "term", "text"])
    inn = table("innocents.tsv", ["id", "language", "kind", "text"])
    assert len(ev) >= 1000 and len(inn) >= 1000
    bad, seen = [], {}
    for prefix, rows in (("h", ev), ("n", inn)):
        for i, r in enumerate(rows, 1):
            assert r[0] == f"{prefix}{i:04d}", r
            text = unescape(r[3])
            if text in seen:
                bad.append((r[0], "duplicate of " + seen[text]))
            seen[text] = r[0]
            if not 1 <= len(text) <= 300:
                bad.append((r[0], f"length {len(text)}"))
            if text != text.strip():
                bad.append((r[0], "blank at an end"))
            p = plain(text, rx)
            if p:
                bad.append((r[0], f"plain term {p!r}: {text!r}"))
    for r in ev:
        if r[1] not in KINDS_E or r[2] not in terms:
            bad.append((r[0], f"kind or term {r[1]} {r[2]}"))
    for r in inn:
        if r[1] not in LANGS or r[2] not in KINDS_N:
            bad.append((r[0], f"language or kind {r[1]} {r[2]}"))
    for title, c in (("evasions by kind", collections.Counter(r[1] for r in ev)),
                     ("evasions by term", collections.Counter(r[2] for r in ev)),
                     ("innocents by language", collections.Counter(r[1] for r in inn)),
                     ("innocents by kind", collections.Counter(r[2] for r in inn))):
        print(title, sum(c.values()), "; ".join(f"{k} {v}" for k, v in c.most_common()))
    missing = [t for t in terms if not any(r[2] == t for r in ev)]
    print("terms without an evasion:", missing)
    for b in bad:
        print("BAD", *b)
    print("ok" if not bad else f"{len(bad)} bad")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
