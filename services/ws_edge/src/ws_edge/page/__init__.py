"""The chat page at `/`: one self-contained file, and the policy that lets nothing but that file run."""

import base64
import hashlib
import re
from importlib import resources

_INLINE = re.compile(rb"<(style|script)(?: [^>]*)?>(.*?)</\1>", re.DOTALL)


def load() -> bytes:
    """The page, UTF-8, as it is served."""
    return resources.files(__name__).joinpath("index.html").read_bytes()


def content_security_policy() -> str:
    """The header for the page as it stands on disk: its own inline script and style, its own origin, nothing else."""
    sources = _inline_sources(load())
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {sources['script']}",
            f"style-src {sources['style']}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def _inline_sources(page: bytes) -> dict[str, str]:
    """CSP hash sources by element name; the page has exactly one of each."""
    return {name.decode(): _hash_source(content) for name, content in _INLINE.findall(page)}


def _hash_source(content: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"
