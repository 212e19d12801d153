import random, re, sys, unicodedata as ud
from hosts import *
SEED=20417
R=random.Random(SEED)
T=[l for l in open(sys.argv[1],encoding='utf8').read().split('\n') if l]
KINDS="zero_width confusables leetspeak spacing repeats bidi zalgo combining mixed_scripts combined".split()
PER=18
def pat(t):
    c=t.casefold(); a=b=''
    if c.startswith('*'): a=r'\w*'; c=c[1:]
    if c.endswith('*'): b=r'\w*'; c=c[:-1]
    return re.compile(r'(?<!\w)'+a+re.escape(c)+b+r'(?!\w)')
PATS={t:pat(t) for t in T}
def plain(text): 
    x=ud.normalize('NFC',text).casefold()
    return [t for t,p in PATS.items() if p.search(x)]
def script(f):
    if re.search('[\u3040-\u30ff\u4e00-\u9fff]',f): return 'ja'
    if re.search('[\u0400-\u04ff]',f): return 'cy'
    return 'la'
def idx(u,n=None,lo=1,hi=None,ok=None):
    c=[i for i,x in enumerate(u) if x!=' ' and (ok is None or ok(x))]
    if not c: return []
    k=n if n else R.randint(lo,max(lo,min(hi or len(c),len(c))))
    return sorted(R.sample(c,min(k,len(c))))
# --- zero width
ZW=['\u200b']*5+['\u200c','\u200d','\u200d','\u2060','\u2060','\ufeff','\ufeff','\u00ad','\u00ad','\u180e','\u034f','\u2061','\u2063','\u2064','\ufe0f','\ufe0e','\U000e0020','\U000e0061','\u115f']
def gaps(u): return [i for i in range(1,len(u)) if u[i]!=' ' and u[i-1]!=' ']
def zero_width(u):
    g=gaps(u); z=R.choice(ZW); m=R.random()
    if m<.35: g=[R.choice(g)]
    elif m<.6: g=R.sample(g,min(2,len(g)))
    mix=R.random()<.25; rep=R.choice([1,1,1,2,3])
    out=[]
    for i,x in enumerate(u):
        if i in g: out.append((R.choice(ZW) if mix else z)*rep)
        out.append(x)
    return out
# --- confusables
LA={'a':'аɑα\u237a','b':'ЬƄᏏᖯ','c':'сϲⅽᴄⲥ','d':'ԁⅾᏧ','e':'еҽ℮ꬲ','f':'ꞙꬵẝƒ','g':'ɡցᶃ','h':'һհᏂ','i':'іıɩꙇӏ','j':'јϳ','k':'ⲕκкᴋ','l':'ӏⅼ|Ⅰ1І','m':'ⅿмᴍ','n':'ոռ','o':'оοօᴏσ০','p':'рρⲣ','q':'ԛգ','r':'гᴦⲅꭇ','s':'ѕꜱƽ','t':'тτᴛ','u':'υսᴜꞟ','v':'νѵᴠⅴ','w':'ԝɯᴡա','x':'хⅹ᙮','y':'уγʏყү','z':'ᴢꮓ','ç':'ҫ'}
UP={'A':'ΑАᎪꓮ','B':'ΒВᏴꓐ','C':'СϹᏟꓚ','D':'ᎠꓓⅮ','E':'ΕЕᎬꓰ','F':'ϜꓝᖴꞘ','G':'ԌᏀꓖ','H':'ΗНᎻꓧ','I':'ΙІӀ','J':'ЈᎫꓙ','K':'ΚКᏦꓗ','L':'ᏞꓡⅬ','M':'ΜМᎷꓟ','N':'ΝꓠⲚ','O':'ΟОՕꓳ','P':'ΡРᏢꓑ','R':'ᎡꓣᏒ','S':'ЅՏᏚꓢ','T':'ΤТᎢꓔ','U':'ՍꓴႮ','V':'ᏙꓦѴ','W':'ᎳꓪԜ','Y':'ΥҮꓬ','Z':'ΖᏃꓜ','X':'ΧХꓫ','Q':'ԚႳ'}
CY={'а':'aɑα','с':'cϲᴄⅽ','у':'yүγʏ','к':'kκĸᴋ','х':'xⅹҳ','е':'eҽ℮','о':'oοօ','р':'pρ','т':'ᴛτⲧ','в':'ʙ','н':'ʜ','м':'ᴍ','ь':'ƅ','п':'ⲡռ','л':'ʌ','г':'rᴦ','и':'ᴎ','я':'ᴙ','з':'ɜ','б':'Ƃ'}
def fontmap(base_l,base_u=None,exc={}):
    d={}
    for i in range(26):
        d[chr(97+i)]=chr(base_l+i)
        if base_u: d[chr(65+i)]=chr(base_u+i)
    d.update(exc); return d
FONTS=[fontmap(0xff41,0xff21)]*4+[fontmap(0x1d41a,0x1d400),fontmap(0x1d44e,0x1d434,{'h':'ℎ'}),fontmap(0x1d482,0x1d468),fontmap(0x1d4ea,0x1d4d0),fontmap(0x1d586,0x1d56c),
 fontmap(0x1d552,0x1d538,{'C':'ℂ','H':'ℍ','N':'ℕ','P':'ℙ','Q':'ℚ','R':'ℝ','Z':'ℤ'}),fontmap(0x1d5ba,0x1d5a0),fontmap(0x1d5ee,0x1d5d4),fontmap(0x1d622,0x1d608),fontmap(0x1d68a,0x1d670),
 fontmap(0x24d0,0x24b6),fontmap(0x24d0,0x24b6),fontmap(0x249c),fontmap(0x1f130),fontmap(0x1f150),fontmap(0x1f170),
 dict(zip('abcdefghijklmnopqrstuvwyz','ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡʏᴢ')),dict(zip('abcdefghijklmnopqrstuvwyz','ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀsᴛᴜᴠᴡʏᴢ')),
 dict(zip('abcdefghijklmnoprstuvwxyz','ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ'))]
REGIONAL=fontmap(0x1f1e6)
def base(x):
    # fonts lack accented letters: base letter plus its marks
    d=ud.normalize('NFD',x)
    if x=='ı': return 'i',''
    return d[0],d[1:]
def font(u):
    f=R.choice(FONTS)
    if R.random()<.06: # regional indicators, kept apart by a zero-width space or thin space as people do
        return [REGIONAL.get(base(x.lower())[0],x)+R.choice(['\u200b']) if x.isalpha() else x for x in u]
    out=[]
    for x in u:
        b,m=base(x); y=f.get(b) or f.get(b.lower())
        out.append((y+ud.normalize('NFC',m) if y else x))
    return out
def homog(u,all_=None,table=None):
    full=R.random()<.35 if all_ is None else all_
    def cand(x): 
        return LA.get(x) or UP.get(x) or CY.get(x) or UP.get(x if x.isupper() else '')
    ii=[i for i,x in enumerate(u) if cand(x)]
    if not ii: return None
    if not full: ii=R.sample(ii,R.randint(1,max(1,len(ii)*2//3)))
    return [R.choice(cand(x)) if i in ii else x for i,x in enumerate(u)]
def confusables(u):
    if script(''.join(u))=='la' and R.random()<.45: return font(u)
    return homog(u)
# --- mixed scripts
LOOSE={'a':'аαλд∂ą','b':'ьвßъ','c':'сς¢','d':'ԁ∂','e':'еєэεё','f':'ғ','g':'ɢԍ','h':'нһђ','i':'іιї','j':'ј','k':'кκқ','l':'ӏι','m':'м','n':'ηи','o':'оοσөф','p':'рρ','r':'гя','s':'ѕ','t':'тτ†','u':'υцμ','v':'νѵ','w':'шωщ','x':'хж','y':'уγч','z':'ʐ','ı':'ι'}
LOOSE_CY={'а':'aαλ@','с':'cç','у':'yүƳ','к':'kκ','х':'xχ','й':'ŭ','е':'eεё','о':'oο','т':'tτ','ь':'b','б':'ƃб','я':'ya','п':'nπ','л':'λ','ы':'bI','н':'hH','и':'uи','р':'pρ','м':'m'}
CJKF=dict(zip('abcdefghijklmnoprstuvwxyz','卂乃匚刀乇千厶卄丨丿长乚爪几口卩尺丂ㄒ凵ᐯ山乂丫乙'))
CANF=dict(zip('abcdefghijklmnoprstuvwxyz','ᗩᗷᑕᗪEᖴGᕼIᒍKᒪᗰᑎOᑭᖇᔕTᑌᐯᗯ᙭YZ'))
CURF=dict(zip('abcdefghijklmnoprstuvwxyz','₳฿₵ĐɆ₣₲ⱧłJ₭Ⱡ₥₦Ø₱Ɽ₴₮ɄV₩ӾɎⱫ'))
GRKF=dict(zip('abcdefghijklmnoprstuvwxyz','αв¢∂єƒgнιנкℓмησρяѕтυνωχуz'))
THAF=dict(zip('abcdefghijklmnoprstuvwxyz','ค๒ς๔єŦﻮђเןкl๓ภ๏קгรtยשฬץאz'))
TRAN={'сука':['cyka','suka','cуka','сyкa','ѕукa'],'хуй':['xyй','xуй','xyu','хuй'],'ебать':['ebать','eбaтb','ебatь','ebaть'],'убей себя':['yбeй ceбя','ubей себя','убeй sебя'],'бесплатные скины':['бecплaтныe cкины','besплатные скины','бесплатные skины','бесплатныe cкиhы']}
def mixed_scripts(u,form=None):
    s=''.join(u)
    if script(s)=='cy':
        if form in TRAN and R.random()<.5: return [R.choice(TRAN[form])]
        ii=[i for i,x in enumerate(u) if x in LOOSE_CY]
        ii=R.sample(ii,R.randint(1,len(ii)))
        return [R.choice(LOOSE_CY[x].replace('ya','')) if i in ii and LOOSE_CY[x].replace('ya','') and x not in 'ы' else ('bI' if i in ii and x=='ы' else x) for i,x in enumerate(u)]
    m=R.random()
    if m<.25:
        f=R.choice([CJKF,CANF,CURF,CURF,GRKF,GRKF,THAF])
        out=[]
        for x in u:
            b,mk=base(x); out.append(f.get(b.lower(),x) if not mk or b.lower() not in f else f[b.lower()])
        return out
    ii=[i for i,x in enumerate(u) if x.lower() in LOOSE]
    # at least two scripts besides or with Latin: keep a Latin letter where it is possible
    k=R.randint(1,max(1,len(ii)-1)); ii=R.sample(ii,k)
    return [R.choice(LOOSE[x.lower()]) if i in ii else x for i,x in enumerate(u)]
# --- leet
LEET={'a':'44@@','e':'333€','i':'11!','o':'00','s':'55$$','t':'77+','l':'1|','g':'9','b':'8','c':'((','z':'2','u':'v','é':'33','è':'3','ę':'3','ı':'1!','á':'4@','à':'4@','h':'#','x':'×'}
HEAVY={'k':['|<'],'h':['|-|'],'n':['|\\|'],'u':['|_|','(_)'],'m':['|v|','/\\/\\'],'w':['\\/\\/'],'f':['ph'],'d':['|)'],'v':['\\/'],'p':['|>'],'c':['<']}
LCY={'а':['@','4'],'о':['0'],'е':['3'],'б':['6'],'с':['$','('],'х':['}{',')(','×'],'у':['y'],'к':['|<','k'],'я':['9'],'т':['7'],'л':['/\\'],'ы':['ьl','bl','61'],'з':['3'],'и':['u'],'й':['й'],'н':['|-|','H'],'п':['n']}
def leetspeak(u,heavy=None):
    if script(''.join(u))=='cy':
        ii=[i for i,x in enumerate(u) if x in LCY and x!='й']
        ii=R.sample(ii,R.randint(1,max(1,min(len(ii),4))))
        o=[R.choice(LCY[x]) if i in ii else x for i,x in enumerate(u)]
        return o
    hv=R.random()<.18 if heavy is None else heavy
    ii=[i for i,x in enumerate(u) if x.lower() in LEET]
    hh=[i for i,x in enumerate(u) if x.lower() in HEAVY]
    if not ii and not hh: return None
    k=R.randint(1,len(ii)) if ii else 0
    if len(ii)>3: k=max(k,2)
    if ii and len(u)<=4: k=min(k,max(1,len(u)//2))
    ii=R.sample(ii,k)
    # u -> v only seldom together with much else
    hh=R.sample(hh,min(len(hh),R.randint(1,2))) if (hv or not ii) else []
    out=[]
    for i,x in enumerate(u):
        if i in hh: out.append(R.choice(HEAVY[x.lower()]))
        elif i in ii: out.append(R.choice(LEET[x.lower()]))
        else: out.append(x)
    return out
# --- spacing
def spacing(u,form=None):
    s=''.join(u); words=s.split(' ')
    m=R.random()
    if len(words)>1 and m<.22: return [R.choice(['','.','-','_','\u3000','  ','*',' . ']).join(words)]
    if m<.42 and all(len(w)>2 for w in words if len(w)>1) and script(s)!='ja':   # one break inside a word
        w=max(range(len(words)),key=lambda i:len(words[i])); x=words[w]
        if len(x)>2:
            c=R.randint(1,len(x)-1); words[w]=x[:c]+R.choice([' ','.','-',' ','_','*'])+x[c:]
            return [' '.join(words)]
    sep=R.choice([' ']*9+['.','.','.','-','-','_','_','*','*','/','|','~','·','•','  ','  ',' . ',' - ','\u00a0','\u2009','\u3000',',',', ','\n','👏','🔥','💀','..','-_-','+','\t',"'",'`',':','>'])
    gap={' ':R.choice(['  ','   ',' ']),'\n':'\n\n'}.get(sep, R.choice([' ','  ',sep,sep*2]))
    return [gap.join(sep.join(w) for w in words)]
# --- repeats
def repeats(u,few=False):
    ii=idx(u,lo=1,hi=2 if few else 3); n=2 if few else R.choice([2,2,3,3,4,5,7])
    if not few and R.random()<.12: ii=idx(u,n=99); n=R.choice([2,2,3])
    out=[]
    for i,x in enumerate(u):
        k=1
        if i in ii: k=max(2,n+R.randint(-1,2))
        out.extend([x]*k if R.random()<.85 or k==1 else [x.upper() if j%2 else x for j in range(k)])
    return out
# --- bidi
def bidi(u,form=None):
    s=''.join(u); m=R.random()
    if m<.28: return ['\u202e'+s[::-1]+'\u202c']
    if m<.33: return ['\u2066\u202e'+s[::-1]+'\u202c\u2069']
    if m<.48 and len(s)>3:
        a=R.randint(1,len(s)-2); b=R.randint(a+2,len(s))
        return [s[:a]+'\u202e'+s[a:b][::-1]+'\u202c'+s[b:]]
    if m<.75:
        z=R.choice(['\u200e','\u200e','\u200f','\u061c','\u202a\u202c','\u202d\u202c','\u2066\u2069','\u2068\u2069','\u202a','\u2067\u2069'])
        g=gaps(u); g=g if R.random()<.5 else R.sample(g,1)
        return [(z if i in g else '')+x for i,x in enumerate(u)]
    a=R.randint(1,len(s)-1)
    o,c=R.choice([('\u202d','\u202c'),('\u202a','\u202c'),('\u2066','\u2069'),('\u2068','\u2069'),('\u202b','\u202c')])
    return [s[:a]+o+s[a:]+c]
# --- marks
ZM=[chr(c) for c in range(0x300,0x315)]+[chr(c) for c in range(0x316,0x334)]+[chr(c) for c in range(0x339,0x345)]+[chr(c) for c in range(0x346,0x34e)]+[chr(c) for c in range(0x350,0x35b)]
def zalgo(u):
    n=R.choice([2,3,4,5,6,9]); p=R.choice([1,1,.8,.5])
    out=[x if x==' ' else x+''.join(R.choice(ZM) for _ in range(R.randint(max(2,n-1),n+2))) if R.random()<p else x for x in u]
    return out
PRE={'a':'áàâäãåāăąǎȧ','b':'ḃḅ','c':'ćčċĉç','d':'ďḋḍ','e':'éèêëēėęě','f':'ḟ','g':'ğĝġģǵ','h':'ĥḧḩȟ','i':'íìîïīĩǐ','j':'ĵ','k':'ķǩḱ','l':'ĺļľ','m':'ḿṁ','n':'ńñňņ','o':'óòôöõōő','p':'ṕṗ','r':'ŕřṙ','s':'śšşŝṡ','t':'ťţṫẗ','u':'úùûüūůűũ','v':'ṽ','w':'ŵẁẅ','x':'ẋẍ','y':'ýÿŷ','z':'źžż','а':'ӑӓ','е':'ѐёӗ','и':'ѝӣӥ','у':'ўӯӱӳ','к':'ќ','ы':'ӹ'}
LINE=['\u0336','\u0336','\u0335','\u0332','\u0332','\u0333','\u0305','\u0338','\u0337','\u0334','\u20e3','\u20dd','\u0489','\u0488','\u20d2','\u20e0','\u033f']
def combining(u,form=None):
    s=''.join(u)
    bare=''.join(c for c in ud.normalize('NFD',s) if not ud.combining(c)).replace('ı','i')
    if bare!=s and form not in('coño','хуй','убей себя') and script(s)!='ja' and R.random()<.25: return [bare]
    if script(s)=='ja':
        c=R.choice(['\u0336','\u0332','\u3099','\u309a','\u20dd','\u0338','\u0301'])
        return [x+c if ud.normalize('NFC',x+c)!=x and (c not in'\u3099\u309a' or len(ud.normalize('NFC',x+c))>1) else x for x in u]
    m=R.random()
    if m<.45:
        ii=[i for i,x in enumerate(u) if x.lower() in PRE]
        if ii:
            ii=R.sample(ii,R.randint(1,len(ii)))
            o=[R.choice(PRE[x.lower()]) if i in ii else x for i,x in enumerate(u)]
            return [y.upper() if x.isupper() else y for x,y in zip(u,o)]
    if m<.8:
        c=R.choice(LINE); return [x if x==' ' else x+c for x in u]
    ii=idx(u,lo=1,hi=4); return [x+R.choice(['\u0301','\u0308','\u0302','\u0323','\u0307','\u030a','\u0303','\u0327','\u0331','\u0304']) if i in ii else x for i,x in enumerate(u)]
def combined(u,form=None):
    subs=[homog,lambda x:leetspeak(x,False)]
    m=R.random(); names=[]
    u=list(u)
    first=R.random()
    if first<.75:
        f=R.choice(subs); v=f(u) if f is not homog else homog(u,False)
        if v: u=v; names.append('s')
    if R.random()<(.35 if names else .8): u=repeats(u,True); names.append('r')
    if len(names)==2 and R.random()<.5: return u
    k=R.choice(['sp','sp','zw','zw','cm','cm','bd'])
    if k=='sp':
        sep=R.choice([' ',' ','.','-','_','*']); s=[]
        w=''.join(x if x!=' ' else '\0' for x in u)
        return [(sep*2 if sep!='*' else ' ').join(sep.join(p) for p in w.split('\0'))]
    if k=='zw': return zero_width(u)
    if k=='cm':
        c=R.choice(['\u0336','\u0332','\u0308','\u0301','\u0323']); ii=idx(u,lo=max(1,len(u)//2),hi=len(u))
        return [x+c if i in ii else x for i,x in enumerate(u)]
    g=gaps(u); z=R.choice(['\u200e','\u200f','\u202d'])
    return [(z if i in g else '')+x for i,x in enumerate(u)]
FN=globals()
rows=[];seen=set()
def has_form(fn): return fn in ('mixed_scripts','spacing','bidi','combining','combined')
for ti,t in enumerate(T):
    L=lang(ti); hs=H[t][:]; R.shuffle(hs)
    ks=KINDS+[KINDS[(ti*8+j)%10] for j in range(8)]
    core=t.strip('*')
    jpc={k:v[:] for k,v in JP.get(t,{}).items()}
    for v in jpc.values(): R.shuffle(v)
    for n,k in enumerate(ks):
        for attempt in range(400):
            h=hs[(n+attempt//30)%len(hs)]
            if '[' in h: a,f,b=re.match(r'(.*?)\[(.*?)\](.*)$',h).groups()
            else: a,b=h.split('{}'); f=core
            low=f
            if L!='ja':
                x=R.random()
                if x<.13 and L!='tr': f=f.upper()
                elif x<.2: f=f[0].upper()+f[1:]
                elif x<.24 and L!='tr': f=''.join(c.upper() if i%2 else c for i,c in enumerate(f))
            u=list(f)
            if jpc.get(k):
                d=jpc[k][n%len(jpc[k])] if attempt==0 else R.choice(jpc[k])
            elif k=='combined' and L=='ja':
                d=R.choice([lambda:''.join(zero_width(R.choice([repeats(u),list(R.choice(jpc['mixed_scripts']))]))),lambda:' '.join(R.choice(jpc['mixed_scripts'])),lambda:''.join(combining(list(R.choice(jpc['mixed_scripts'])))),lambda:'.'.join(R.choice(jpc['repeats']))])()
            else:
                if script(f)=='cy' and f.lower()!=f and k in('leetspeak','mixed_scripts','confusables','combined'): u=list(low); 
                r=FN[k](u,low) if has_form(k) else FN[k](u)
                if not r: continue
                d=''.join(r)
            if d==f: continue
            pre='';post=''
            if R.random()<.10: pre='@'+R.choice(NICKS)+' '
            if R.random()<.28:
                tl=R.choice(TAILS[L]); post=(' ' if L!='ja' or R.random()<.7 else ' ')+tl
            text=a+d+b
            if k=='bidi' and '\u202e' in d and L!='ja' and R.random()<.12:
                text='\u202e'+(a+f+b).strip()[::-1]+R.choice(['','\u202c'])
            text=(pre+text.strip()+post)
            if plain(text): continue
            if len(text.split())>25 and k not in('spacing','combined'): continue
            if text in seen: continue
            # the undisguised message must be a plain hit of its term
            if t not in plain(pre+a+low+b+post): continue
            if set(plain(pre+a+low+b+post))-{t} - ({'ass'} if t=='asshole*' else set()): continue
            seen.add(text); rows.append((k,t,text)); break
        else: print('FAILED',t,k,file=sys.stderr)
R.shuffle(rows)
def esc(s): return s.replace('\\','\\\\').replace('\t','\\t').replace('\n','\\n').replace('\r','\\r')
with open('../evasions.tsv','w',encoding='utf8',newline='\n') as f:
    f.write('id\tkind\tterm\ttext\n')
    for i,(k,t,x) in enumerate(rows,1): f.write(f'he{i:04d}\t{k}\t{t}\t{esc(x)}\n')
from collections import Counter
print(len(rows),Counter(r[0] for r in rows)); c=Counter(r[1] for r in rows); print(len(c),min(c.values()))
