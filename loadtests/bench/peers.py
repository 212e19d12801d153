"""The peers: other servers that do the same fan-out, each as its own documentation shows it."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from loadtests.bench import installs
from loadtests.bench.processes import Processes, listens
from loadtests.bench.systems import Running, System, Wire
from loadtests.bench.tokens import SECRET
from tools.ports import held_port

Start = Callable[[Processes, int], dict[str, tuple[int, ...]]]

PLAIN = Wire(path="/room/%g/%d", ack='"room_joined"')
SOCKET_IO = Wire(
    path="/socket.io/?EIO=4&transport=websocket&room=%g&number=%d",
    frame='42["m",{"type":"chat_message","data":{"message":"%m"}}]',
    hello="40",
    ack='40{"sid"',
    ping="2",
    pong="3",
)
HISTORY = {"history_size": 500, "history_ttl": "24h", "force_recovery": True}
"""Of Centrifugo: whoever comes back can be shown what they missed."""
GATHERING = "Centrifugo gathering"
# nchan passes on what it is given: the sender writes the frame that the others' servers make.
WHOLE_FRAME = Wire(
    path="/room/%g/%d",
    frame='{"type":"chat_message","data":{"id":1000000,"message":"%m","username":"load_100","user_id":1000100,'
    '"timestamp":"2026-01-01T00:00:00.000Z","room_id":1000000000,"prev_id":999999}}',
)


def ws() -> System:
    """The `ws` library on Node. Raises NotInstalled."""
    return _peer("ws", PLAIN, _node("ws_server.js"), _node_versions("ws"))


def socket_io() -> System:
    """Socket.IO on Node. Raises NotInstalled."""
    return _peer("Socket.IO", SOCKET_IO, _node("socketio_server.js"), _node_versions("socket.io"))


def nchan() -> System:
    """nchan, a module of nginx in C. Raises NotInstalled."""
    modules = installs.nginx_modules()

    def start(processes: Processes, port: int) -> dict[str, tuple[int, ...]]:
        folder = processes.log("nchan").parent
        text = (installs.SERVERS / "nchan.conf").read_text()
        for mark, value in (("%PORT%", str(port)), ("%DIR%", str(folder)), ("%MODULES%", str(modules))):
            text = text.replace(mark, value)
        (folder / "nginx.conf").write_text(text)
        return {"server": (processes.start("nchan", ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]),)}

    return _peer("nchan", WHOLE_FRAME, start, {"nchan": _debian("libnginx-mod-nchan"), "nginx": _debian("nginx")})


def centrifugo(name: str, history: bool) -> System:
    """Centrifugo in Go, its memory engine; members publish by themselves. Raises NotInstalled."""
    program = installs.centrifugo()

    def start(processes: Processes, port: int) -> dict[str, tuple[int, ...]]:
        config = json.loads((installs.SERVERS / "centrifugo.json").read_text())
        config["http_server"] = {"address": "127.0.0.1", "port": port}
        config["client"]["token"]["hmac_secret_key"] = SECRET
        for namespace in config["channel"]["namespaces"]:
            namespace |= HISTORY if history else {}
        path = processes.log("centrifugo").with_suffix(".json")
        path.write_text(json.dumps(config))
        return {"server": (processes.start("centrifugo", [program, "--config", str(path)]),)}

    versions = {"centrifugo": installs.CENTRIFUGO, "Go": _go_version()}
    return _peer(name, _centrifugo_wire("room"), start, versions, _centrifugo_wire("crowd"))


def gathering() -> System:
    """Centrifugo's library with history and its delay of writes, which is not for everybody's Centrifugo. Raises
    NotInstalled."""
    program = installs.gathering_server()

    def start(processes: Processes, port: int) -> dict[str, tuple[int, ...]]:
        return {"server": (processes.start("gathering", [program, str(port), SECRET]),)}

    return _peer(GATHERING, _centrifugo_wire("room"), start, {"Go": _go_version()}, _centrifugo_wire("crowd"))


def _centrifugo_wire(namespace: str) -> Wire:
    """With what Centrifugo says by itself (room, sender, position) a member's frame holds what Salon's holds."""
    channel = f'"channel":"{namespace}:%g"'
    return Wire(
        path="/connection/websocket",
        frame=f'{{"id":3,"publish":{{{channel},"data":{{"type":"chat_message","message":"%m","username":"load_%d",'
        '"timestamp":"2026-01-01T00:00:00.000Z"}}}',
        hello=f'{{"id":1,"connect":{{"token":"%k"}}}}\n{{"id":2,"subscribe":{{{channel}}}}}',
        ack='"subscribe":{',
        ping="{}",
        pong="{}",
    )


def fastapi() -> System:
    """The plain loop that people write first. Raises NotInstalled."""
    return _peer("FastAPI loop", PLAIN, _python("fastapi_server.py"), _python_versions("fastapi", "uvicorn"))


def python_socketio() -> System:
    """python-socketio on uvicorn. Raises NotInstalled."""
    return _peer("python-socketio", SOCKET_IO, _python("socketio_server.py"), _python_versions("python-socketio"))


def channels() -> System:
    """Django Channels with Redis. Raises NotInstalled."""
    redis = installs.redis_server()
    server = _python("channels_server.py")

    def start(processes: Processes, port: int) -> dict[str, tuple[int, ...]]:
        redis_port = held_port()
        command = [redis, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        pid = processes.start("redis", [*command, "--dir", str(processes.log("redis").parent)])
        processes.wait_until(lambda: listens(redis_port), "redis")
        return server(processes, port, str(redis_port)) | {"redis": (pid,)}

    versions = _python_versions("channels", "channels-redis", "django") | {"redis": _debian("redis-server")}
    return _peer("Django Channels", PLAIN, start, versions)


PEERS: dict[str, Callable[[], System]] = {
    "nchan": nchan,
    "ws": ws,
    "Socket.IO": socket_io,
    "Centrifugo": lambda: centrifugo("Centrifugo", history=False),
    "Centrifugo with history": lambda: centrifugo("Centrifugo with history", history=True),
    GATHERING: gathering,
    "python-socketio": python_socketio,
    "Django Channels": channels,
    "FastAPI loop": fastapi,
}


def _peer(name: str, wire: Wire, start: Start, versions: dict[str, str], crowded: Wire | None = None) -> System:
    def run(folder: Path) -> Running:
        processes = Processes(folder)
        try:
            port = held_port()
            watched = start(processes, port)
            processes.wait_until(lambda: listens(port), name)
        except BaseException:
            processes.stop_all()
            raise
        return Running(port, wire, watched, processes, processes.stop_all, crowded=crowded)

    return System(name, run, versions=versions)


def _node(script: str) -> Start:
    env = os.environ | {"NODE_PATH": str(installs.node_modules()), "NODE_ENV": "production"}

    def start(processes: Processes, port: int) -> dict[str, tuple[int, ...]]:
        command = ["node", str(installs.SERVERS / "node" / script), str(port)]
        return {"server": (processes.start("server", command, env),)}

    return start


def _python(script: str) -> Callable[..., dict[str, tuple[int, ...]]]:
    interpreter = installs.python()

    def start(processes: Processes, port: int, *more: str) -> dict[str, tuple[int, ...]]:
        command = [str(interpreter), str(installs.SERVERS / "python" / script), str(port), *more]
        return {"server": (processes.start("server", command),)}

    return start


def _go_version() -> str:
    done = subprocess.run([installs.go(), "env", "GOVERSION"], capture_output=True, text=True, check=False)
    return done.stdout.strip().removeprefix("go") or "unknown"


def _node_versions(package: str) -> dict[str, str]:
    script = f"process.stdout.write(require('{package}/package.json').version + ' ' + process.versions.node)"
    env = os.environ | {"NODE_PATH": str(installs.node_modules())}
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=False, env=env)
    library, _, node = done.stdout.partition(" ")
    return {package: library, "Node": node}


def _python_versions(*packages: str) -> dict[str, str]:
    script = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    command = [str(installs.python()), "-c", script, *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return dict(zip(packages, done.stdout.split(), strict=True))


def _debian(package: str) -> str:
    command = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout or "unknown"
