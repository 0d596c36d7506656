"""Everything that was written down, on one time line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from srmd.cli import Exit, main
from srmd.core.events import PeerDown, PeerLeft, UsersMoved
from srmd.core.node import Node
from srmd.core.states import Health
from srmd.lab.records.cutting import since
from srmd.lab.records.line import Timeline
from srmd.lab.records.page import as_html, as_plain, as_text
from srmd.lab.records.reading import read
from srmd.lab.records.timeline import timeline
from srmd.lab.records.words import STORY_KINDS, story
from tests.lab.records.written import WALL_S, Written

Capture = pytest.CaptureFixture[str]


def split_brain(folder: Path) -> Written:
    """The heartbeats are refused from 2.5 s to 8.5 s: both take over, then both fail."""
    pair = Written(folder, ahead_s=40.0).begin()
    for at_s in (1.0, 2.0):
        pair.beat("a", at_s).beat("b", at_s)
    for at_s in (3.0, 4.0, 5.0, 6.0, 7.0, 8.0):
        pair.beat("a", at_s, lost=True).beat("b", at_s, lost=True)
        if at_s == 5.0:
            for one in (pair.a, pair.b):
                one.take(5.502, PeerDown())
                one.take(5.9, UsersMoved(one.node.op))
                one.tell(5.95, "alarm.srm_failover", alarm="SRMFailover", level="error")
    pair.beat("a", 9.0).beat("b", 9.0)
    pair.beat("a", 10.0).beat("b", 10.0)
    proxy: list[dict[str, Any]] = [
        {
            "event": "journal.began",
            "at_s": 0.0,
            "seed": 1,
            "mono_s": 777.0,
            "wall": "2027-01-15T08:00:00.000000+00:00",
        },
        {
            "event": "proxy.changed",
            "at_s": 2.5,
            "proxy": {"name": "lab_1_heartbeats_a_to_b", "enabled": False},
        },
        {
            "event": "toxic.added",
            "at_s": 2.5,
            "proxy": "lab_1_heartbeats_b_to_a",
            "toxic": {"name": "x", "type": "packet_loss", "attributes": {"loss_rate": 1.0}},
        },
        {
            "event": "proxy.changed",
            "at_s": 8.5,
            "proxy": {"name": "lab_1_heartbeats_a_to_b", "enabled": True},
        },
        {"event": "toxic.removed", "at_s": 8.5, "proxy": "lab_1_heartbeats_b_to_a", "toxic": "x"},
    ]
    (folder / "faultproxy.jsonl").write_text("".join(json.dumps(one) + "\n" for one in proxy))
    return pair


@pytest.fixture
def line(tmp_path: Path) -> Timeline:
    split_brain(tmp_path)
    return timeline(read([tmp_path]))


def bars(line: Timeline, lane: str) -> list[tuple[float, float, str]]:
    found = [one for one in line.bars if one.lane == lane]
    return [(round(one.from_s, 3), round(one.to_s, 3), one.text.en) for one in found]


def test_each_node_has_its_states_on_the_common_clock(line: Timeline) -> None:
    assert bars(line, "node b") == [
        (0.0, 5.502, "Normal / Normal"),
        (5.502, 5.9, "Taking Over / Peer Down"),
        (5.9, 9.002, "Running in Backup Mode / Peer Down"),
        (9.002, pytest.approx(10.002, abs=0.003), "Running in Failed Mode / Unknown"),
    ]
    assert [mark.text.en for mark in line.marks if mark.lane == "node a"][:1] == [
        "Normal -> Taking Over / Peer Down"
    ]


def test_faults_are_windows_on_the_link_whose_heartbeats_they_took(line: Timeline) -> None:
    assert bars(line, "link a b") == [(2.5, 8.5, "heartbeats: refused")]
    assert bars(line, "link b a") == [(2.5, 8.5, "heartbeats: 100% lost")]
    lost = [(beat.sender, beat.seq) for beat in line.beats if beat.heard_s is None]
    assert lost == [(node, seq) for node in "ab" for seq in range(3, 9)]


def test_users_that_both_nodes_serve_are_shown(line: Timeline) -> None:
    both = [(from_s, to_s) for from_s, to_s, said in bars(line, "users a") if "BOTH" in said]
    assert both == [(5.9, 9.002)]


def test_the_line_says_how_the_clocks_stand(line: Timeline) -> None:
    assert line.began.timestamp() == pytest.approx(WALL_S, abs=0.001)
    assert any("clock of b minus clock of a: +40000.000 ms" in note.en for note in line.notes)


def test_a_node_that_was_killed_says_no_word_until_it_starts(tmp_path: Path) -> None:
    pair = Written(tmp_path).begin()
    pair.beat("a", 1.0).beat("b", 1.0)
    pair.a.begin(6.0, Node(op=10))
    pair.beat("b", 6.1)
    line = timeline(read([tmp_path]))
    assert (1.002, 6.0, "no record of the node") in bars(line, "node a")
    assert (1.002, 6.0, "users of a: served by no node") in bars(line, "users a")


def test_only_srm_that_was_stopped_is_told_apart(tmp_path: Path) -> None:
    pair = Written(tmp_path).begin()
    pair.beat("a", 1.0).beat("b", 1.0)
    pair.a.tell(1.1, "srm.stopped")
    pair.a.begin(6.0)
    pair.beat("b", 6.1)
    line = timeline(read([tmp_path]))
    assert (1.002, 6.0, "SRM stopped") in bars(line, "node a")
    assert all(text == "users of a: served by a" for _, _, text in bars(line, "users a"))


def a_node_that_is_stopped(folder: Path, *, reboots: bool) -> Timeline:
    """Node a is ordered to stop at 1.1 s, as SIGTERM or an announced reboot does; b takes over at
    5.9 s; a starts again at 8 s."""
    pair = Written(folder).begin()
    pair.a.tell(0.1, "node.started").tell(0.1, "service.changed", service="S", state="STARTED")
    pair.beat("a", 1.0).beat("b", 1.0)
    if reboots:
        pair.b.take(1.05, PeerLeft())
    pair.a.tell(1.1, "srm.stopped")
    pair.a.tell(1.2, "service.changed", service="S", state="STOPPED")
    pair.a.tell(1.3, "database.failed").tell(1.4, "node.stopped")
    if reboots:
        pair.a.tell(1.4, "node.rebooting")
    else:
        pair.b.take(5.5, PeerDown())
    pair.b.take(5.9, UsersMoved(pair.b.node.op))
    pair.a.begin(8.0, Node(op=10, health=Health.SERVICE_DOWN)).tell(8.0, "srm.started").tell(
        8.1, "node.started"
    )
    pair.a.tell(8.2, "service.changed", service="S", state="STARTED")
    pair.beat("b", 9.0)
    return timeline(read([folder]))


@pytest.mark.parametrize("reboots", [False, True])
def test_a_node_that_was_stopped_serves_no_user_and_runs_no_service(
    tmp_path: Path, reboots: bool
) -> None:
    """A new user saw "served by BOTH nodes" after SIGTERM and after each announced reboot: the
    record `srm.stopped`, which an ordered stop of the node leaves too, was read as "SRM alone"."""
    line = a_node_that_is_stopped(tmp_path, reboots=reboots)
    assert (1.4, 8.0, "node stopped") in bars(line, "node a")
    assert [said for _, _, said in bars(line, "users a")] == [
        "users of a: served by a",
        "users of a: served by no node",
        "users of a: served by b",
    ]
    assert bars(line, "services a / S") == [
        (0.1, 1.2, "STARTED"),
        (1.2, 1.4, "STOPPED"),
        (8.2, pytest.approx(9.002, abs=0.001), "STARTED"),
    ]
    assert bars(line, "services a / A Cisco DB") == [(1.3, 1.4, "STOPPED")]


def test_a_line_that_ends_while_both_nodes_are_stopped_has_no_users_served(tmp_path: Path) -> None:
    pair = Written(tmp_path).begin()
    pair.beat("a", 1.0).beat("b", 1.0)
    for one, at_s in ((pair.a, 1.1), (pair.b, 1.2)):
        one.tell(at_s, "srm.stopped").tell(at_s + 0.01, "node.stopped")
    pair.b.tell(9.0, "config.warning")
    line = timeline(read([tmp_path]))
    assert bars(line, "users a")[-1] == (1.11, 9.0, "users of a: served by no node")
    assert bars(line, "users b")[-1][2] == "users of b: served by no node"
    assert bars(line, "services a")[-1][1] == 1.002, "what SRM saw ends with SRM"


def test_a_service_that_ends_while_srm_is_stopped_ends_the_serving(tmp_path: Path) -> None:
    pair = Written(tmp_path).begin()
    pair.beat("a", 1.0).beat("b", 1.0)
    pair.a.tell(1.1, "srm.stopped")
    pair.a.tell(2.0, "service.changed", service="M", state="STOPPED", critical=False)
    pair.a.tell(3.0, "service.changed", service="S", state="STOPPED", critical=True)
    pair.a.begin(6.0)
    pair.beat("b", 6.1)
    line = timeline(read([tmp_path]))
    assert (0.0, 3.0, "users of a: served by a") in bars(line, "users a")


def test_one_node_alone_has_a_line_too(tmp_path: Path) -> None:
    pair = split_brain(tmp_path)
    line = timeline(read([pair.a.journal]))
    assert line.lanes() == ["node a", "services a"]
    assert any("the journal of the other node is needed" in note.en for note in line.notes)


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    pair = split_brain(tmp_path)
    pair.a.tell(6.0, "command.refused", command="</script><script>alert(1)</script>")
    page = as_html(timeline(read([tmp_path])))
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", page)
    assert "@import" not in page
    assert page.count("</script>") == 2, "a text of a record ends no script"
    payload = re.search(r'id="payload">(.*?)</script>', page, re.DOTALL)
    assert payload is not None
    plain = json.loads(payload[1])
    assert {"bars", "marks", "beats", "lanes", "notes", "legend"} <= plain.keys()


def test_text_and_json_tell_the_same(line: Timeline) -> None:
    told = as_text(line, "en")
    assert "6 sent and not heard, seq 3-8, until +8.000 s" in told
    assert "+5.502 s  node a" in told
    assert len(as_plain(line)["marks"]) == len(line.marks)


@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_the_command_writes_each_form(tmp_path: Path, form: str, capsys: Capture) -> None:
    split_brain(tmp_path / "logs")
    out = tmp_path / "line"
    words = ["timeline", str(tmp_path / "logs"), "--format", form, "--output", str(out)]
    assert main(words) == Exit.OK
    assert out.stat().st_size > 1000
    assert "0 damaged, 0 foreign" in capsys.readouterr().err


def test_damage_is_counted_and_never_fatal(tmp_path: Path, capsys: Capture) -> None:
    pair = split_brain(tmp_path)
    pair.a.raw('{"at_s": 11, "ev').raw("?").raw('{"event": "x", "node": 3}', pair.a.log)
    with (tmp_path / "faultproxy.jsonl").open("a") as out:
        out.write('{"event": "toxic.added", "at_s": 9, "proxy": {"a": 1}, "toxic": 3}\n{"ev')
    assert main(["timeline", str(tmp_path)]) == Exit.OK
    assert "2 damaged, 2 foreign" in capsys.readouterr().err


def test_several_plays_are_not_mixed(tmp_path: Path, capsys: Capture) -> None:
    split_brain(tmp_path / "one")
    for name in ("one", "two"):
        play: dict[str, Any] = {
            "name": name,
            "verdict": "passed",
            "journal": [],
            "began_s": 0.0,
            "took_s": 1.0,
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(play))
    assert main(["timeline", str(tmp_path)]) == Exit.USAGE
    assert f"2 plays; name the file of one, such as {tmp_path / 'one.json'}" in (
        capsys.readouterr().err
    )
    assert main(["timeline", str(tmp_path / "one.json")]) == Exit.OK
    assert main(["timeline", str(tmp_path / "one")]) == Exit.OK


def test_a_play_is_the_window_and_its_verbs_are_marks(tmp_path: Path) -> None:
    split_brain(tmp_path / "one")
    play: dict[str, Any] = {
        "name": "one",
        "verdict": "passed",
        "title": {"en": "Both", "ja": "両方"},
        "began_s": 2.4,
        "took_s": 6.4,
        "journal": [
            {"at_s": 0.1, "kind": "do", "text": "cut heartbeats"},
            {"at_s": 0.2, "kind": "seen", "text": "a"},
            {"at_s": 6.1, "kind": "heal", "text": "all"},
        ],
    }
    (tmp_path / "one.json").write_text(json.dumps(play))
    line = timeline(read([tmp_path / "one"]))
    assert (line.title.ja, round(line.span_s, 3)) == ("両方", 7.0)
    assert bars(line, "story") == [(0.4, 6.4, "cut heartbeats")]
    assert [mark.text.en for mark in line.marks if mark.lane == "story"] == [
        "do: cut heartbeats",
        "heal: all",
    ]


def test_what_is_cut_for_one_play_can_still_be_read(tmp_path: Path) -> None:
    """The last whole node before, the begin of the proxy's log; nothing else from earlier."""
    pair = split_brain(tmp_path)
    pair.a.begin(9.5, boot=False)
    pair.beat("b", 11.0)
    text = pair.a.journal.read_text()
    cut = since(text, 10.5).splitlines()
    assert '"node"' in cut[0]
    assert len(cut) < len(text.splitlines()) / 2
    proxy = since((tmp_path / "faultproxy.jsonl").read_text(), 777.0 + 5.0).splitlines()
    assert [json.loads(one)["event"] for one in proxy] == [
        "journal.began",
        "proxy.changed",
        "toxic.removed",
    ]


def test_faults_are_told_in_words(tmp_path: Path) -> None:
    """They were `packet_loss loss_rate=0.3 correlation=0.0`, and twice for both streams of TCP."""
    split_brain(tmp_path)
    toxics = [
        ("heartbeats_a_to_b", "l", "packet_loss", {"loss_rate": 0.305, "correlation": 0.0}),
        ("control_a_to_b", "u", "latency", {"latency": 30, "jitter": 5}),
        ("control_a_to_b", "d", "latency", {"latency": 30, "jitter": 5}),
        ("control_b_to_a", "t", "timeout", {"timeout": 0}),
        ("control_b_to_a", "x", "of_another_server", {"figure": 7}),
        ("control_b_to_a", "y", "bandwidth", {"rates": 7}),
    ]
    with (tmp_path / "faultproxy.jsonl").open("a") as out:
        for number, (proxy, name, kind, attributes) in enumerate(toxics):
            toxic = {"name": name, "type": kind, "attributes": attributes}
            line: dict[str, Any] = {"event": "toxic.added", "at_s": 9.0 + number / 100}
            out.write(json.dumps({**line, "proxy": f"lab_1_{proxy}", "toxic": toxic}) + "\n")
    line_ = timeline(read([tmp_path]))
    told = {bar.text.en: bar for bar in line_.bars if bar.kind == "fault" and bar.from_s > 8.9}
    assert list(told) == [
        "heartbeats: 30.5% lost",
        "control: 30 ms late +-5 ms",
        "control: cut",
        "control: of_another_server",
        "control: bandwidth",
    ]
    assert told["control: cut"].text.ja == "制御: 遮断"
    assert round(told["control: 30 ms late +-5 ms"].from_s, 2) == 9.01


def test_text_and_page_are_in_japanese_when_asked(tmp_path: Path, capsys: Capture) -> None:
    split_brain(tmp_path)
    assert main(["timeline", str(tmp_path), "--lang", "ja"]) == Exit.OK
    said = capsys.readouterr().out
    assert "b の時計 - a の時計" in said
    assert "+5.502 s  ノード a" in said
    assert "送信した 6 個が届かず、seq 3-8、+8.000 s まで" in said
    for words, chosen in ((["--lang", "ja"], '"ja"'), (["--lang", "en"], '"en"'), ([], "null")):
        assert main(["timeline", str(tmp_path), "--format", "html", *words]) == Exit.OK
        assert f'"language": {chosen}' in capsys.readouterr().out


def test_a_reboot_ends_a_failure_of_the_database_and_a_record_says_so(tmp_path: Path) -> None:
    """`fault set database` ends with a reboot: the new run has no failure to repair, so nothing
    said that the database was back, and its lane stayed red to the end."""
    pair = Written(tmp_path).begin()
    pair.a.tell(0.1, "node.started", database="STARTED")
    pair.beat("a", 1.0).beat("b", 1.0)
    pair.a.tell(1.5, "database.failed")
    pair.a.begin(4.0, Node(op=10)).tell(4.1, "node.started", database="STARTED")
    pair.beat("a", 9.0).beat("b", 9.0)
    line = timeline(read([tmp_path]))
    drawn = bars(line, "services a / A Cisco DB")
    assert drawn[-1][0] == pytest.approx(4.1, abs=0.003)
    assert drawn[-1][2] == "STARTED"
    assert [text for *_, text in drawn].count("STOPPED") == 1


def test_what_the_operator_reads_of_services_and_of_the_story_is_in_both_languages() -> None:
    short, full = story("do", "cut heartbeats")
    assert (short.en, short.ja) == ("do: cut heartbeats", "操作: cut heartbeats")
    assert full.ja == "操作 (シナリオの記述のまま): cut heartbeats"
    for kind, text in STORY_KINDS.items():
        assert text.en == kind
        assert not text.ja.isascii()
