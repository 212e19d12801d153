"""What holds a secret does not show it: reprs end in logs and tracebacks."""

import pytest

from ws_edge.adapters.jwt.keys import VerificationKey, secret_key
from ws_edge.adapters.jwt.tokens import Parts
from ws_edge.bootstrap import DevTokenIssuer
from ws_edge.chat.join import JoinRequest
from ws_edge.protocol.identity import Slug
from ws_edge.protocol.references import BySlug
from ws_edge.transport.upgrade import Handshake

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "holder",
    [
        JoinRequest(lambda: BySlug(Slug("s")), SECRET, "192.0.2.1", "192.0.2.1"),
        Handshake("a key of RFC 6455, which is no secret", SECRET, None),
        VerificationKey(SECRET.encode(), "HS256"),
        Parts(SECRET, SECRET.encode(), "key", is_plain_hs256=True),
        secret_key(SECRET),
        DevTokenIssuer(SECRET, any_role=False),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_its_repr_holds_no_secret(holder: object) -> None:
    assert SECRET not in repr(holder)
