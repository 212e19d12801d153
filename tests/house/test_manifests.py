"""What deploy/ says fits Kubernetes, the code, and itself. Each check is shown to fail on a copy that was spoilt."""

import importlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import utils as schemas

from chassis.errors import BadSetting
from chassis.settings import declared

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {"salon/ws_edge": "ws_edge", "salon/rooms": "rooms", "salon/moderation": "moderation"}
OLDEST_KUBERNETES, NEWEST_KUBERNETES = "1.30", "1.37"
Yaml = dict[str, Any]

# It reads 5 MB again for every object.
schemas.schema_contents = cache(schemas.schema_contents)


@dataclass(frozen=True)
class Manifests:
    """The objects of deploy/kubernetes, without what kustomize makes of them."""

    folder: Path
    kustomization: Yaml
    objects: list[Yaml]

    def of(self, *kinds: str) -> list[Yaml]:
        return [found for found in self.objects if found["kind"] in kinds]

    def named(self, kind: str, name: str) -> list[Yaml]:
        return [found for found in self.of(kind) if found["metadata"]["name"] == name]

    @property
    def workloads(self) -> list[Yaml]:
        return self.of("Deployment", "StatefulSet")

    @property
    def shared(self) -> dict[str, str]:
        """The generated ConfigMap by key."""
        (generator,) = [g for g in self.kustomization["configMapGenerator"] if g["name"] == "salon"]
        return dict(literal.split("=", 1) for literal in generator["literals"])

    @property
    def nats(self) -> str:
        return (self.folder.parent / "nats" / "production.conf").read_text()


def parsed(text: str) -> Iterator[Yaml]:
    yield from yaml.load_all(text, Loader=yaml.CSafeLoader)


def read(deploy: Path) -> Manifests:
    folder = deploy / "kubernetes"
    objects = [found for path in sorted(folder.glob("*.yaml")) for found in parsed(path.read_text())]
    (kustomization,) = [found for found in objects if found["kind"] == "Kustomization"]
    return Manifests(folder, kustomization, [found for found in objects if found is not kustomization])


def name_of(found: Yaml) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


def pod_of(workload: Yaml) -> Yaml:
    return dict(workload["spec"]["template"]["spec"])


def labels_of(workload: Yaml) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def containers(manifests: Manifests) -> Iterator[tuple[Yaml, Yaml]]:
    for workload in manifests.workloads:
        for container in pod_of(workload)["containers"]:
            yield workload, container


def ports_of(workload: Yaml) -> dict[str, int]:
    return {p["name"]: p["containerPort"] for c in pod_of(workload)["containers"] for p in c["ports"]}


def env_of(manifests: Manifests, container: Yaml) -> dict[str, str]:
    """What the container is told, with what it takes from the shared ConfigMap; "?" where there is no such key."""
    told = {}
    for entry in container.get("env", []):
        ref = entry.get("valueFrom", {}).get("configMapKeyRef")
        told[entry["name"]] = manifests.shared.get(ref["key"], "?") if ref else entry.get("value", "?")
    return told


def image_of(container: Yaml) -> str:
    """Without its tag."""
    return str(container["image"]).partition(":")[0]


def config_of(image: str) -> Any:
    return importlib.import_module(f"{SERVICES[image]}.config")


@cache
def settings_of(image: str) -> dict[str, bool]:
    """Each setting by name, and whether it is a secret."""
    return {f.metadata["name"]: f.metadata["secret"] for f in declared(config_of(image).Config)}


def services(manifests: Manifests) -> Iterator[tuple[Yaml, Yaml, dict[str, str]]]:
    for workload, container in containers(manifests):
        if image_of(container) in SERVICES:
            yield workload, container, env_of(manifests, container)


def matches(selector: Yaml, labels: dict[str, str]) -> bool:
    """A label selector of Kubernetes."""
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items()) and all(
        labels.get(e["key"]) in e["values"] for e in selector.get("matchExpressions", [])
    )


# --- the checks: each gives what is wrong ---------------------------------------------------------------------------


def of_the_schema(manifests: Manifests) -> Iterator[str]:
    for version in (OLDEST_KUBERNETES, NEWEST_KUBERNETES):
        for found in manifests.objects:
            try:
                schemas.validate(found, version, strict=True)
            except (schemas.ValidationError, schemas.SchemaNotFoundError) as problem:
                yield f"{name_of(found)} in Kubernetes {version}: {problem.message}"


def of_the_list_of_files(manifests: Manifests) -> Iterator[str]:
    listed = {name for name in manifests.kustomization["resources"] if name.endswith(".yaml")}
    there = {path.name for path in manifests.folder.glob("*.yaml")} - {"kustomization.yaml"}
    yield from (f"kustomization.yaml and the folder differ in {name}" for name in listed ^ there)


def of_settings(manifests: Manifests) -> Iterator[str]:
    for _, container, told in services(manifests):
        known = settings_of(image_of(container))
        for name in told:
            if name not in known and not known.get(name.removesuffix("_FILE")):
                yield f"{container['name']}: no setting {name}"


def of_values(manifests: Manifests) -> Iterator[str]:
    """The service itself reads them, with passwords in place of its files."""
    for _, container, told in services(manifests):
        config = config_of(image_of(container))
        plain = {n.removesuffix("_FILE"): "p" * 40 if n.endswith("_FILE") else v for n, v in told.items()}
        try:
            if config.load(plain).salon_env != "production":
                yield f"{container['name']}: not told that this is production"
        except BadSetting as problem:
            yield f"{container['name']}: {problem}"


def of_secrets(manifests: Manifests) -> Iterator[str]:
    how = (manifests.folder / "README.md").read_text()
    for workload, container, told in services(manifests):
        for name, value in told.items():
            is_url_without_password = name.endswith("_DATABASE_URL") and re.fullmatch(r"\w+://\w+@[^@]+", value)
            if settings_of(image_of(container)).get(name) and not is_url_without_password:
                yield f"{container['name']}: {name} is a secret and no file"
        mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        (secret,) = [v["secret"]["secretName"] for v in pod_of(workload)["volumes"] if v["name"] == "secrets"]
        files = [value for name, value in told.items() if name.endswith("_FILE")]
        for path in files:
            if Path(path).parent != Path(mounts["secrets"]):
                yield f"{container['name']}: {path} is not in its secret"
            if not re.search(rf"secret generic {secret} [^\n]*(\\\n[^\n]*)*--from-literal={Path(path).name}=", how):
                yield f"README.md: nobody puts {Path(path).name} into {secret}"
        if {"SALON_SERVICE_TOKEN_FILE", "NATS_PASSWORD_FILE", "NATS_USER"} - set(told):
            yield f"{container['name']}: says neither who it is to the others nor to NATS"


def of_hardening(manifests: Manifests) -> Iterator[str]:
    for workload, container in containers(manifests):
        pod = pod_of(workload)
        of_pod, own = pod.get("securityContext", {}), container.get("securityContext", {})
        is_so = {
            "automountServiceAccountToken": pod.get("automountServiceAccountToken") is False,
            "enableServiceLinks": pod.get("enableServiceLinks") is False,
            "runAsNonRoot": of_pod.get("runAsNonRoot") is True and of_pod.get("runAsUser", 0) > 0,
            "seccompProfile": of_pod.get("seccompProfile") == {"type": "RuntimeDefault"},
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "resources": "cpu" in container["resources"]["requests"] and "memory" in container["resources"]["limits"],
            "probes": {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container),
            "topologySpreadConstraints": all(
                matches(each["labelSelector"], labels_of(workload))
                for each in pod.get("topologySpreadConstraints") or [{"labelSelector": {"matchLabels": {"": ""}}}]
            ),
        }
        yield from (f"{name_of(workload)}: {name}" for name, so in is_so.items() if not so)


def of_selectors(manifests: Manifests) -> Iterator[str]:
    for workload in manifests.workloads:
        if not matches(workload["spec"]["selector"], labels_of(workload)):
            yield f"{name_of(workload)} does not select its own pods"
        if workload["kind"] == "StatefulSet" and not manifests.named("Service", workload["spec"]["serviceName"]):
            yield f"{name_of(workload)} has no service that names its pods"
    for service in manifests.of("Service"):
        found = [w for w in manifests.workloads if matches({"matchLabels": service["spec"]["selector"]}, labels_of(w))]
        if len(found) != 1:
            yield f"{name_of(service)} selects {len(found)} workloads"
        elif lost := {p["port"] for p in service["spec"]["ports"]} - set(ports_of(found[0]).values()):
            yield f"{name_of(service)}: no pod has {lost}"


def of_budgets_and_scalers(manifests: Manifests) -> Iterator[str]:
    for workload in manifests.workloads:
        budgets = [
            b for b in manifests.of("PodDisruptionBudget") if matches(b["spec"]["selector"], labels_of(workload))
        ]
        if len(budgets) != 1:
            yield f"{name_of(workload)} has {len(budgets)} disruption budgets"
    for budget in manifests.of("PodDisruptionBudget"):
        if not any(matches(budget["spec"]["selector"], labels_of(w)) for w in manifests.workloads):
            yield f"{name_of(budget)} matches nothing"
    for scaler in manifests.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        found = manifests.named(target["kind"], target["name"])
        if len(found) != 1 or "replicas" in found[0]["spec"]:
            yield f"{name_of(scaler)}: its target is not there, or has a number of its own that apply would put back"


def of_probes(manifests: Manifests) -> Iterator[str]:
    for workload, container in containers(manifests):
        ports = ports_of(workload)
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container[kind]
            (how,) = [probe[key] for key in ("httpGet", "grpc", "tcpSocket") if key in probe]
            if how["port"] not in ports and how["port"] not in ports.values():
                yield f"{container['name']}: {kind} asks a port that is not there"
    for _, container, told in services(manifests):
        told_ports = {int(v) for n, v in told.items() if re.fullmatch(r"(WS_EDGE|ROOMS|MODERATION)(_METRICS)?_PORT", n)}
        if told_ports != {port["containerPort"] for port in container["ports"]}:
            yield f"{container['name']}: listens elsewhere than it says"


def of_endings(manifests: Manifests) -> Iterator[str]:
    (edge,) = manifests.named("Deployment", "ws-edge")
    pod = pod_of(edge)
    (container,) = pod["containers"]
    drain = int(env_of(manifests, container)["WS_EDGE_DRAIN_SECONDS"])
    if pod["terminationGracePeriodSeconds"] < container["lifecycle"]["preStop"]["sleep"]["seconds"] + drain + 10:
        yield "ws-edge is killed before it has drained"
    (nats,) = manifests.named("StatefulSet", "nats")
    leaving = re.search(r'lame_duck_duration: "(\d+)s"', manifests.nats)
    if leaving is None or pod_of(nats)["terminationGracePeriodSeconds"] < int(leaving[1]) + 10:
        yield "nats is killed before it has handed over"


def of_moderation(manifests: Manifests) -> Iterator[str]:
    (replicas,) = manifests.named("StatefulSet", "moderation")
    names = [f"moderation-{n}.{replicas['spec']['serviceName']}:50052" for n in range(replicas["spec"]["replicas"])]
    if manifests.shared["moderation-addresses"] != ",".join(names):
        yield f"moderation-addresses are not {names}"
    places = [p.name for p in manifests.folder.glob("*.yaml") for _ in re.findall("moderation-0", p.read_text())]
    if places != ["kustomization.yaml"]:
        yield f"the addresses of moderation are in {places}"
    for _, container, told in services(manifests):
        for name in told:
            if name.endswith("MODERATION_ADDRESSES") and told[name] != manifests.shared["moderation-addresses"]:
                yield f"{container['name']} has other addresses of moderation"


def of_nats(manifests: Manifests) -> Iterator[str]:
    (servers,) = manifests.named("StatefulSet", "nats")
    names = [f"nats-{number}.{servers['spec']['serviceName']}" for number in range(servers["spec"]["replicas"])]
    if manifests.shared["nats-url"] != ",".join(f"nats://{name}:4222" for name in names):
        yield f"nats-url is not {names}"
    if re.findall(r"nats://([^:]+):6222", manifests.nats) != names:
        yield f"the routes are not {names}"
    for _, container, told in services(manifests):
        if container["name"] == "ws-edge" and told.get("WS_EDGE_STREAM_REPLICAS") != str(len(names)):
            yield "the stream has not as many copies as there are servers"
        if f"user: {told['NATS_USER']}, password: $" not in manifests.nats:
            yield f"NATS does not know {told['NATS_USER']}"
    limit = re.search(r"max_file: (\d+)G", manifests.nats)
    (claim,) = servers["spec"]["volumeClaimTemplates"]
    size = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi"))
    if limit is None or int(limit[1]) > 0.75 * size:
        yield "JetStream may fill its volume"


def of_addresses(manifests: Manifests) -> Iterator[str]:
    policies = manifests.of("NetworkPolicy")
    for source, _, told in services(manifests):
        for name, value in told.items():
            for host, port in re.findall(r"(?:://(?:\w+@)?|^|,)([a-z0-9.-]+):(\d+)", value):
                target = _workload_named(manifests, host)
                if not _may_leave(policies, source, target, int(port)):
                    yield f"{name_of(source)} may not reach {host}:{port} of {name}"
                if target is not None and not _may_enter(policies, source, target, int(port)):
                    yield f"{name_of(target)} lets nobody in from {name_of(source)} on {port}"


def of_the_network(manifests: Manifests) -> Iterator[str]:
    policies = manifests.of("NetworkPolicy")
    if not any(p["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} for p in policies):
        yield "what is not named is not denied"
    (nats,) = manifests.named("StatefulSet", "nats")
    if not (_may_leave(policies, nats, nats, 6222) and _may_enter(policies, nats, nats, 6222)):
        yield "the NATS servers may not reach each other"
    for workload, _, _ in services(manifests):
        if not _may_enter(policies, None, workload, ports_of(workload)["metrics"]):
            yield f"nobody may read the metrics of {name_of(workload)}"
        if not _may_leave(policies, workload, None, 53):
            yield f"{name_of(workload)} may look up no name"


def _workload_named(manifests: Manifests, host: str) -> Yaml | None:
    """What is behind a name; None: it is not ours."""
    pod, _, service = host.rpartition(".")
    for found in manifests.named("Service", service):
        (workload,) = [
            w for w in manifests.workloads if matches({"matchLabels": found["spec"]["selector"]}, labels_of(w))
        ]
        names = {f"{workload['metadata']['name']}-{n}" for n in range(workload["spec"].get("replicas", 0))}
        return workload if not pod or pod in names else None
    return None


def _may_leave(policies: list[Yaml], source: Yaml, target: Yaml | None, port: int) -> bool:
    rules = [
        rule
        for policy in policies
        if matches(policy["spec"]["podSelector"], labels_of(source))
        for rule in policy["spec"].get("egress", [])
    ]
    return any(_allows(rule, "to", target, port) for rule in rules)


def _may_enter(policies: list[Yaml], source: Yaml | None, target: Yaml, port: int) -> bool:
    rules = [
        rule
        for policy in policies
        if matches(policy["spec"]["podSelector"], labels_of(target))
        for rule in policy["spec"].get("ingress", [])
    ]
    return any(_allows(rule, "from", source, port) for rule in rules)


def _allows(rule: Yaml, side: str, other: Yaml | None, port: int) -> bool:
    """`other` None: somebody outside of the namespace."""
    if port not in [each["port"] for each in rule["ports"]]:
        return False
    peers = rule.get(side)
    if peers is None:
        return True
    if other is None:
        return any("namespaceSelector" in peer for peer in peers)
    return any("podSelector" in peer and matches(peer["podSelector"], labels_of(other)) for peer in peers)


def of_the_ingress(manifests: Manifests) -> Iterator[str]:
    policies = manifests.of("NetworkPolicy")
    (ingress,) = manifests.of("Ingress")
    hosts = {host for each in ingress["spec"].get("tls", []) for host in each["hosts"]}
    for rule in ingress["spec"]["rules"]:
        if rule["host"] not in hosts:
            yield f"{rule['host']} has no TLS"
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            (service,) = manifests.named("Service", backend["name"])
            ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
            workload = _workload_named(manifests, backend["name"])
            if backend["port"]["name"] not in ports:
                yield f"{name_of(service)} has no port {backend['port']['name']}"
            elif workload is None or not _may_enter(policies, None, workload, ports[backend["port"]["name"]]):
                yield f"the ingress controller may not reach {name_of(service)}"
            elif env_of(manifests, pod_of(workload)["containers"][0]).get("WS_EDGE_TRUSTED_PROXIES", "?") == "?":
                yield "every client would have the address of the ingress controller"


Check = Callable[[Manifests], Iterator[str]]
CHECKS: list[Check] = [
    of_the_schema,
    of_the_list_of_files,
    of_settings,
    of_values,
    of_secrets,
    of_hardening,
    of_selectors,
    of_budgets_and_scalers,
    of_probes,
    of_endings,
    of_moderation,
    of_nats,
    of_addresses,
    of_the_network,
    of_the_ingress,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_nothing_is_wrong_with_the_manifests(check: Check) -> None:
    manifests = read(ROOT / "deploy")
    assert len(manifests.workloads) == 4
    assert len(list(services(manifests))) == 3
    assert list(check(manifests)) == []


SPOILT: list[tuple[Check, str, str, str]] = [
    (of_the_schema, "rooms.yaml", "automountServiceAccountToken: false", "automountServiceAccountTokens: false"),
    (of_the_schema, "ws-edge.yaml", "failureThreshold: 6", 'failureThreshold: "6"'),
    (of_the_schema, "ws-edge.yaml", "autoscaling/v2", "autoscaling/v2beta1"),
    (of_the_list_of_files, "kustomization.yaml", "  - rooms.yaml\n", ""),
    (of_the_list_of_files, "kustomization.yaml", "  - rooms.yaml\n", "  - room.yaml\n"),
    (of_settings, "rooms.yaml", "NATS_USER", "NATS_USERS"),
    (of_settings, "rooms.yaml", "ROOMS_PORT", "ROOMS_PROT"),
    (of_settings, "rooms.yaml", "NATS_USER,", "NATS_USER_FILE,"),
    (of_values, "ws-edge.yaml", 'WS_EDGE_STREAM_REPLICAS, value: "3"', 'WS_EDGE_STREAM_REPLICAS, value: "9"'),
    (of_values, "rooms.yaml", "SALON_ENV, value: production", "SALON_ENV, value: development"),
    (of_values, "rooms.yaml", "key: rooms-database", "key: database"),
    (of_secrets, "rooms.yaml", "NATS_PASSWORD_FILE", "NATS_PASSWORD"),
    (of_secrets, "kustomization.yaml", "postgres://rooms@", "postgres://rooms:word@"),
    (of_secrets, "rooms.yaml", "salon/nats-password", "salon/nats"),
    (of_secrets, "ws-edge.yaml", "/run/secrets/salon/jwt-secret", "/etc/jwt-secret"),
    (of_secrets, "README.md", "jwt-secret=", "jwt="),
    (of_secrets, "moderation.yaml", "SALON_SERVICE_TOKEN_FILE", "JWT_SECRET_FILE"),
    (of_hardening, "nats.yaml", "seccompProfile: { type: RuntimeDefault }", "runAsGroup: 1"),
    (of_hardening, "nats.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
    (of_hardening, "rooms.yaml", "drop: [ALL]", "drop: [NET_RAW]"),
    (of_hardening, "rooms.yaml", "runAsNonRoot: true", "runAsNonRoot: false"),
    (of_hardening, "rooms.yaml", "startupProbe:", "unknownProbe:"),
    (
        of_hardening,
        "rooms.yaml",
        "labelSelector: { matchLabels: { app: rooms }",
        "labelSelector: { matchLabels: { app: x }",
    ),
    (of_selectors, "rooms.yaml", "labels: { app: rooms }", "labels: { app: room }"),
    (
        of_budgets_and_scalers,
        "rooms.yaml",
        "    matchLabels: { app: rooms }\n---",
        "    matchLabels: { app: room }\n---",
    ),
    (of_selectors, "ws-edge.yaml", "port: 8000 }\n---", "port: 8001 }\n---"),
    (of_budgets_and_scalers, "rooms.yaml", "kind: Deployment, name: rooms", "kind: Deployment, name: room"),
    (
        of_budgets_and_scalers,
        "rooms.yaml",
        "  selector:\n    matchLabels",
        "  replicas: 2\n  selector:\n    matchLabels",
    ),
    (of_selectors, "nats.yaml", "serviceName: nats", "serviceName: servers"),
    (of_probes, "rooms.yaml", "grpc: { port: 50051, service: live }", "grpc: { port: 50052, service: live }"),
    (of_probes, "ws-edge.yaml", "path: /health/accepting, port: http", "path: /health/accepting, port: web"),
    (of_probes, "ws-edge.yaml", 'WS_EDGE_METRICS_PORT, value: "9100"', 'WS_EDGE_METRICS_PORT, value: "9101"'),
    (of_endings, "ws-edge.yaml", 'WS_EDGE_DRAIN_SECONDS, value: "30"', 'WS_EDGE_DRAIN_SECONDS, value: "50"'),
    (of_endings, "../nats/production.conf", 'lame_duck_duration: "30s"', 'lame_duck_duration: "60s"'),
    (of_moderation, "moderation.yaml", "replicas: 2", "replicas: 3"),
    (of_moderation, "ws-edge.yaml", "rooms:50051", "moderation-0.moderation:50052"),
    (of_moderation, "rooms.yaml", "key: moderation-addresses", "key: nats-url"),
    (of_nats, "nats.yaml", "replicas: 3", "replicas: 5"),
    (of_nats, "nats.yaml", "storage: 12Gi", "storage: 10Gi"),
    (of_nats, "ws-edge.yaml", 'WS_EDGE_STREAM_REPLICAS, value: "3"', 'WS_EDGE_STREAM_REPLICAS, value: "1"'),
    (of_nats, "rooms.yaml", "NATS_USER, value: rooms", "NATS_USER, value: room"),
    (of_nats, "../nats/production.conf", "nats://nats-2.nats:6222", "nats://nats-3.nats:6222"),
    (of_the_network, "network.yaml", "policyTypes: [Ingress, Egress]\n---", "policyTypes: [Ingress]\n---"),
    (of_addresses, "network.yaml", "ports: [{ port: 50051 }]", "ports: [{ port: 50050 }]"),
    (of_addresses, "network.yaml", "values: [ws-edge, rooms] }", "values: [ws-edge] }"),
    (of_addresses, "network.yaml", "    - ports: [{ port: 5432 }]\n", ""),
    (of_the_network, "network.yaml", "ports: [{ port: 6222 }]", "ports: [{ port: 6221 }]"),
    (of_the_network, "network.yaml", "port: 9100", "port: 9101"),
    (of_the_network, "network.yaml", "port: 53 }", "port: 54 }"),
    (of_addresses, "kustomization.yaml", "nats-2.nats:4222", "nats-3.nats:4222"),
    (of_the_ingress, "ingress.yaml", "- hosts: [chat.example.com]", "- hosts: [example.com]"),
    (of_the_ingress, "ingress.yaml", "port: { name: http }", "port: { name: web }"),
    (of_the_ingress, "network.yaml", "ports: [{ port: 8000 }]", "ports: [{ port: 8001 }]"),
    (of_the_ingress, "ws-edge.yaml", "WS_EDGE_TRUSTED_PROXIES", "WS_EDGE_JWT_ISSUER"),
]


@pytest.mark.parametrize(("check", "file", "text", "instead"), SPOILT)
def test_a_check_sees_what_was_spoilt(tmp_path: Path, check: Check, file: str, text: str, instead: str) -> None:
    for part in ("kubernetes", "nats"):
        shutil.copytree(ROOT / "deploy" / part, tmp_path / part)
    path = tmp_path / "kubernetes" / file
    assert text in path.read_text()
    path.write_text(path.read_text().replace(text, instead))
    assert list(check(read(tmp_path))) != []


def test_every_check_was_seen_to_fail() -> None:
    assert {check for check, *_ in SPOILT} == set(CHECKS)


def test_every_setting_of_the_compose_file_exists() -> None:
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    seen = set()
    for service in composed.values():
        image, told = image_of({"image": "", **service}), service.get("environment", {})
        if image in SERVICES:
            seen.add(image)
            known = settings_of(image)
            names = told if isinstance(told, dict) else [entry.partition("=")[0] for entry in told]
            assert [n for n in names if n not in known and not known.get(n.removesuffix("_FILE"))] == []
    assert seen == set(SERVICES)


def built(folder: Path) -> str:
    return subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True).stdout


needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@needs_kubectl
def test_kustomize_puts_it_together_and_points_at_what_it_generates() -> None:
    made = built(ROOT / "deploy" / "kubernetes")
    objects = list(parsed(made))
    maps = {found["metadata"]["name"] for found in objects if found["kind"] == "ConfigMap"}
    assert sorted(name.rpartition("-")[0] for name in maps) == ["nats", "salon"]
    asked = re.findall(r"config[mM]ap(?:KeyRef)?:\n\s+(?:key: \S+\n\s+)?name: (\S+)", made)
    assert set(asked) == maps
    assert {found["metadata"].get("namespace", "salon") for found in objects} == {"salon"}


@needs_kubectl
def test_with_mutual_tls_every_service_has_its_certificate_and_no_probe_speaks_plain_grpc(tmp_path: Path) -> None:
    for part in ("kubernetes", "nats"):
        shutil.copytree(ROOT / "deploy" / part, tmp_path / part)
    (tmp_path / "own").mkdir()
    kinds = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    (tmp_path / "own" / "kustomization.yaml").write_text(
        f"{kinds}resources: [../kubernetes]\ncomponents: [../kubernetes/mutual-tls]\n"
    )
    made = Manifests(
        ROOT / "deploy" / "kubernetes", read(ROOT / "deploy").kustomization, list(parsed(built(tmp_path / "own")))
    )
    told = {container["name"]: told for _, container, told in services(made)}
    assert len(told) == 3
    for names in told.values():
        assert {f"SALON_GRPC_TLS_{part}_FILE" for part in ("CERT", "KEY", "CA")} <= set(names)
    assert [list(check(made)) for check in (of_the_schema, of_settings, of_hardening, of_probes)] == [[]] * 4
    assert not any(
        "grpc" in container[kind] for _, container in containers(made) for kind in container if "Probe" in kind
    )
