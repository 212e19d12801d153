"""HTTP: statistics, health, metrics, the page, development tokens."""

import base64
import hashlib
import json
import re

import httpx
import jwt
import pytest
import salon_processes
from chat_client import Person, Visitors, in_an_hour, mint, person
from salon_processes import Salon


def bearer(who: Person) -> dict[str, str]:
    """The header."""
    return {"Authorization": f"Bearer {who.token}"}


async def test_stats_as_the_document_shows_them(
    visitors: Visitors, http: httpx.AsyncClient, room: str, ana: Person, bob: Person, admin: Person
) -> None:
    first = await visitors.join(room, ana)
    await visitors.join(room, ana)
    await visitors.join(room, bob)
    answer = await http.get("/monitoring/chat/stats", headers=bearer(admin))
    assert answer.status_code == 200
    stats = answer.json()
    assert {"total_connections", "active_rooms", "rooms"} <= set(stats)
    assert stats["rooms"][str(first.joined["room_id"])] == 3
    assert stats["active_rooms"] == len(stats["rooms"])
    assert stats["total_connections"] == sum(stats["rooms"].values())


@pytest.mark.parametrize(
    ("roles", "status"), [(("user",), 403), (("moderator",), 403), (("admin",), 200), (("superuser",), 200)]
)
async def test_stats_are_for_admin_and_superuser(http: httpx.AsyncClient, roles: tuple[str, ...], status: int) -> None:
    assert (await http.get("/monitoring/chat/stats", headers=bearer(person("p", *roles)))).status_code == status


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Basic eDp5", "Bearer"])
async def test_stats_without_a_valid_token_are_401(http: httpx.AsyncClient, header: str | None) -> None:
    answer = await http.get("/monitoring/chat/stats", headers={} if header is None else {"Authorization": header})
    assert answer.status_code == 401
    assert "Traceback" not in answer.text


async def test_stats_do_not_take_an_expired_token(http: httpx.AsyncClient) -> None:
    token = mint({"user_id": 5, "roles": ["admin"], "exp": in_an_hour() - 7200})
    answer = await http.get("/monitoring/chat/stats", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert token not in answer.text


async def test_health_live_and_ready(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health/live")).status_code == 200
    ready = await http.get("/health/ready")
    assert ready.status_code == 200
    assert isinstance(ready.json(), dict)


async def test_metrics_are_prometheus_text(http: httpx.AsyncClient) -> None:
    answer = await http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert re.search(r"^# TYPE salon_ws_edge_\w+ \w+$", answer.text, re.MULTILINE)


async def test_unknown_routes_are_404_without_a_stack(http: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/chat/ws/", "/chat/ws/room/", "/monitoring", "/..%2f..%2fetc/passwd"):
        answer = await http.get(path)
        assert answer.status_code in (400, 404, 426), path
        assert "Traceback" not in answer.text
        assert "sanic" not in answer.text.lower()


async def test_the_page_is_one_file_whose_policy_names_its_own_script_and_style(http: httpx.AsyncClient) -> None:
    answer = await http.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    for name in ("script", "style"):
        (content,) = re.findall(rf"<{name}(?: [^>]*)?>(.*?)</{name}>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"\b(src|href)=\"(?!data:)", answer.text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", answer.text)


async def test_a_development_token_of_role_user_is_offered_on_loopback(
    http: httpx.AsyncClient, visitors: Visitors, room: str
) -> None:
    answer = await http.post("/dev/token", json={"username": "dev ana"})
    assert answer.status_code == 200
    token = answer.json()["token"]
    salon_processes.MINTED.add(token)
    claims = jwt.decode(token, salon_processes.SECRET, ["HS256"], options={"verify_sub": False})
    assert claims["username"] == "dev ana"
    client = await visitors.join(f"{room}?token={token}")
    await client.send("moderation_action", action="mute", target_user_id=5)
    await client.expect_error("You do not have permission to moderate this room", "not_moderator")
    again = await http.post("/dev/token", json={"username": "dev ana", "user_id": 4711, "roles": ["user"]})
    salon_processes.MINTED.add(again.json()["token"])
    assert (await (await visitors.join(f"{room}?token={again.json()['token']}")).say("hi"))["user_id"] == 4711


async def test_a_development_token_of_another_role_is_403_without_salon_dev_roles(http: httpx.AsyncClient) -> None:
    for roles in (["moderator"], ["user", "admin"], ["superuser"]):
        answer = await http.post("/dev/token", json={"username": "x", "roles": roles})
        assert answer.status_code == 403
        assert "token" not in answer.json()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"username":5}',
        b"{}",
        b'{"username":"x","roles":"admin"}',
        b'{"username":"x","user_id":"a"}',
    ],
)
async def test_a_development_token_for_a_malformed_request_is_400(http: httpx.AsyncClient, body: bytes) -> None:
    answer = await http.post("/dev/token", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "Traceback" not in answer.text


async def test_a_development_token_is_offered_with_the_development_secret_alone_and_other_roles_with_salon_dev_roles(
    salon: Salon,
) -> None:
    chosen = {"JWT_SECRET": salon_processes.CHOSEN_SECRET}
    production, secretive = salon.start_edge({"SALON_ENV": "production", **chosen}), salon.start_edge(chosen)
    roles = salon.start_edge({"SALON_DEV_ROLES": "1"})
    async with httpx.AsyncClient(trust_env=False) as client:
        for edge in (production, secretive):
            assert (await client.post(f"{edge.http}/dev/token", json={"username": "x"})).status_code == 404
        behind_a_proxy = {"X-Forwarded-For": "127.0.0.1"}
        answer = await client.post(f"{roles.http}/dev/token", json={"username": "x"}, headers=behind_a_proxy)
        assert answer.status_code == 404
        answer = await client.post(f"{roles.http}/dev/token", json={"username": "x", "roles": ["moderator"]})
    assert answer.status_code == 200
    salon_processes.MINTED.add(answer.json()["token"])


async def test_health_ready_names_what_fails(frail: Salon) -> None:
    edge = frail.edges[0]
    frail.rooms.kill()
    assert "rooms" in json.dumps(json.loads(salon_processes.wait_until_unready(edge)))
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"{edge.http}/health/live")).status_code == 200
    frail.rooms.start()
    salon_processes.wait_until_ready(edge)
    frail.nats.kill()
    assert "nats" in json.dumps(json.loads(salon_processes.wait_until_unready(edge)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("WS_EDGE_PORT", "abc"), ("WS_EDGE_PROT", "8000"), ("WS_EDGE_FRAMES_PER_WINDOW", "-1"), ("SALON_ENV", "prod")],
)
def test_a_bad_setting_of_the_edge_stops_the_start_with_its_name(salon: Salon, name: str, value: str) -> None:
    edge = salon.edge_process({name: value})
    edge.process.start()
    assert edge.process.wait() not in (0, None)
    text = edge.process.text()
    salon_processes.RUNNING.remove(edge.process)
    assert name in text
    assert "Traceback" not in text


def test_the_development_secret_is_refused_in_production_and_on_other_addresses(salon: Salon) -> None:
    for settings in ({"SALON_ENV": "production", "JWT_SECRET": ""}, {"WS_EDGE_HOST": "0.0.0.0", "JWT_SECRET": ""}):
        edge = salon.edge_process(settings)
        edge.process.start()
        assert edge.process.wait() != 0
        salon_processes.RUNNING.remove(edge.process)
        assert "JWT_SECRET" in edge.process.text()
