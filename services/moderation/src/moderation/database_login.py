"""The URL of a database, and its password where that stands apart. The same text in rooms and moderation."""

from urllib.parse import parse_qs, quote, urlsplit


def is_postgres_url(text: str) -> bool:
    """Whether it reads as one unmistakably. Special characters in a password must be written as %XX: a `/` ends the
    host, and libraries would show what they took for a port."""
    scheme, mark, rest = text.partition("://")
    if not mark or scheme not in ("postgres", "postgresql", "asyncpg"):
        return False
    try:
        url = urlsplit(text)
        is_address = url.port != 0
    except ValueError:
        return False
    is_whole = "@" in url.netloc or "@" not in rest
    return is_address and is_whole and not url.fragment and "#" not in rest and len(rest) > 0


def with_password(url: str, password: str, *, of_url: str, of_password: str) -> str:
    """The URL with a password, of any characters, put in; the two last are the settings' names. Raises ValueError,
    which begins with one of them."""
    if not is_postgres_url(url):
        raise ValueError(f"{of_password}: only with PostgreSQL in {of_url}")
    parts = urlsplit(url)
    login, _, server = parts.netloc.rpartition("@")
    user, _, present = login.partition(":")
    if present or "password" in parse_qs(parts.query):
        raise ValueError(f"{of_password}: not together with a password in {of_url}")
    if not user:
        raise ValueError(f"{of_url}: must name the user that {of_password} is for")
    begin = f"{parts.scheme}://{user}:{quote(password, safe='')}@{server}"
    return begin + url[len(parts.scheme) + len("://") + len(parts.netloc) :]
