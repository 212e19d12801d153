"""The URL of a database, and its password where that stands apart."""

import re
from urllib.parse import parse_qs, quote, urlsplit

from chassis.errors import BadSetting

_SQLITE = re.compile(r"sqlite://(?!:memory:).+")
_POSTGRES = ("postgres", "postgresql", "asyncpg")


def database_url(raw: str) -> str:
    """A setting's text: `sqlite://PATH`, or a URL of PostgreSQL, `postgresql://` given back as `postgres://`. Raises
    ValueError; the text is not shown, it may hold a password."""
    if not _SQLITE.fullmatch(raw) and not is_postgres_url(raw):
        raise ValueError(
            "must be sqlite://PATH or postgres://USER:PASSWORD@HOST:PORT/NAME, special characters in it as %XX"
        )
    return re.sub(r"^postgresql://", "postgres://", raw)


def is_postgres_url(text: str) -> bool:
    """Whether it reads as one unmistakably. Special characters in a password must be written as %XX: a `/` ends the
    host, and libraries would show what they took for a port."""
    scheme, mark, rest = text.partition("://")
    if not mark or scheme not in _POSTGRES:
        return False
    try:
        url = urlsplit(text)
        is_address = url.port != 0
    except ValueError:
        return False
    is_whole = "@" in url.netloc or "@" not in rest
    return is_address and is_whole and not url.fragment and "#" not in rest and len(rest) > 0


def with_password(url: str, password: str, *, prefix: str) -> str:
    """The URL with a password, of any characters, put in; `prefix` begins the names of the two settings. Raises
    BadSetting."""
    of_url, of_password = f"{prefix}DATABASE_URL", f"{prefix}DATABASE_PASSWORD"
    if not is_postgres_url(url):
        raise BadSetting(f"{of_password}: only with PostgreSQL in {of_url}")
    parts = urlsplit(url)
    login, _, server = parts.netloc.rpartition("@")
    user, _, present = login.partition(":")
    if present or "password" in parse_qs(parts.query):
        raise BadSetting(f"{of_password}: not together with a password in {of_url}")
    if not user:
        raise BadSetting(f"{of_url}: must name the user that {of_password} is for")
    begin = f"{parts.scheme}://{user}:{quote(password, safe='')}@{server}"
    return begin + url[len(parts.scheme) + len("://") + len(parts.netloc) :]
