# python3 check.py terms.txt: format, duplicates, counts, plain hits of both files.
import sys,re,unicodedata as ud
from collections import Counter
T=[l for l in open(sys.argv[1],encoding='utf8').read().split('\n') if l]
def pat(t):
    c=t.casefold();a=b=''
    if c[0]=='*':a=r'\w*';c=c[1:]
    if c[-1]=='*':b=r'\w*';c=c[:-1]
    return re.compile(r'(?<!\w)'+a+re.escape(c)+b+r'(?!\w)')
P={t:pat(t) for t in T}
def unesc(s): return re.sub(r'\\(.)',lambda m:{'t':'\t','n':'\n','\\':'\\'}[m[1]],s)
def load(f,head):
    raw=open(f,'rb').read(); s=raw.decode('utf8'); assert s.endswith('\n') and '\r' not in s
    L=s[:-1].split('\n'); assert L[0].split('\t')==head
    rows=[l.split('\t') for l in L[1:]]
    assert all(len(r)==4 and all(r) for r in rows)
    for r in rows: r[3]=unesc(r[3]); assert r[3]==r[3].strip(' '),r
    assert len({r[0] for r in rows})==len(rows) and len({r[3] for r in rows})==len(rows)
    return rows
e=load('../evasions.tsv',['id','kind','term','text']); i=load('../innocents.tsv',['id','language','kind','text'])
assert {r[2] for r in e}==set(T) and len(T)==60
hit=lambda x:[t for t,p in P.items() if any(p.search(ud.normalize(n,x).casefold()) for n in('NFC','NFKC'))]
nf=Counter()
for r in e:
    assert not [t for t,p in P.items() if p.search(ud.normalize('NFC',r[3]).casefold())],r
    nf[r[1]]+=bool(hit(r[3]))
for r in i: assert not hit(r[3]),r
assert not {r[3] for r in e}&{r[3] for r in i}
print(len(e),Counter(r[1] for r in e),'per term',Counter(Counter(r[2] for r in e).values()))
print('hit by NFKC alone',nf)
print(len(i),Counter(r[1] for r in i),Counter(r[2] for r in i))
print('max words',max(len(r[3].split()) for r in e if r[1] not in('spacing','combined')),max(len(r[3].split()) for r in e),max(len(r[3].split()) for r in i),'longest text',max(len(r[3]) for r in e))
