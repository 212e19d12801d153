"""The document's frames and JavaScript, word for word; only the address of the server is put in."""

import json
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from chat_client import Person, Visitors, person
from graphql_client import REGISTER, GraphQL
from playwright.async_api import Page, async_playwright
from salon_processes import CHROMIUM_ARGUMENTS, Edge
from wire_contract import watch_page

CLIENT_FRAMES = {
    "chat_message": """{
  "type": "chat_message",
  "data": {
    "message": "Hello everyone!"
  }
}""",
    "typing_start": """{
  "type": "typing_start",
  "data": {}
}""",
    "typing_stop": """{
  "type": "typing_stop",
  "data": {}
}""",
    "moderation_action": """{
  "type": "moderation_action",
  "data": {
    "action": "ban", // ou "mute"
    "target_user_id": 123,
    "duration_minutes": 60 // 0 = permanent
  }
}""",
    "ping": """{
  "type": "ping",
  "data": {}
}""",
}

SERVER_FRAMES = {
    "room_joined": '{"room_id": 1, "connection_count": 5}',
    "chat_message": """{"id": 42, "message": "Hello everyone!", "username": "john_doe", "user_id": 123,
                        "timestamp": "2025-11-27T16:30:00Z", "room_id": 1}""",
    "user_joined": '{"username": "jane_doe", "user_id": 456, "timestamp": "2025-11-27T16:31:00Z"}',
    "user_left": '{"username": "jane_doe", "user_id": 456}',
    "typing_start": '{"username": "john_doe", "user_id": 123, "timestamp": "2025-11-27T16:32:00Z"}',
    "typing_stop": '{"username": "john_doe", "user_id": 123, "timestamp": "2025-11-27T16:32:05Z"}',
    "moderation_action": """{"action": "ban", "target_user_id": 789, "moderator_user_id": 123, "duration_minutes": 60,
                             "timestamp": "2025-11-27T16:33:00Z"}""",
    "pong": "{}",
    "error": '{"message": "Rate limit exceeded"}',
}


async def test_every_documented_frame_is_answered_with_frames_of_the_documented_fields_and_types(
    visitors: Visitors, room: str, admin: Person, ana: Person
) -> None:
    chair, other = await visitors.join(room, admin), await visitors.join(room, ana)
    for text in CLIENT_FRAMES.values():
        await chair.send_raw(re.sub(r"//.*", "", text))
    await chair.send_raw("{}")
    await chair.wait_for("error")
    await other.wait_for("moderation_action", target_user_id=123)
    await other.leave()
    await chair.wait_for("user_left")
    received = {frame["type"]: frame["data"] for frame in chair.seen + other.seen}
    for type_, text in SERVER_FRAMES.items():
        documented = json.loads(text)
        assert type_ in received, f"no {type_} came: {sorted(received)}"
        for field, example in documented.items():
            assert type(received[type_][field]) is type(example), f"{type_}.{field}: {received[type_]}"
            if field == "timestamp":
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", received[type_][field])


CONNECTING_JS = """
// Avec ID numérique (room existante)
const ws1 = new WebSocket(
  `ws://localhost:8000/chat/ws/room/1?token=${jwtToken}`
);

// Avec slug string (identifiant lisible) - AUTO-CRÉÉ si inexistant
const ws2 = new WebSocket(
  `ws://localhost:8000/chat/ws/room/live-general?token=${jwtToken}`
);

// Avec slug dynamique (ex: timestamp) - IDÉAL pour rooms temporaires
const roomSlug = `live-${Date.now()}-${streamId}`;
const ws3 = new WebSocket(
  `ws://localhost:8000/chat/ws/room/${roomSlug}?token=${jwtToken}`
);

// Se connecte au chat de la vidéo 42
const ws4 = new WebSocket(
  `ws://localhost:8000/chat/ws/video/42?token=${jwtToken}`
);

// Live Stream (BASIQUE - SANS AUTHENTIFICATION)
const ws5 = new WebSocket(`ws://localhost:8000/live/ws`);
"""

HOOK_TS = """import { useEffect, useRef, useState } from "react";

interface ChatMessage {
  type: string;
  data: any;
}

export function useChatWebSocket(roomId: number, token?: string) {
  const [messages, setMessages] = useState<ChatMessage[]>([]);
  const [isConnected, setIsConnected] = useState(false);
  const wsRef = useRef<WebSocket | null>(null);

  useEffect(() => {
    const url = token
      ? `ws://localhost:8000/chat/ws/room/${roomId}?token=${token}`
      : `ws://localhost:8000/chat/ws/room/${roomId}`;

    const ws = new WebSocket(url);
    wsRef.current = ws;

    ws.onopen = () => {
      console.log("✅ WebSocket connecté");
      setIsConnected(true);
    };

    ws.onmessage = (event) => {
      const message = JSON.parse(event.data);
      console.log("📨 Message reçu:", message);

      setMessages((prev) => [...prev, message]);

      // Gérer les types de messages
      switch (message.type) {
        case "room_joined":
          console.log(`🚪 Connecté à la room ${message.data.room_id}`);
          break;
        case "chat_message":
          console.log(`💬 ${message.data.username}: ${message.data.message}`);
          break;
        case "user_joined":
          console.log(`👋 ${message.data.username} a rejoint le chat`);
          break;
        case "user_left":
          console.log(`👋 ${message.data.username} a quitté le chat`);
          break;
        case "error":
          console.error("❌ Erreur:", message.data.message);
          break;
      }
    };

    ws.onerror = (error) => {
      console.error("❌ WebSocket error:", error);
    };

    ws.onclose = () => {
      console.log("🔌 WebSocket déconnecté");
      setIsConnected(false);
    };

    return () => {
      ws.close();
    };
  }, [roomId, token]);

  const sendMessage = (message: string) => {
    if (wsRef.current?.readyState === WebSocket.OPEN) {
      wsRef.current.send(
        JSON.stringify({
          type: "chat_message",
          data: { message },
        })
      );
    }
  };

  const sendTypingIndicator = (isTyping: boolean) => {
    if (wsRef.current?.readyState === WebSocket.OPEN) {
      wsRef.current.send(
        JSON.stringify({
          type: isTyping ? "typing_start" : "typing_stop",
          data: {},
        })
      );
    }
  };

  return { messages, isConnected, sendMessage, sendTypingIndicator };
}
"""

# What a compiler erases of the hook: its types.
TYPES = (
    r"interface ChatMessage \{[^}]*\}",
    r"<ChatMessage\[\]>",
    r"<WebSocket \| null>",
    r"\??: (number|string|boolean)\b",
)

# Just enough of React for one component: state, refs, and one effect with its clean-up.
REACT = """
const cleanups = [];
const states = [];
function useState(first) {
  const at = states.push(first) - 1;
  return [states[at], (next) => { states[at] = typeof next === "function" ? next(states[at]) : next; }];
}
const useRef = (current) => ({ current });
const useEffect = (run) => { cleanups.push(run()); };
const until = async (ready) => { while (!ready()) await new Promise((done) => setTimeout(done, 5)); };
"""

USE_THE_HOOK = """
const hook = useChatWebSocket(roomId, token);
await until(() => states[0].some((m) => m.type === "room_joined"));
hook.sendTypingIndicator(true);
hook.sendMessage("Bonjour du hook");
await until(() => states[0].some((m) => m.type === "chat_message" && m.data.message === "Bonjour du hook"));
for (const clean of cleanups) clean();
await until(() => states[1] === false);
"""

USE_THE_HOOK_WHILE_WARNED = """
const hook = useChatWebSocket(roomId, token);
await until(() => states[0].some((m) => m.type === "warning"));
const toldAt = performance.now();
const isHeard = () => states[0].some((m) => m.type === "chat_message");
for (let tries = 0; !isHeard() && tries < 40; tries += 1) {
  hook.sendMessage("Bonjour du hook");
  await new Promise((done) => setTimeout(done, 1000));
}
for (const clean of cleanups) clean();
const errors = states[0].filter((m) => m.type === "error").map((m) => m.data.message);
return [isHeard(), performance.now() - toldAt, errors[0], new Set(errors).size];
"""

OPEN_ALL = """
// The sockets answer while others are waited for, so each listens from the start.
const first = (ws) => new Promise((done) => { ws.onmessage = (event) => done(JSON.parse(event.data)); });
for (const ws of [ws1, ws2, ws3, ws4]) ws.joined = first(ws);
ws5.opened = new Promise((done) => { ws5.onopen = done; });
const joined = [];
for (const ws of [ws1, ws2, ws3, ws4]) joined.push(await ws.joined);
await ws5.opened;
for (const ws of [ws1, ws2, ws3, ws4, ws5]) ws.close();
return joined;
"""


@pytest_asyncio.fixture
async def page(chromium: str, edge: Edge) -> AsyncIterator[Page]:
    """An empty page of the edge's own origin in headless Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        page = await browser.new_page()
        unknown: list[str] = []
        watch_page(page, unknown)
        await page.goto(f"{edge.http}/health/live")
        yield page
        await browser.close()
        assert unknown == []


async def test_the_documents_connection_examples_all_open(
    page: Page, edge: Edge, graphql: GraphQL, admin: Person, ana: Person
) -> None:
    await graphql.run(REGISTER, admin, id=42, title="Video 42")
    body = _at(edge, CONNECTING_JS) + OPEN_ALL
    joined = await page.evaluate(f"async ([jwtToken, streamId]) => {{ {body} }}", [ana.token, 7])
    assert [frame["type"] for frame in joined] == ["room_joined"] * 4
    assert joined[0]["data"]["room_id"] == 1


async def test_the_documents_react_hook_works_unchanged(page: Page, edge: Edge, visitors: Visitors) -> None:
    reader = await visitors.join(91_001, person("reader"))
    hook_user = person("crochet")
    output: list[str] = []
    page.on("console", lambda message: output.append(message.text))
    program = f"async ([roomId, token]) => {{ {REACT} {_hook(edge)} {USE_THE_HOOK} }}"
    await page.evaluate(program, [91_001, hook_user.token])
    frames = await reader.collect_until("user_left", user_id=hook_user.user_id)
    types = [f["type"] for f in frames]
    assert [t for t in types if not t.startswith("typing")] == ["user_joined", "chat_message", "user_left"]
    assert "typing_start" in types
    for line in (
        "✅ WebSocket connecté",
        "🚪 Connecté à la room 91001",
        "💬 crochet: Bonjour du hook",
        "🔌 WebSocket déconnecté",
    ):
        assert line in output


@pytest.mark.slow
async def test_the_documents_react_hook_ignores_a_warning_and_is_heard_after_30_s(
    page: Page, edge: Edge, visitors: Visitors, moderator: Person
) -> None:
    chair, hook_user = await visitors.join(91_002, moderator), person("crochet")
    await chair.send("moderation_action", action="warn", target_user_id=hook_user.user_id, reason="Doucement")
    await chair.wait_for("moderation_action", action="warn")
    program = f"async ([roomId, token]) => {{ {REACT} {_hook(edge)} {USE_THE_HOOK_WHILE_WARNED} }}"
    is_heard, after_ms, refused_with, different_errors = await page.evaluate(program, [91_002, hook_user.token])
    assert (is_heard, refused_with, different_errors) == (True, "Acknowledge the warning first", 1)
    assert 29_000 < after_ms < 36_000


async def test_the_documents_anonymous_connection_needs_no_token(visitors: Visitors, address: str) -> None:
    client = await visitors.join(1, address=address)
    assert (await client.say("bonjour"))["username"] == f"Anonymous_{address}"


def _hook(edge: Edge) -> str:
    """As a compiler leaves it."""
    hook = _at(edge, HOOK_TS).replace('import { useEffect, useRef, useState } from "react";', "").replace("export ", "")
    for pattern in TYPES:
        hook = re.sub(pattern, "", hook)
    return hook


def _at(edge: Edge, text: str) -> str:
    return text.replace("localhost:8000", f"localhost:{edge.port}").replace("localhost", "127.0.0.1")
