"""A key set behind a URL."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

FIRST = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SECOND = ed25519.Ed25519PrivateKey.generate()


def first_entry() -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(FIRST.public_key()))
    return entry | {"kid": "one", "use": "sig"}


def second_entry() -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(SECOND.public_key()))
    return entry | {"kid": "two"}


class KeyServer:
    """Serves `entries`, or whatever `body` is, and counts."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = [first_entry()]
        self.body: bytes | None = None
        self.requests = 0
        self.redirect_to: str | None = None
        self.pause_s = 0.0
        self.may_answer = threading.Event()
        self.may_answer.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                outer.may_answer.wait(10)
                if outer.redirect_to is not None and self.path == "/keys":
                    self.send_response(302)
                    self.send_header("Location", outer.redirect_to)
                    self.end_headers()
                    return
                body = json.dumps({"keys": outer.entries}).encode() if outer.body is None else outer.body
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for part in [body[i : i + 16] for i in range(0, len(body), 16)] if outer.pause_s else [body]:
                    try:
                        self.wfile.write(part)
                    except OSError:
                        return
                    time.sleep(outer.pause_s)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
