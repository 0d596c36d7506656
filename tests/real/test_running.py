"""`srmd config check --running`: the files, and what the node uses that runs."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from srmd.cli import main
from srmd.cli.exits import Exit
from srmd.config.running import RUNNING_FILE
from srmd.lab.pair import LabNode, LabPair
from tests.real.conftest import records
from tests.security.certificates import authority, encrypt, write


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[LabPair, str]]:
    """One node that speaks TLS; nobody needs its peer."""
    pair = LabPair()
    encrypt(pair, authority())
    pair.write_configs()
    pair.a.start()
    yield pair, pair.a.config_file.read_text()
    pair.close()
    assert not pair.left_behind


@pytest.fixture
def node(shared: tuple[LabPair, str]) -> Iterator[LabNode]:
    pair, text = shared
    kept = {file: file.read_bytes() for file in pair.a.folder.glob("*") if file.is_file()}
    yield pair.a
    for file, content in kept.items():
        if file != pair.a.log_file:
            file.write_bytes(content)
    assert pair.a.config_file.read_text() == text


def said(node: LabNode, capfd: pytest.CaptureFixture[str], *, code: int = Exit.FAILED) -> list[str]:
    """What the check says on standard output, or else on standard error."""
    capfd.readouterr()
    assert main(["config", "check", "--running", str(node.config_file)]) == code
    printed = capfd.readouterr()
    return (printed.out or printed.err).splitlines()


def edit(node: LabNode, old: str, new: str) -> None:
    text = node.config_file.read_text()
    assert old in text
    node.config_file.write_text(text.replace(old, new))


def test_a_node_that_uses_its_files_is_told_so(
    node: LabNode, capfd: pytest.CaptureFixture[str]
) -> None:
    assert said(node, capfd, code=Exit.OK) == [
        f"the node uses what {node.config_file} and its files hold"
    ]


def test_each_difference_is_a_line_with_what_it_needs(
    node: LabNode, capfd: pytest.CaptureFixture[str]
) -> None:
    """A rotation that did nothing was told as done; the check needs no token that still holds."""
    edit(node, 'level = "info"', 'level = "error"')
    edit(node, "keep_alive_timeout_s = 0.95", "keep_alive_timeout_s = 0.96")
    edit(node, "start_limit_s = 5.0", "start_limit_s = 6.0")
    edit(node, 'format = "json"', 'format = "auto"')
    node.token_file.write_text("another-token-of-this-test")
    (node.folder / "k1.key").write_text("ab" * 32)
    certificate = write(node.folder, authority(), node.id)[0]
    assert said(node, capfd) == [
        "heartbeat.keep_alive_timeout_s: 0.96 in the file, 0.95 runs; needs srmd srm restart",
        "control.token: its value is not what the node uses; needs srmd config reload",
        "auth.keys.k1: its value is not what the node uses; needs srmd config reload",
        f"tls.certificate: what {certificate} holds is not what the node uses; needs srmd config "
        "reload",
        f"tls.key: what {certificate.with_name('tls.key')} holds is not what the node uses; needs "
        "srmd config reload",
        f"tls.ca: what {certificate.with_name('ca.crt')} holds is not what the node uses; needs "
        "srmd config reload",
        "services.start_limit_s: 6 in the file, 5 runs; needs srmd node reboot",
        "log.level: error in the file, info runs; needs srmd config reload",
        "log.format: auto in the file, json runs; needs a restart of srmd run",
    ]
    assert main(["config", "check", "--running", "--json", str(node.config_file)]) == Exit.FAILED
    told = json.loads(capfd.readouterr().out)["differences"]
    assert {one["key"]: one["needs"] for one in told}["control.token"] == "srmd config reload"
    assert {one["key"]: one["file"] for one in told}["control.token"] == "(hidden)"


def test_what_a_reload_has_taken_is_no_difference_any_more(
    node: LabNode, shared: tuple[LabPair, str], capfd: pytest.CaptureFixture[str]
) -> None:
    pair, _ = shared
    kept = node.token_file.read_text()
    for token in ("another-token-of-this-test", kept):
        node.token_file.write_text(token)
        assert len(said(node, capfd)) == 1
        before = len(records(node, "config.reloaded"))
        assert node.pid is not None
        os.kill(node.pid, signal.SIGHUP)
        pair.wait_until(
            "it is taken",
            lambda before=before: len(records(node, "config.reloaded")) > before,  # type: ignore[misc]
        )
        said(node, capfd, code=Exit.OK)


def test_no_secret_can_be_read_from_what_the_node_writes(node: LabNode) -> None:
    file = node.folder / "state" / RUNNING_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert node.token_file.read_text() not in text
    assert (node.folder / "k1.key").read_text() not in text


def test_another_version_and_a_damaged_file_are_told(
    node: LabNode, capfd: pytest.CaptureFixture[str]
) -> None:
    file = node.folder / "state" / RUNNING_FILE
    good = file.read_text()
    try:
        file.write_text(json.dumps({**json.loads(good), "version": "0.0.9"}))
        (line,) = said(node, capfd)
        assert line.startswith("srmd: version ")
        assert line.endswith(", version 0.0.9 runs; needs a restart of srmd run")
        file.write_text(json.dumps({**json.loads(good), "format": 2, "version": "9.9"}))
        assert "written by version 9.9 of srmd" in said(node, capfd, code=Exit.USAGE)[0]
        for damage in ("", "[]", "{}", good[:-9], json.dumps({**json.loads(good), "shown": 7})):
            file.write_text(damage)
            assert "it is damaged" in said(node, capfd, code=Exit.USAGE)[0]
        file.unlink()
        os.mkfifo(file)  # the folder is the node's user's, and root waited for it
        assert "it is no plain file" in said(node, capfd, code=Exit.USAGE)[0]
    finally:
        file.unlink()
        file.touch(0o600)
        file.write_text(good)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user who may not read the folder")
def test_a_user_who_may_not_read_the_folder_is_told_who_may(node: LabNode, tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    program = (
        "import sys; from pathlib import Path; from srmd.config import running; import os;"
        f" os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid})\n"
        "try:\n    running.read(Path(sys.argv[1]))\n"
        "except running.NotKnown as error:\n    print(error)"
    )
    state = node.folder / "state"
    ran = subprocess.run(
        [sys.executable, "-c", program, str(state)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == (
        f"{state / RUNNING_FILE}: Permission denied; run this as root, or as the user who runs "
        "the node\n"
    )


def test_a_node_that_does_not_run_is_told_so(capfd: pytest.CaptureFixture[str]) -> None:
    pair = LabPair()
    try:
        pair.write_configs()
        node = pair.a
        assert "no node runs with node.state_dir" in said(node, capfd, code=Exit.UNREACHABLE)[0]
        node.start()
        said(node, capfd, code=Exit.OK)
        node.kill()
        assert "its process has ended" in said(node, capfd, code=Exit.UNREACHABLE)[0]
        node.start()
        node.terminate()
        assert not (node.folder / "state" / RUNNING_FILE).exists()
    finally:
        pair.close()


def test_a_command_that_had_old_copies_read_does_not_succeed(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`srm restart` printed that it was done, with exit code 0, and used the leaked token on."""
    pair = LabPair()
    try:
        pair.write_configs()
        node, copies = pair.a, tmp_path / "copies"
        asked = ["--config", str(node.config_file)]
        copy = ["config", "copy", str(node.config_file), "--to", str(copies)]
        assert main(copy) == Exit.OK
        node.arguments = ("--copies", str(copies))
        node.start()
        said(node, capfd, code=Exit.OK)
        assert main([*asked, "config", "reload"]) == Exit.OK
        assert f"from the copies in {copies}" in capfd.readouterr().err
        edit(node, 'level = "info"', 'level = "warning"')
        for command in (["config", "reload"], ["srm", "restart", "--no-wait"]):
            assert main([*asked, *command]) == Exit.FAILED
            told = capfd.readouterr().err
            assert f"the node has read old copies in {copies}, which lack log.level of" in told
            assert "systemctl reload srmd.service" in told
        assert main(copy) == Exit.OK
        assert said(node, capfd) == [
            "log.level: warning in the file, info runs; needs srmd config reload"
        ]
        for command in (["config", "reload"], ["srm", "restart", "--no-wait"]):
            assert main([*asked, *command]) == Exit.OK
        said(node, capfd, code=Exit.OK)
    finally:
        pair.close()
    assert not pair.left_behind
