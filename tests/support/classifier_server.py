"""A classifier over HTTP on a port of its own: what it says of a text stands in the text."""

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class ClassifierServer:
    """The first word of a text: `hold`, `refuse`, `broken` (500), `moved` (a redirect), `long` (5 KiB), `silly` (no
    verdict), `late`, which waits for `release`; any other is allowed."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        """The bodies, of those that were signed right."""
        self.unsigned = 0
        self.redirected = 0
        self.connections = 0
        self.is_late = threading.Event()
        """Somebody waits."""
        self.release = threading.Event()
        self.url = ""

    def reply(self, text: str) -> tuple[int, bytes]:
        """Status and body."""
        word = text.split()[0]
        if word == "late":
            self.is_late.set()
            self.release.wait(60)
        if word in ("broken", "moved"):
            return {"broken": 500, "moved": 307}[word], b"{}"
        verdict = word if word in ("hold", "refuse") else "allow"
        answer: dict[str, Any] = {"verdict": verdict, "reason": f"it says {word}"}
        if word == "long":
            answer["padding"] = "x" * 5_120
        return 200, b"yes" if word == "silly" else json.dumps(answer).encode()


def is_signed(headers: Any, body: bytes, secret: str = SECRET) -> bool:
    """As of Standard Webhooks."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return expected in headers["webhook-signature"].split(" ")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Who hangs up is no matter."""


@contextmanager
def classifier_server(ssl_context: ssl.SSLContext | None = None) -> Iterator[ClassifierServer]:
    """One that serves inside of the block."""
    classifier = ClassifierServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            classifier.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/elsewhere":
                classifier.redirected += 1
            if is_signed(self.headers, body):
                classifier.asked.append(json.loads(body))
            else:
                classifier.unsigned += 1
            status, answer = classifier.reply(json.loads(body)["data"]["text"])
            self.send_response(status)
            if status == 307:
                self.send_header("location", f"{classifier.url}/elsewhere")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    server = _Server(("127.0.0.1", 0), Handler)
    if ssl_context is not None:
        server.socket = ssl_context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "http" if ssl_context is None else "https"
    classifier.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield classifier
    finally:
        classifier.release.set()
        server.shutdown()
        serving.join()
        server.server_close()
