"""A new version in the containers of the lab, the way back, and what is left at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from srmd import __version__
from srmd.cli.check import Level, report
from srmd.client import ClientError
from srmd.core.states import State
from tests.containers.engine import (
    IMAGE,
    NAMES,
    NEWER,
    Pair,
    newer_image,
    podman,
    script,
)

SERVING = (State.NORMAL, State.BACKUP)
LOOK_S = 0.1


def versions() -> dict[str, str]:
    return {
        node: podman("exec", name, "srmd", "--version").stdout.split()[-1]
        for node, name in NAMES.items()
    }


def made() -> dict[str, str]:
    """Which container each node is."""
    return {
        node: podman("container", "inspect", "--format", "{{.Id}}", name).stdout
        for node, name in NAMES.items()
    }


@contextmanager
def watched(pair: Pair) -> Iterator[list[str]]:
    """What a node that serves says of users whom no node serves, or both do, meanwhile."""
    said: list[str] = []
    looks: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            for client in pair.clients.values():
                try:
                    status = client.status()
                except ClientError:
                    continue
                if State(status["local"]["srm_state"]) in SERVING:
                    looks.append(1)
                    level, line = report(status)
                    if level is Level.CRITICAL:
                        said.append(line)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield said
    finally:
        over.set()
        thread.join()
    assert len(looks) > 20


@pytest.mark.parametrize("version", [NEWER, __version__])
def test_an_upgrade_goes_from_node_to_node_while_users_are_served(pair: Pair, version: str) -> None:
    """`build` and `up` kept the old containers without a word; the second round is a rollback."""
    newer_image()
    if set(versions().values()) == {version}:
        script("upgrade", NEWER if version == __version__ else __version__)
    a = pair.clients["a"]
    if not sum(a.status()["users"]["assigned"].values()):
        a.generate_users(100, "balanced", "user")
    before = a.status()
    with watched(pair) as unserved:
        said = script("upgrade", version).stdout.splitlines()
    assert unserved == []
    assert said == [
        *("node b: failover done", "node b: fallback done", f"node b: srmd {version}"),
        *("node a: failover done", "node a: fallback done", f"node a: srmd {version}"),
    ]
    assert versions() == {"a": version, "b": version}
    pair.reaches(a="Normal / Normal", b="Normal / Normal")
    after = a.status()
    assert after["users"]["assigned"] == before["users"]["assigned"]
    assert after["local"]["incarnation"] == before["local"]["incarnation"] + 1
    assert script("upgrade", version).stdout == (
        f"both nodes are of localhost/srmd:{version} already\n"
    )


def test_a_pair_of_another_image_is_not_kept_in_silence(pair: Pair) -> None:
    newer_image()
    script("upgrade", NEWER)
    before = made()
    done = script("up", check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"deploy/containers: srmd-node-a runs another image than localhost/srmd:{__version__}: "
        "run deploy/containers upgrade\n"
    )
    assert made() == before
    script("upgrade")
    assert versions() == {"a": __version__, "b": __version__}
    script("up")


def test_a_version_without_an_image_is_refused(pair: Pair) -> None:
    before = made()
    done = script("upgrade", "0.0.0", check=False)
    assert done.returncode == 1
    assert "there is no image localhost/srmd:0.0.0: deploy/containers build makes" in done.stderr
    assert made() == before


def test_up_and_down_leave_what_the_guide_says(pair: Pair) -> None:
    """It said that nothing is left: three anonymous volumes were, after three rounds."""

    def there() -> tuple[str, ...]:
        volumes = podman("volume", "ls", "--quiet").stdout
        images = podman("images", "--all", "--quiet", "--no-trunc").stdout
        networks = podman("network", "ls", "--quiet").stdout
        return volumes, images, networks

    script("down", "--volumes")
    before = there()
    for _ in range(2):
        script("up")
        script("down", "--volumes")
        assert there() == before
    assert "srmd" not in before[0]
    script("up")


def test_a_build_leaves_no_image_without_a_name(pair: Pair) -> None:
    """The image that the tag has left goes, and its containers keep theirs until they are anew."""
    newer_image()
    newest = podman("image", "inspect", "--format", "{{.Id}}", f"localhost/srmd:{NEWER}").stdout
    podman("tag", f"localhost/srmd:{__version__}", f"localhost/srmd:{NEWER}")
    assert newest.strip() in podman("images", "--all", "--quiet", "--no-trunc").stdout
    script("upgrade")
    nameless = podman("images", "--filter", "dangling=true", "--quiet").stdout
    assert nameless == ""
    podman("image", "rm", f"localhost/srmd:{NEWER}")


def test_clean_leaves_the_base_and_nothing_of_ours(pair: Pair, tmp_path: Path) -> None:
    def repositories() -> set[str]:
        return set(podman("images", "--all", "--format", "{{.Repository}}").stdout.split())

    kept, before = tmp_path / "images.tar", repositories()
    built = (IMAGE, "localhost/srmd-toxiproxy:latest")
    podman("save", "--quiet", "--multi-image-archive", "--output", str(kept), *built)
    try:
        script("clean")
        assert before - repositories() == {"localhost/srmd", "localhost/srmd-toxiproxy"}
        assert podman("volume", "ls", "--quiet").stdout == ""
        assert podman("ps", "--all", "--quiet").stdout == ""
    finally:
        podman("load", "--quiet", "--input", str(kept))
    script("up")
