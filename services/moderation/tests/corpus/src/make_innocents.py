"""Writes ../innocents.tsv from innocents_a.txt and innocents_b.txt (hand-written; order shuffled, seeded)."""
import random
R = random.Random(20240612)
esc = lambda s: s.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
rows, seen = [], set()
for f in ("innocents_a.txt", "innocents_b.txt"):
    for line in open(f, encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("## "): lang, kind = line[3:].split(); continue
        text = line.replace("⏎", "\n").replace("⇥", "\t")
        if not text.strip(): continue
        if text in seen: print("dup", lang, text); continue
        seen.add(text); rows.append((lang, kind, text))
R.shuffle(rows)
with open("../innocents.tsv", "w", encoding="utf-8", newline="") as w:
    w.write("id\tlanguage\tkind\ttext\n")
    for i, (l, k, t) in enumerate(rows, 1): w.write(f"i{i:04}\t{l}\t{k}\t{esc(t)}\n")
