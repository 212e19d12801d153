"""The page of the benchmark: its short table and its pictures show the figures of the run."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtests.bench import __main__ as program
from loadtests.bench.highlights import short_table
from loadtests.bench.measuring import Bench, Measured
from loadtests.bench.pictures import OTHERS, SALON, cost_picture, latency_picture
from loadtests.bench.processes import Processes
from loadtests.bench.rows import Row, rows
from loadtests.bench.samples import Results, Sample, summarise
from loadtests.bench.systems import BEFORE, Running, System, Wire

Draw = Callable[[Sequence[Row], Results], str]
SVG = "{http://www.w3.org/2000/svg}"


def fan_out(system: str, all_us: float, p50: float, p99: float, behind_s: float = 0) -> Sample:
    return Sample("fanout-1000", system, {"all_us": all_us, "p50": p50, "p99": p99, "behind_s": behind_s})


@pytest.fixture
def results() -> Results:
    return summarise(
        [
            fan_out("Salon", 2.5, 10, 100),
            fan_out("Centrifugo with history", 5, 1, 1000),
            fan_out("nchan", 10, 4000, 9000, behind_s=5.5),
            fan_out("FastAPI loop", 90, 4000, 9000),
            Sample("joins", "Salon on SQLite", {"all_us": 900.0}),
            Sample("joins", BEFORE, {"all_us": 1200.0}),
        ]
    )


def texts(picture: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in picture.iter(f"{SVG}text")]


def widths(picture: ElementTree.Element) -> Sequence[float]:
    return [float(each.attrib["width"]) for each in list(picture.iter(f"{SVG}rect"))[1:]]


def test_bars_are_as_long_as_what_was_measured(results: Results) -> None:
    picture = ElementTree.fromstring(cost_picture(rows(), results))
    salon, centrifugo, nchan, joins, before = widths(picture)
    assert [centrifugo / salon, nchan / salon] == pytest.approx([2, 4], rel=0.01)
    assert before / joins == pytest.approx(1200 / 900, rel=0.01)
    assert {"Salon", "2.50 µs", "Centrifugo with history", "10.00 µs, behind", BEFORE, "1,200 µs"} <= set(
        texts(picture)
    )
    assert "FastAPI loop" not in texts(picture)


def test_salon_stands_out_and_who_was_behind_is_faint(results: Results) -> None:
    bars = list(ElementTree.fromstring(cost_picture(rows(), results)).iter(f"{SVG}rect"))[1:]
    assert [(bar.attrib["fill"], bar.attrib.get("fill-opacity")) for bar in bars] == [
        (SALON, None),
        (OTHERS, None),
        (OTHERS, "0.5"),
        (SALON, None),
        (OTHERS, None),
    ]


def test_ten_times_the_latency_is_as_far_everywhere(results: Results) -> None:
    picture = ElementTree.fromstring(latency_picture(rows(), results))
    ends = [float(each.attrib["cx"]) for each in picture.iter(f"{SVG}circle")]
    salon, centrifugo = ends[1] - ends[0], ends[3] - ends[2]
    assert centrifugo == pytest.approx(3 * salon, rel=0.01)
    assert {"1 ms", "10 ms", "100 ms", "1 s", "10 s", "10.00 / 100 ms"} <= set(texts(picture))


@pytest.mark.parametrize("draw", [cost_picture, latency_picture])
def test_everything_is_on_the_card_and_nothing_is_fetched(draw: Draw, results: Results) -> None:
    text = draw(rows(), results)
    picture = ElementTree.fromstring(text)
    card = next(picture.iter(f"{SVG}rect")).attrib
    assert (float(picture.attrib["width"]), picture.attrib["role"]) == (float(card["width"]) + 1, "img")
    for each in picture.iter():
        assert float(each.attrib.get("x", each.attrib.get("cx", 0))) < float(card["width"])
        assert float(each.attrib.get("y", each.attrib.get("cy", 0))) < float(card["height"])
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("draw", [cost_picture, latency_picture])
def test_there_is_no_picture_of_nothing(draw: Draw) -> None:
    assert draw(rows(), {}) == ""


def test_a_latency_of_nothing_is_at_the_left_edge() -> None:
    picture = ElementTree.fromstring(latency_picture(rows(), summarise([fan_out("Salon", 1, 0, 0.5)])))
    first, last = [float(each.attrib["cx"]) for each in picture.iter(f"{SVG}circle")]
    assert first < last


def test_the_short_table_says_the_same(results: Results) -> None:
    lines = short_table(rows(), results).splitlines()
    assert lines[0] == f"| | Salon | Centrifugo with history | nchan | {BEFORE} |"
    assert "| a delivery in a room of 1,000, 300 messages/s | 2.50 µs | 5.00 µs | 10.00 µs, behind | — |" in lines
    assert "| a join, 5,000 into one room | 900 µs | — | — | 1,200 µs |" in lines
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.skipif(shutil.which("cc") is None, reason="cc is not installed, so the load generator cannot be compiled")
def test_a_run_writes_the_page_with_its_pictures_and_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(_: Bench, __: Running, ___: System) -> Measured:
        return {"all_us": 321.0, "joins_per_s": 7.0}, ""

    own = System("Salon", lambda folder: Running(1, Wire("/"), {}, Processes(folder), lambda: None))
    monkeypatch.setenv("BENCH_REPEAT", "1")
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the process of the tests ends as before
    monkeypatch.setattr(program, "rows", lambda: [Row("joins", "Joins", (own,), (), measure, ("all_us",))])
    monkeypatch.setattr(program, "DOCUMENTS", tmp_path)
    assert program.main([]) == 0
    page, figures = (tmp_path / "benchmarks.md").read_text(), (tmp_path / "benchmarks-figures.md").read_text()
    assert "](benchmarks-cost.svg)" in page
    assert "](benchmarks-latency.svg)" not in page
    assert "| a join, 5,000 into one room | 321 µs |" in page
    assert "321 µs" in (tmp_path / "benchmarks-cost.svg").read_text()
    assert "## Targets" in figures
    assert not (tmp_path / "benchmarks-latency.svg").exists()
