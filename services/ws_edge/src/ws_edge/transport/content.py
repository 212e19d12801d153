"""Media types of requests and answers."""

from sanic import Request

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"


def is_json(request: Request) -> bool:
    """Whether the body says that it is JSON in UTF-8."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    return kind.strip().lower() == JSON and charset in ("", "utf-8", "utf8")


def graphql_media_type(request: Request) -> str:
    """GraphQL's own media type for those who ask for it by name, JSON for everybody else."""
    return GRAPHQL_RESPONSE if GRAPHQL_RESPONSE in request.headers.get("accept", "").lower() else JSON
