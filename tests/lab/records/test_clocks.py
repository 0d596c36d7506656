"""The offset of two clocks comes from the heartbeats, and says how sure it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from srmd.lab.records.history import histories
from srmd.lab.records.reading import Unusable, read
from tests.lab.records.written import Written


@pytest.mark.parametrize("ahead_s", [0.0, 1234.5, -77.25])
def test_the_offset_is_found_within_its_uncertainty(tmp_path: Path, ahead_s: float) -> None:
    """The slow beats say nothing: the fastest of each direction bound the offset."""
    pair = Written(tmp_path, ahead_s).begin()
    for n, delay_s in enumerate((0.5, 0.003, 0.2, 0.001)):
        pair.beat("a", 1.0 + n, delay_s=delay_s)
        pair.beat("b", 1.5 + n, delay_s=delay_s + 0.002)
    (found,) = histories(read([tmp_path])).offsets
    assert found.uncertainty_s == pytest.approx(0.002, abs=1e-5)
    assert found.offset_s == pytest.approx(ahead_s, abs=0.002)
    assert found.beats_count == 8
    assert "from 8 heartbeats" in found.told().en


def test_the_histories_of_both_stand_on_one_clock(tmp_path: Path) -> None:
    pair = Written(tmp_path, 500.0).begin(at_s=3.0)
    pair.beat("a", 4.0).beat("b", 4.0)
    nodes = histories(read([tmp_path]))
    assert nodes.nodes["a"].first_s == pytest.approx(3.0)
    assert nodes.nodes["b"].first_s == pytest.approx(3.0, abs=1e-5)


def test_without_beats_of_both_directions_the_wall_clocks_have_to_do(tmp_path: Path) -> None:
    pair = Written(tmp_path, 500.0).begin(at_s=3.0)
    pair.beat("a", 4.0)
    nodes = histories(read([tmp_path]))
    assert nodes.offsets[0].uncertainty_s is None
    assert "no heartbeat of both directions joins them" in nodes.offsets[0].told().en
    assert nodes.nodes["b"].first_s == pytest.approx(3.0, abs=1e-5)


def test_lines_from_before_a_boot_of_the_host_are_left_out_and_counted(tmp_path: Path) -> None:
    """Its clock began anew, so nothing says how long ago they were."""
    pair = Written(tmp_path)
    pair.a.begin(9000.0).tell(9000.5, "srm.started").begin(2.0).tell(2.5, "srm.started")
    nodes = histories(read([tmp_path]))
    assert nodes.nodes["a"].points[0].at_s == 2.0
    assert len(nodes.nodes["a"].log) == 1
    assert any("1 lines from before a boot of the host" in note.en for note in nodes.notes)


def test_journals_of_three_nodes_are_no_pair(tmp_path: Path) -> None:
    Written(tmp_path).begin()
    third = Written(tmp_path / "more")
    third.a.name = "c"
    third.a.begin(0.0)
    with pytest.raises(Unusable, match=r"journals of 3 nodes \(a, b, c\); name those of one pair"):
        histories(read([tmp_path]))
