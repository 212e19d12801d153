"""GraphQL over HTTP, as a frontend sends it."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
from chat_client import Person

CREATE = """mutation Create($name: String!, $slug: String, $isPublic: Boolean, $allowAnonymous: Boolean) {
  createChatRoom(name: $name, slug: $slug, isPublic: $isPublic, allowAnonymous: $allowAnonymous) {
    id slug name description isPublic allowAnonymous roomType createdBy createdAt
    participantCount connectionCount } }"""
INVITE = """mutation($slug: String!, $userId: SafeInt!) {
  inviteToChatRoom(slug: $slug, userId: $userId) { slug userId invitedBy createdAt } }"""
DELETE = "mutation($id: SafeInt!) { deleteChatRoom(id: $id) }"
ROOM = """query($id: SafeInt, $slug: String) { chatRoom(id: $id, slug: $slug) {
    id slug name description isPublic allowAnonymous roomType createdBy createdAt participantCount connectionCount
    participants { userId username state connectionCount joinedAt cursor } } }"""
REGISTER = "mutation($id: SafeInt!, $title: String!) { registerVideo(id: $id, title: $title) { id title createdAt } }"


@dataclass(frozen=True, slots=True)
class GraphQL:
    """Sends requests to one edge."""

    http: httpx.AsyncClient

    async def post(self, query: str, who: Person | None = None, **variables: Any) -> dict[str, Any]:
        """The whole answer, errors included."""
        headers = {} if who is None else {"Authorization": f"Bearer {who.token}"}
        answer = await self.http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
        body: dict[str, Any] = answer.json()
        return body

    async def run(self, query: str, who: Person | None = None, **variables: Any) -> dict[str, Any]:
        """The data of an answer that must have no errors."""
        body = await self.post(query, who, **variables)
        assert "errors" not in body, body
        data: dict[str, Any] = body["data"]
        return data

    async def refusal(self, query: str, who: Person | None = None, **variables: Any) -> str:
        """The code of the first error of an answer that must have one."""
        body = await self.post(query, who, **variables)
        assert body.get("errors"), body
        code: str = body["errors"][0]["extensions"]["code"]
        return code

    async def create(self, name: str, who: Person, **settings: Any) -> dict[str, Any]:
        """createChatRoom."""
        room: dict[str, Any] = (await self.run(CREATE, who, name=name, **settings))["createChatRoom"]
        return room

    async def room(self, who: Person | None = None, **by: Any) -> dict[str, Any] | None:
        """chatRoom by id or slug."""
        found: dict[str, Any] | None = (await self.run(ROOM, who, **by))["chatRoom"]
        return found

    async def gone(self, slug: str) -> None:
        """Wait until the room is deleted, or only its kept settings are left: nothing tells that to those outside."""
        async with asyncio.timeout(5):
            while room := await self.room(slug=slug):
                if room["connectionCount"] == 0:
                    return
                await asyncio.sleep(0.01)
