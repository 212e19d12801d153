"""Checks the three files; plain casefolded whole-word matching only."""
import re, collections, sys
bad = 0
def fail(*a):
    global bad; bad += 1; print("BAD", *a)
terms = open("../terms.txt", encoding="utf-8").read().split("\n"); assert terms.pop() == ""
if len(terms) != 60 or len(set(terms)) != 60: fail("terms", len(terms))
def plain(t):
    a = r"\w*" if t.startswith("*") else ""; b = r"\w*" if t.endswith("*") else ""
    return re.compile(r"(?<!\w)" + a + re.escape(t.strip("*").casefold()) + b + r"(?!\w)")
P = {t: plain(t) for t in terms}
def unesc(s): return re.sub(r"\\(.)", lambda m: {"t": "\t", "n": "\n", "\\": "\\"}[m[1]], s)
def load(name, head):
    raw = open("../" + name, "rb").read().decode("utf-8")
    if "\r" in raw: fail(name, "CR")
    lines = raw.split("\n"); assert lines.pop() == ""
    if lines[0].split("\t") != head: fail(name, "head")
    rows = [l.split("\t") for l in lines[1:]]
    for r in rows:
        if len(r) != 4: fail(name, r)
        x = unesc(r[3])
        if not x.strip() or len(x) > 1000: fail(name, "length", r[0], len(x))
        for t, p in P.items():
            if p.search(x.casefold()): fail(name, "plain term", t, r)
    for c, what in ((0, "id"), (3, "text")):
        for v, n in collections.Counter(r[c] for r in rows).items():
            if n > 1: fail(name, "duplicate", what, v)
    return rows
E = load("evasions.tsv", ["id", "kind", "term", "text"])
I = load("innocents.tsv", ["id", "language", "kind", "text"])
for r in E:
    if r[2] not in P: fail("unknown term", r)
for t in terms:
    if sum(r[2] == t for r in E) < 8: print("few", t, sum(r[2] == t for r in E))
if {r[3] for r in E} & {r[3] for r in I}: fail("in both", {r[3] for r in E} & {r[3] for r in I})
print(len(E), collections.Counter(r[1] for r in E)); print(len(I), collections.Counter(r[1] for r in I)); print(collections.Counter(r[2] for r in I))
for t in terms:
    k = t.strip("*").casefold(); n = sum(k in unesc(r[3]).casefold() for r in I)
    print(f"{t}:{n}", end="  ")
print("\nbad:", bad); sys.exit(bad > 0)
