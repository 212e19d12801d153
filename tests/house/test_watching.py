"""What Prometheus and Grafana ask for is there, and the questions can be read."""

import importlib
import json
import re
from pathlib import Path

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from moderation.telemetry import Metrics as ModerationMetrics
from ws_edge.bootstrap import build
from ws_edge.config import Config

ROOT = Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = [rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
PANELS = json.loads((ROOT / "deploy" / "grafana" / "salon.json").read_text())["panels"]
QUESTIONS = {rule["alert"]: rule["expr"] for rule in RULES} | {
    f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]
}


@pytest.fixture
async def exposed() -> set[str]:
    """Every metric that the three services tell."""
    registry = CollectorRegistry()
    ModerationMetrics(registry)
    importlib.import_module("rooms.telemetry")
    texts = (build(Config()).metrics.render(), generate_latest(registry), generate_latest(REGISTRY))
    return {name for text in texts for name in re.findall(r"^# TYPE (salon_\w+) ", text.decode(), re.MULTILINE)}


async def test_every_metric_that_is_asked_for_is_told(exposed: set[str]) -> None:
    assert len(exposed) > 15
    asked = {
        name for question in QUESTIONS.values() for name in re.findall(r"\bsalon_\w+", question.partition("job=")[0])
    }
    assert len(asked) > 5
    assert asked <= exposed


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_promql(name: str) -> None:
    promql_parser.parse(QUESTIONS[name])
    with pytest.raises(ValueError, match="unexpected"):
        promql_parser.parse(QUESTIONS[name] + ")")


def test_alerts_ask_for_every_job_and_for_no_other() -> None:
    jobs = {job["job_name"] for job in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]}
    asked = [re.findall(r'job=~?"([^"]+)"', rule["expr"]) for rule in RULES]
    assert {job for found in asked for jobs_of_one in found for job in jobs_of_one.split("|")} == jobs
    vanished = {job for rule in RULES for job in re.findall(r'absent\(up\{job="(\w+)"\}\)', rule["expr"])}
    assert vanished == jobs


def test_every_alert_has_a_runbook_that_the_list_names() -> None:
    listed = (ROOT / "docs" / "runbooks" / "README.md").read_text()
    for rule in RULES:
        runbook = Path(rule["annotations"]["runbook"])
        assert (ROOT / runbook).is_file(), rule["alert"]
        assert f"({runbook.name})" in listed


def test_panels_do_not_lie_on_each_other() -> None:
    places = [tuple(panel["gridPos"][side] for side in "xy") for panel in PANELS]
    assert len(set(places)) == len({panel["id"] for panel in PANELS}) == len(PANELS)
