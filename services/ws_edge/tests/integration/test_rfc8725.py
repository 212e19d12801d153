"""Every attack on tokens that RFC 8725 (JSON Web Token Best Current Practices) names, and what it asks for against it.

| section | attack | test |
| --- | --- | --- |
| 2.1, 3.1 | `alg: none`, in any spelling | test_only_hs256_is_accepted_with_a_secret |
| 2.1, 3.1 | a public key as the secret of HS256 | test_a_public_key_used_as_a_secret_is_refused |
| 2.1, 3.1 | another algorithm of the same key | test_a_key_is_used_with_one_algorithm_alone |
| 2.1, 3.3 | no signature, a part of one, another's | test_a_signature_that_is_not_whole_is_refused |
| 2.2, 3.5 | a short HMAC secret | test_config.py::test_a_secret_below_32_bytes_is_refused_in_production_and_on_anything_but_loopback |
| 2.2, 3.5 | the secret that everybody knows | test_config.py::test_the_development_secret_is_refused_on_anything_but_loopback, test_config.py::test_production_without_a_secret_is_refused |
| 2.2, 3.5 | a short RSA key, a secret in a key set | test_adapter_jwks.py::test_an_rsa_key_below_2048_bits_is_passed_over, test_adapter_jwks.py::test_secrets_and_keys_for_other_uses_in_a_set_are_never_used |
| 2.3, 2.4, 3.6 | encrypted, nested, compressed | test_what_is_encrypted_nested_or_compressed_is_refused |
| 2.5, 3.4 | a point that is not on the curve, another curve | test_a_point_beside_its_curve_is_no_key, test_a_key_of_another_kind_is_refused_when_it_is_configured |
| 3.2, 3.4 | ECDSA with r = s = 0, n, or of another length | test_an_ecdsa_signature_out_of_range_is_refused |
| 2.6, 3.7 | JSON in another encoding, or broken UTF-8 | test_only_utf_8_is_read |
| 2.6 | a claim twice | test_of_a_claim_that_stands_twice_the_last_counts |
| 2.6 | JSON or base64 that others read differently | test_a_token_has_one_form |
| 2.7, 3.8, 3.9 | a token of another issuer, or for others | test_iss_and_aud_are_checked_where_configured_and_ignored_where_not |
| 2.7, 3.8 | a key of another issuer | test_a_key_of_another_issuer_verifies_nothing |
| 3.8 | no subject, or one that is none | test_adapter_jwt_tokens.py::test_a_user_id_that_is_no_whole_number_from_1_below_2_to_the_53_is_refused |
| 2.8, 3.11, 3.12 | a token of another kind | test_a_token_of_another_kind_is_refused |
| 2.9, 3.10 | `kid` as a path, a statement, anything | test_a_key_id_is_compared_and_nothing_else |
| 2.9, 3.10 | `jku`, `x5u`, `jwk`, `x5c` of the attacker's | test_a_key_that_the_token_brings_or_names_is_not_used |
| 3.12; RFC 7515, 4.1.11 | `crit`, which nobody here understands | test_what_is_critical_and_not_understood_is_refused |
| RFC 7519, 4.1 | expired, not valid yet, no `exp` | test_adapter_jwt_tokens.py::test_a_token_without_a_present_validity_is_refused |
| — | a token of any size | test_a_token_of_more_than_16_kib_is_refused_unread |
"""  # noqa: E501 - a table

import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from key_server import FIRST, KeyServer, first_entry
from token_kit import (
    EXP,
    HEADER,
    KEYS,
    NOW_S,
    SECRET,
    base64url,
    pem_of,
    private_pem_of,
    sealed,
    signed,
    tokens,
)

from ws_edge.adapters.jwt.keys import JwksKeys, public_key, secret_key
from ws_edge.adapters.jwt.tokens import JwtTokens
from ws_edge.errors import InvalidToken, TokensUnavailable

pytestmark = pytest.mark.integration

CLAIMS: dict[str, Any] = {"user_id": 3} | EXP
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def key_server() -> Iterator[KeyServer]:
    server = KeyServer()
    yield server
    server.close()


async def refused(token: str, verifier: JwtTokens | None = None) -> None:
    with pytest.raises(InvalidToken):
        await (verifier or tokens()).verify(token)


def test_every_test_of_the_table_exists() -> None:
    assert __doc__ is not None
    folder = Path(__file__).parent.parent
    named = re.findall(r"(?:(\w+\.py)::)?(test_\w+)(?!\.py)\b", __doc__)
    assert len(named) >= 22
    for file, test in named:
        (path,) = folder.rglob(file or Path(__file__).name)
        assert f"def {test}(" in path.read_text(), (file, test)


async def test_what_these_tests_vary_is_accepted_as_it_is() -> None:
    assert (await tokens().verify(signed(CLAIMS))).user_id == 3
    assert (await tokens().verify(sealed(json.dumps(HEADER).encode(), json.dumps(CLAIMS).encode()))).user_id == 3


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "HS512", "RS256", "", None, 5, ["HS256"], {}])
async def test_only_hs256_is_accepted_with_a_secret(algorithm: Any) -> None:
    unsigned = signed({"user_id": 3} | EXP, header={"alg": algorithm, "typ": "JWT"})
    for token in (unsigned, unsigned.rpartition(".")[0] + "."):
        with pytest.raises(InvalidToken):
            await tokens().verify(token)


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_a_public_key_verifies_with_the_algorithm_of_its_kind(algorithm: str) -> None:
    token = jwt.encode({"user_id": 3} | EXP, private_pem_of(algorithm), algorithm=algorithm)
    assert (await tokens(public_key(pem_of(algorithm))).verify(token)).user_id == 3
    assert (await tokens(public_key(pem_of(algorithm).replace("\n", "\\n"))).verify(token)).user_id == 3


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_a_public_key_used_as_a_secret_is_refused(algorithm: str) -> None:
    confused = signed({"user_id": 3} | EXP, secret=pem_of(algorithm))
    with pytest.raises(InvalidToken):
        await tokens(public_key(pem_of(algorithm))).verify(confused)


async def test_a_key_of_another_kind_is_refused_when_it_is_configured() -> None:
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    with pytest.raises(ValueError, match="P-256"):
        public_key(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    with pytest.raises(ValueError, match=r"."):
        public_key("not a key")


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS512"])
async def test_a_key_is_used_with_one_algorithm_alone(algorithm: str) -> None:
    verifier = tokens(public_key(pem_of("RS256")))
    await refused(jwt.encode(CLAIMS, private_pem_of("RS256"), algorithm=algorithm), verifier)
    for other in ("ES256", "EdDSA"):
        await refused(jwt.encode(CLAIMS, private_pem_of(other), algorithm=other), verifier)


async def test_a_signature_that_is_not_whole_is_refused() -> None:
    header, claims, signature = signed(CLAIMS).split(".")
    stranger = signed(CLAIMS | {"user_id": 4}).rpartition(".")[2]
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    for forged in ("", signature[:-1], signature[:22], signature + "AAAA", stranger, flipped, "AA"):
        await refused(f"{header}.{claims}.{forged}")
    await refused(f"{header}.{claims}")


async def test_what_is_encrypted_nested_or_compressed_is_refused() -> None:
    encrypted = {"alg": "dir", "enc": "A128CBC-HS256"}
    for header in (encrypted, encrypted | {"zip": "DEF"}, {"alg": "RSA-OAEP", "enc": "A256GCM", "cty": "JWT"}):
        await refused(".".join([base64url(json.dumps(header).encode()), "", "aXY", "Y2lwaGVy", "dGFn"]))
        await refused(signed(CLAIMS, header=header))
    inner = signed(CLAIMS)
    await refused(sealed(json.dumps(HEADER | {"cty": "JWT"}).encode(), inner.encode()))
    await refused(signed(inner, header=HEADER | {"cty": "JWT"}))
    packed = zlib.compress(json.dumps(CLAIMS | {"filler": " " * 10**6}).encode(), 9)
    for payload in (packed, packed[2:-4]):
        await refused(sealed(json.dumps(HEADER | {"zip": "DEF"}).encode(), payload))


async def test_a_point_beside_its_curve_is_no_key(key_server: KeyServer) -> None:
    entry: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key()))
    zero = base64url(bytes(32))
    verifier = JwtTokens(JwksKeys(key_server.url, monotonic=lambda: 0.0), clock=lambda: NOW_S)
    key_server.entries = [
        entry | {"kid": "beside", "y": entry["x"]},
        entry | {"kid": "infinity", "x": zero, "y": zero},
        entry | {"kid": "another curve", "crv": "secp256k1"},
    ]
    with pytest.raises(TokensUnavailable):
        await verifier.verify(jwt.encode(CLAIMS, private_pem_of("ES256"), "ES256", headers={"kid": "beside"}))


async def test_an_ecdsa_signature_out_of_range_is_refused() -> None:
    verifier = tokens(public_key(pem_of("ES256")))
    genuine = jwt.encode(CLAIMS, private_pem_of("ES256"), algorithm="ES256")
    assert (await verifier.verify(genuine)).user_id == 3
    text = genuine.rpartition(".")[0]
    zero, one, order = (number.to_bytes(32, "big") for number in (0, 1, P256_ORDER))
    for signature in (
        zero + zero,
        zero + one,
        one + zero,
        order + order,
        zero,
        zero * 3,
        b"\x30\x06\x02\x01\0\x02\x01\0",
    ):
        await refused(f"{text}.{base64url(signature)}", verifier)


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
async def test_only_utf_8_is_read(encoding: str) -> None:
    header, claims = json.dumps(HEADER), json.dumps(CLAIMS)
    await refused(sealed(header.encode(), claims.encode(encoding)))
    await refused(sealed(header.encode(encoding), claims.encode()))
    for broken in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\0"):
        name = b'"username":"' + broken + b'",'
        await refused(sealed(header.encode(), claims.encode().replace(b"{", b"{" + name)))
        await refused(sealed(header.encode().replace(b"{", b"{" + name), claims.encode()))


async def test_of_a_claim_that_stands_twice_the_last_counts() -> None:
    claims = b'{"user_id":1,"exp":1,"roles":["admin"],' + json.dumps(CLAIMS | {"roles": []}).encode()[1:]
    identity = await tokens().verify(sealed(json.dumps(HEADER).encode(), claims))
    assert (identity.user_id, identity.roles) == (3, ())
    payload = json.dumps(CLAIMS).encode()
    await refused(sealed(b'{"alg":"HS256","alg":"none"}', payload))
    unsigned = sealed(b'{"alg":"none","alg":"HS256"}', payload).rpartition(".")[0]
    await refused(f"{unsigned}.")


async def test_a_token_has_one_form() -> None:
    token = signed(CLAIMS)
    header, claims, signature = token.split(".")
    assert len(signature) % 4 == 3
    for other in (
        f" {token}",
        f"{token}\n",
        f"{token}=",
        f"{token}.",
        f"{header}.{claims}.{signature[:5]}\n{signature[5:]}",
        f"{header}.{claims}.{signature[:5]}!{signature[5:]}",
        f"{header}.{claims}.{signature[:5]}é{signature[5:]}",
        json.dumps({"protected": header, "payload": claims, "signature": signature}),
        json.dumps({"payload": claims, "signatures": [{"protected": header, "signature": signature}]}),
    ):
        await refused(other)


@pytest.mark.parametrize(
    ("claims", "is_accepted"),
    [
        ({"iss": "https://id", "aud": "salon"}, True),
        ({"iss": "https://id", "aud": ["other", "salon"]}, True),
        ({"iss": "https://id"}, False),
        ({"aud": "salon"}, False),
        ({"iss": "https://other", "aud": "salon"}, False),
        ({"iss": "https://id", "aud": "salon2"}, False),
        ({"iss": ["https://id"], "aud": "salon"}, False),
        ({"iss": "https://id", "aud": {"salon": 1}}, False),
    ],
)
async def test_iss_and_aud_are_checked_where_configured_and_ignored_where_not(
    claims: dict[str, Any], is_accepted: bool
) -> None:
    token = signed({"user_id": 3} | EXP | claims)
    assert (await tokens(issuer="", audience="").verify(token)).user_id == 3
    strict = tokens(issuer="https://id", audience="salon")
    if is_accepted:
        assert (await strict.verify(token)).user_id == 3
    else:
        with pytest.raises(InvalidToken):
            await strict.verify(token)


async def test_a_key_of_another_issuer_verifies_nothing() -> None:
    ours = tokens(secret_key(SECRET), issuer="https://id", audience="salon")
    theirs = signed(CLAIMS | {"iss": "https://id", "aud": "salon"}, secret="the secret of somebody else, 32 bytes")
    await refused(theirs, ours)


@pytest.mark.parametrize(
    "kind", ["logout+jwt", "secevent+jwt", "application/dpop+jwt", "LOGOUT+JWT", "oauth-authz-req+jwt"]
)
async def test_a_token_of_another_kind_is_refused(kind: str) -> None:
    await refused(signed(CLAIMS, header=HEADER | {"typ": kind}))


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT", "Bearer", None, 5])
async def test_an_access_token_or_one_without_a_kind_is_accepted(kind: Any) -> None:
    assert (await tokens().verify(signed(CLAIMS, header={"alg": "HS256", "typ": kind}))).user_id == 3
    assert (await tokens().verify(signed(CLAIMS, header={"alg": "HS256"}))).user_id == 3


@pytest.mark.parametrize(
    "key_id",
    [
        "../../../../dev/null",
        "/dev/null",
        "' OR '1'='1",
        "one'; DROP TABLE keys",
        "",
        "x" * 9000,
        "\0",
        "http://[",
        None,
        0,
        [],
        {},
    ],
)
async def test_a_key_id_is_compared_and_nothing_else(key_server: KeyServer, key_id: Any) -> None:
    from_set = JwtTokens(JwksKeys(key_server.url, monotonic=lambda: 0.0), clock=lambda: NOW_S)
    for secret in ("", "\0", SECRET):
        await refused(signed(CLAIMS, secret=secret, header=HEADER | {"kid": key_id}), from_set)
    assert key_server.requests <= 1
    await refused(signed(CLAIMS, secret="", header=HEADER | {"kid": key_id}))


async def test_a_key_that_the_token_brings_or_names_is_not_used(key_server: KeyServer) -> None:
    attackers = KeyServer()
    try:
        own = json.loads(RSAAlgorithm.to_jwk(FIRST.public_key()))
        for brought in (
            {"jku": attackers.url},
            {"x5u": attackers.url},
            {"jwk": own},
            {"x5c": ["MIIB"]},
            {"jku": attackers.url, "kid": "one", "jwk": own},
        ):
            forged = jwt.encode(CLAIMS, FIRST, algorithm="RS256", headers=brought)
            await refused(forged, tokens(public_key(pem_of("RS256"))))
            await refused(forged)
            key_server.entries = [first_entry() | json.loads(RSAAlgorithm.to_jwk(KEYS["RS256"].public_key()))]  # type: ignore[arg-type]
            from_set = JwtTokens(JwksKeys(key_server.url, monotonic=lambda: 0.0), clock=lambda: NOW_S)
            await refused(forged, from_set)
        assert attackers.requests == 0
    finally:
        attackers.close()


@pytest.mark.parametrize(
    "critical",
    [
        {"crit": ["x"], "x": 1},
        {"crit": ["exp"], "exp": NOW_S},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"crit": "x"},
        {"crit": ["alg"]},
        {"b64": False},
    ],
)
async def test_what_is_critical_and_not_understood_is_refused(critical: dict[str, Any]) -> None:
    await refused(signed(CLAIMS, header=HEADER | critical))


async def test_a_token_of_more_than_16_kib_is_refused_unread() -> None:
    fits = signed(CLAIMS | {"filler": "x" * 12_000})
    assert (await tokens().verify(fits)).user_id == 3
    await refused(signed(CLAIMS | {"filler": "x" * 12_500}))
    await refused(signed(CLAIMS, header=HEADER | {"filler": "x" * 12_500}))
