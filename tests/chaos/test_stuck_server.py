"""A proxy server that stops answering is no failure of the pair, and harms no later story.

A real Toxiproxy before 2.13.0 does that when a toxic is removed while nobody reads what it passes
on (its issue 558): all of its API hangs, under load now and then.  Here it is stopped on purpose.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from srmd.lab.leash import processes_of
from srmd.lab.real.stage import RealStage
from srmd.lab.scenario import load
from srmd.lab.scenario.running import Verdict
from srmd.lab.suite import play_all

STORY = """\
shows = [1]
title = { en = "t", ja = "題" }
story = { en = "s", ja = "話" }
[[step]]
do = "cut control"
[[step]]
do = "heal"
"""


@pytest.mark.timeout(300)  # each call to it, and its end, has a limit of its own
def test_a_server_that_hangs_is_an_error_and_the_next_story_gets_fresh_ones(
    tmp_path: Path,
) -> None:
    for name in ("first", "second"):
        (tmp_path / f"{name}.toml").write_text(STORY, encoding="utf-8")
    stories = [load(tmp_path / f"{name}.toml") for name in ("first", "second")]
    said: list[str] = []
    stopped: list[int] = []

    with RealStage(tell=said.append) as stage:
        results = play_all(stories, stage, stops_the_servers(stage, stopped, said))
        assert [one.verdict for one in results] == [Verdict.ERROR, Verdict.PASSED], said
        assert results[0].why.startswith("the fault proxy: ")
        assert results[0].why.endswith(": no answer within 5 s")
    assert stopped
    assert not stage.left_behind
    assert not any(Path(f"/proc/{pid}").exists() for pid in stopped)


def stops_the_servers(
    stage: RealStage, stopped: list[int], said: list[str]
) -> Callable[[str], None]:
    """Hears the story, and stops the servers of the first pair once it has begun."""

    def tell(line: str) -> None:
        said.append(line)
        if "reached" in line and not stopped:
            for pid, command in processes_of(stage.wired.pair.mark).items():
                if "faultproxy" in command or "toxiproxy" in command:
                    os.kill(pid, signal.SIGSTOP)
                    stopped.append(pid)

    return tell
