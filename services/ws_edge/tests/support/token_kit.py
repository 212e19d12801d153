"""Tokens as an issuer makes them, and as nobody should."""

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ws_edge.adapters.jwt.keys import KeySource, secret_key
from ws_edge.adapters.jwt.tokens import JwtTokens

NOW_S = 1_800_000_000.0
SECRET = "a secret of thirty-two bytes, no less"
EXP = {"exp": NOW_S + 60}
HEADER = {"alg": "HS256", "typ": "JWT"}
KEYS: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey] = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def signed(claims: Any, *, secret: str = SECRET, header: dict[str, Any] | None = None) -> str:
    """By hand, so that nothing of PyJWT's own checks stands between the test and the verifier."""
    return sealed(json.dumps(header or HEADER).encode(), json.dumps(claims).encode(), secret=secret)


def sealed(header: bytes, payload: bytes, *, secret: str = SECRET) -> str:
    """The same of any bytes."""
    text = f"{base64url(header)}.{base64url(payload)}"
    return f"{text}.{base64url(hmac.digest(secret.encode(), text.encode(), hashlib.sha256))}"


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def tokens(keys: KeySource | None = None, **settings: Any) -> JwtTokens:
    return JwtTokens(keys or secret_key(SECRET), clock=lambda: NOW_S, **settings)


def pem_of(algorithm: str) -> str:
    return KEYS[algorithm].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem_of(algorithm: str) -> bytes:
    return KEYS[algorithm].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
