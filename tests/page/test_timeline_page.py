"""The HTML page of a time line in a real browser: what it draws, and that it asks for nothing."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from srmd.lab.records.page import as_html
from srmd.lab.records.reading import read
from srmd.lab.records.timeline import timeline
from tests.lab.records.test_timeline import split_brain

BROWSER_LIMIT_S = 60.0
OPTIONS = [
    "--headless",
    "--no-sandbox",  # as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,900",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    split_brain(folder / "logs")
    file = folder / "line.html"
    html = as_html(timeline(read([folder / "logs"])))
    # An error of the script becomes visible in what is drawn.
    tell = "<script>addEventListener('error', e => document.title = 'ERROR ' + e.message)</script>"
    file.write_text(html.replace("<style>", f"{tell}<style>", 1))
    return file


def drawn(chromium: str, page: Path, tmp_path: Path, choice: str) -> str:
    """The document after its script has run."""
    command = [chromium, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        [*command, f"{page.as_uri()}#{choice}"],
        capture_output=True,
        text=True,
        timeout=BROWSER_LIMIT_S,
        check=True,
    )
    found = re.search("<title>(.*?)</title>", done.stdout)
    assert found is not None, done.stdout[:500] + done.stderr[-500:]
    assert not found[1].startswith("ERROR"), found[1]
    return done.stdout


def test_bars_marks_beats_and_the_list_are_drawn(chromium: str, page: Path, tmp_path: Path) -> None:
    dom = drawn(chromium, page, tmp_path, "lang=en")
    assert len(re.findall(r'data-bar="\d+"', dom)) >= 12
    assert len(re.findall(r'data-mark="\d+"', dom)) >= 6
    assert len(re.findall(r'data-beat="\d+"', dom)) == 20
    assert "Normal / Normal</text>" in dom
    assert "a→b heartbeats: refused</text>" in dom
    assert dom.count("<tr ") >= 6


def test_japanese_is_drawn_when_it_is_chosen(chromium: str, page: Path, tmp_path: Path) -> None:
    dom = drawn(chromium, page, tmp_path, "lang=ja")
    assert "標準 / 標準</text>" in dom
    assert "ハートビート" in dom
    assert '<html lang="ja">' in dom


def test_a_part_of_the_line_shows_only_what_is_in_it(
    chromium: str, page: Path, tmp_path: Path
) -> None:
    dom = drawn(chromium, page, tmp_path, "lang=en&from=9.2&to=9.8")
    assert "Running in Failed Mode / Unknown</text>" in dom
    assert "Normal / Normal</text>" not in dom


def test_the_page_opens_in_the_language_it_was_made_for(
    chromium: str, page: Path, tmp_path: Path
) -> None:
    made = page.with_name("made.html")
    made.write_text(page.read_text().replace('"language": null', '"language": "ja"'))
    assert '<html lang="ja">' in drawn(chromium, made, tmp_path, "")


def drawn_with(toxics: list[dict[str, Any]], chromium: str, tmp_path: Path) -> str:
    """The page of a split brain with these toxics on a's heartbeats besides, all at one time."""
    split_brain(tmp_path / "logs")
    with (tmp_path / "logs" / "faultproxy.jsonl").open("a") as out:
        for toxic in toxics:
            proxy = "lab_1_heartbeats_a_to_b"
            line = {"event": "toxic.added", "at_s": 2.6, "proxy": proxy, "toxic": toxic}
            out.write(json.dumps(line) + "\n")
    file = tmp_path / "line.html"
    file.write_text(as_html(timeline(read([tmp_path / "logs"]))))
    return drawn(chromium, file, tmp_path, "lang=en")


def test_labels_of_faults_at_the_same_time_do_not_overlap(chromium: str, tmp_path: Path) -> None:
    """They were written over each other, and the heartbeats over them."""
    kinds = (("d", "duplicate"), ("c", "corrupt"), ("r", "reorder"))
    dom = drawn_with(
        [{"name": name, "type": kind, "attributes": {"probability": 0.5}} for name, kind in kinds],
        chromium,
        tmp_path,
    )
    labels = re.findall(r'y="([\d.]+)" class="fault">a→b heartbeats: ([^<]*)</text>', dom)
    assert [said for _, said in labels] == ["refused", "50% doubled", "50% corrupted"]
    assert len({y for y, _ in labels}) == 3
    beats = [found.start() for found in re.finditer(r'data-beat="\d+"', dom)]
    assert beats[-1] < dom.index('class="fault">a→b'), "over the heartbeats"


def test_many_faults_at_the_same_time_are_shaded_once(chromium: str, tmp_path: Path) -> None:
    """Each was shaded over the ones before: under a dozen faults the lines were dark red."""
    dom = drawn_with(
        [
            {"name": f"d{n}", "type": "latency", "attributes": {"latency": 100 + n}}
            for n in range(12)
        ],
        chromium,
        tmp_path,
    )
    shades = re.findall(
        r'<rect class="shade" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"[^>]*?'
        r'fill="var\(--([a-z-]+)\)"',
        dom,
    )
    assert sorted(fill for _, _, fill in shades) == ["fault-fill", "fault-strong", "fault-strong"]
    assert dom.count('fill="var(--fault-strong)"') == 3, "two directions, and the legend"
    assert len(re.findall(r'data-bar="\d+"[^>]*fill="transparent"', dom)) >= 14, "each has its tip"
