"""`srmd init`: what it writes is a pair that runs, and what is in the way stays as it is."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from srmd import tls
from srmd.cli import Exit, init, main
from srmd.client import Client, ClientError
from srmd.config import DEMO_KEY, DEMO_TOKEN, Config, load
from srmd.core.states import Reason, State
from srmd.shown import pair_of

Capture = pytest.CaptureFixture[str]

LIMIT_S = 40.0
"""How long a pair with fast timers may need to reach Normal, on a busy machine."""
POLL_S = 0.05
NORMAL = (State.NORMAL, Reason.NORMAL)
FOREIGN = ("laptop", "loopback", "LAPTOP", "one machine")
"""Words of the examples that would be wrong in the files of two hosts."""


def made(folder: Path, *words: str, names: tuple[str, str] = ("a", "b")) -> tuple[Config, Config]:
    """What a new pair is configured to."""
    assert main(["init", str(folder), *words]) == Exit.OK
    a, b = (load(folder / f"node-{name}" / "node.toml", env={}).config for name in names)
    return a, b


def fits(a: Config, b: Config) -> None:
    """The two are nodes of one pair with secrets of their own."""
    assert (a.node.id, a.peer.id) == (b.peer.id, b.node.id)
    assert (a.group, a.auth, a.control.token) == (b.group, b.auth, b.control.token)
    assert (a.services, a.users, a.limits, a.relogin) == (b.services, b.users, b.limits, b.relogin)
    assert a.auth.keys["k1"] != DEMO_KEY
    assert a.control.token not in (None, DEMO_TOKEN)
    assert a.node.state_dir != b.node.state_dir


def test_a_pair_for_two_hosts_listens_and_sends_at_their_addresses(tmp_path: Path) -> None:
    a, b = made(tmp_path / "pair", "--addresses", "192.0.2.11", "192.0.2.12")
    fits(a, b)
    assert (str(a.heartbeat.listen), str(a.control.listen)) == (
        "192.0.2.11:22001",
        "192.0.2.11:20075",
    )
    assert (str(a.peer.heartbeat), a.peer.control) == (
        "192.0.2.12:22001",
        "http://192.0.2.12:20075",
    )
    assert (b.peer.heartbeat, b.peer.control) == (a.heartbeat.listen, "http://192.0.2.11:20075")
    assert a.node.state_dir == tmp_path / "pair" / "node-a" / "state"


def test_without_addresses_both_are_on_this_machine_with_ports_of_their_own(
    tmp_path: Path,
) -> None:
    a, b = made(tmp_path)
    fits(a, b)
    assert str(b.heartbeat.listen) == str(a.peer.heartbeat) == "127.0.0.1:22002"
    assert str(b.control.listen) == "127.0.0.1:20076"
    assert a.peer.control == "http://127.0.0.1:20076"


def test_ports_are_those_asked_for(tmp_path: Path, capsys: Capture) -> None:
    a, b = made(tmp_path / "here", "--ports", "7001", "7002")
    fits(a, b)
    assert (a.heartbeat.listen.port, a.control.listen.port) == (7001, 7002)
    assert (b.heartbeat.listen.port, b.control.listen.port) == (7002, 7003)
    hosts = ("--addresses", "192.0.2.1", "192.0.2.2")
    a, b = made(tmp_path / "there", "--ports", "7001", "7002", *hosts)
    assert (a.control.listen.port, b.control.listen.port) == (7002, 7002)
    assert a.peer.control == "http://192.0.2.2:7002"
    for words in (("--ports", "0", "1"), ("--ports", "1", "65535"), ("--ports", "x", "1")):
        assert main(["init", str(tmp_path / "no"), *words]) == Exit.USAGE
    for others in (("--ports", "1", "2"), hosts):
        assert main(["init", str(tmp_path / "no"), "--free-ports", *others]) == Exit.USAGE
    assert "--free-ports: only for a pair on this machine" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_ports_in_use_are_warned_of_and_free_ones_found(tmp_path: Path, capsys: Capture) -> None:
    """The commands of README acted on whoever listened on 20075."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        made(tmp_path / "taken", "--ports", "7001", str(taken))
        warning = capsys.readouterr().err
        assert f"127.0.0.1:{taken} is in use now" in warning
        assert "--free-ports" in warning
    a, b = made(tmp_path / "free", "--free-ports")
    fits(a, b)
    ports = {each.listen.port for node in (a, b) for each in (node.heartbeat, node.control)}
    assert len(ports) == 4
    assert capsys.readouterr().err == ""


def test_paths_are_printed_as_a_shell_takes_them(tmp_path: Path, capsys: Capture) -> None:
    made(tmp_path / "sp ace", "--free-ports")
    printed = capsys.readouterr().out
    file = tmp_path / "sp ace" / "node-a" / "node.toml"
    assert f"srmd config check '{file}'" in printed
    assert f"srmd run --config '{file}' &" in printed
    made(tmp_path / "sp ace too", "--tls", "--addresses", "192.0.2.1", "192.0.2.2")
    printed = capsys.readouterr().out
    assert f"keep '{tmp_path / 'sp ace too' / 'ca'}' off" in printed
    assert f"scp -rp '{tmp_path / 'sp ace too' / 'node-a'}' 192.0.2.1:" in printed


def test_a_node_that_is_known_by_a_name_listens_on_all_addresses(tmp_path: Path) -> None:
    a, b = made(tmp_path, "--addresses", "one.example", "two.example")
    fits(a, b)
    assert str(a.heartbeat.listen) == "[::]:22001"
    assert str(b.control.listen) == "[::]:20075"
    assert a.peer.control == "http://two.example:20075"
    assert (a.control.allowed_hosts, b.control.allowed_hosts) == (
        ("one.example",),
        ("two.example",),
    )


def test_ipv6_addresses_are_taken_with_and_without_brackets(tmp_path: Path) -> None:
    a, b = made(tmp_path, "--addresses", "2001:db8::1", "[2001:db8::2]")
    fits(a, b)
    assert str(a.heartbeat.listen) == "[2001:db8::1]:22001"
    assert a.peer.control == "http://[2001:db8::2]:20075"


def test_names_group_state_and_timers_are_those_asked_for(tmp_path: Path) -> None:
    words = ["--names", "imp1", "imp2", "--group", "west", "--timers", "fast"]
    a, b = made(tmp_path, *words, "--state-dir", "s of #1", names=("imp1", "imp2"))
    fits(a, b)
    assert (a.node.id, b.node.id, a.group.name) == ("imp1", "imp2", "west")
    assert a.node.state_dir == tmp_path / "node-imp1" / "s of #1"
    assert a.heartbeat.keep_alive_timeout_s < 1


def test_hosts_of_their_own_may_keep_their_state_at_the_same_place(tmp_path: Path) -> None:
    words = ("--addresses", "192.0.2.1", "192.0.2.2", "--state-dir", "/var/lib/srmd")
    a, b = made(tmp_path, *words)
    assert a.node.state_dir == b.node.state_dir == Path("/var/lib/srmd")


def test_the_timers_are_ciscos_unless_asked_otherwise(tmp_path: Path) -> None:
    a, _ = made(tmp_path)
    assert (a.heartbeat.keep_alive_interval_s, a.heartbeat.keep_alive_timeout_s) == (15, 60)
    assert a.services.critical_service_delay_s == 90


@pytest.mark.parametrize("timers", ["cisco", "fast"])
def test_the_comments_are_those_of_the_examples_and_true_for_two_hosts(
    tmp_path: Path, timers: str
) -> None:
    made(tmp_path, "--timers", timers, "--addresses", "192.0.2.1", "192.0.2.2")
    text = (tmp_path / "node-b" / "node.toml").read_text(encoding="utf-8")
    assert text.startswith("# Node b of a pair with a, made by `srmd init`.\n")
    assert "# silence in operation before take-over" in text
    assert [word for word in FOREIGN if word in text] == []


def test_each_pair_has_secrets_of_its_own_that_only_the_owner_reads(tmp_path: Path) -> None:
    one, _ = made(tmp_path / "one")
    other, _ = made(tmp_path / "other")
    assert one.auth.keys != other.auth.keys
    assert one.control.token != other.control.token
    for path in (tmp_path / "one").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert load(tmp_path / "one" / "node-a" / "node.toml").warnings[1:] == ()  # of Cisco's 60 s


def test_with_tls_each_node_has_a_certificate_and_the_ca_is_kept_apart(
    tmp_path: Path, capsys: Capture
) -> None:
    words = ("--tls", "--tls-days", "9", "--group", "g", "--addresses", "192.0.2.11", "host-b")
    a, b = made(tmp_path, *words)
    assert a.peer.control == "https://host-b:20075"
    assert f"keep {tmp_path}/ca off both hosts" in capsys.readouterr().out
    for config in (a, b):
        assert config.tls.files is not None
        certificate = tls.read(*config.tls.files).certificate
        assert certificate.names == (f"srmd://g/{config.node.id}",)
        assert ("host-b" in certificate.hosts) == (config is b)
        assert abs(certificate.not_after_s - time.time() - 9 * tls.DAY_S) < tls.DAY_S
    assert {path.name for path in (tmp_path / "ca").iterdir()} == {"ca.crt", "ca.key"}
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_certificates_are_made_again_by_the_same_ca(tmp_path: Path) -> None:
    first, _ = made(tmp_path / "pair", "--tls")
    again, _ = made(tmp_path / "again", "--tls", "--tls-ca", str(tmp_path / "pair" / "ca"))
    assert first.tls.files is not None
    assert again.tls.files is not None
    assert first.tls.files[0].read_text() != again.tls.files[0].read_text()
    assert first.tls.files[2].read_text() == again.tls.files[2].read_text()
    tls.read(again.tls.files[0], again.tls.files[1], first.tls.files[2])
    assert not (tmp_path / "again" / "ca").exists()


@pytest.mark.parametrize(
    "file, text, told",
    [
        ("ca.key", None, "ca.key: No such file or directory"),
        ("ca.crt", "no PEM", "a certificate and its key, as srmd init --tls writes them"),
        ("ca.key", "of another", "ca.key: not the key of "),
    ],
)
def test_a_ca_that_cannot_sign_is_refused(
    tmp_path: Path, capsys: Capture, file: str, text: str | None, told: str
) -> None:
    made(tmp_path / "pair", "--tls")
    made(tmp_path / "other", "--tls")
    ca = tmp_path / "pair" / "ca"
    (ca / file).unlink()
    if text is not None:
        other = (tmp_path / "other" / "ca" / file).read_text()
        (ca / file).write_text(other if text == "of another" else text)
    words = ["init", str(tmp_path / "again"), "--tls", "--tls-ca", str(ca)]
    assert main(words) == Exit.USAGE
    assert told in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_without_the_library_for_certificates_it_is_said_how_to_get_it(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "srmd.cli.certificates", None)
    assert main(["init", str(tmp_path / "pair"), "--tls"]) == Exit.FAILED
    assert "pip install 'srmd[tls]'" in capsys.readouterr().err
    assert not (tmp_path / "pair").exists()


def test_no_secret_is_printed(tmp_path: Path, capsys: Capture) -> None:
    made(tmp_path)
    told = capsys.readouterr().out
    for name in ("k1.key", "token"):
        assert (tmp_path / "node-a" / name).read_text().strip() not in told
    assert f"srmd config check {tmp_path}/node-a/node.toml" in told


def test_what_exists_is_not_overwritten_and_nothing_is_half_done(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "node-b").symlink_to("nowhere")
    assert main(["init", str(tmp_path)]) == Exit.REFUSED
    told = capsys.readouterr().err
    assert f"{tmp_path}/node-b: exists" in told
    assert "name another DIR" in told
    assert [path.name for path in tmp_path.iterdir()] == ["node-b"]


def test_a_write_that_fails_takes_back_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    write = init._write_secret
    written: list[Path] = []

    def full(path: Path, text: str) -> None:
        if len(written) == 4:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        write(path, text)

    monkeypatch.setattr(init, "_write_secret", full)
    assert main(["init", str(tmp_path)]) == Exit.FAILED
    assert "No space left on device; nothing was written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words, told",
    [
        (["--names", "a", "a"], "--names: a twice"),
        (["--names", "a", "b c"], "--names: 'b c': 1-63 letters"),
        (["--names", "a", "../b"], "--names: '../b': 1-63 letters"),
        (["--group", ""], "--group: '': 1-63 letters"),
        (["--addresses", "host:80", "other"], "--addresses: host:80: a name or an IP address"),
        (["--addresses", "0.0.0.0", "192.0.2.1"], "one that the other node can send to"),
        (["--addresses", "127.0.0.1", "192.0.2.1"], "--addresses: 127.0.0.1: no other host"),
        (["--addresses", "192.0.2.1", "localhost"], "--addresses: localhost: no other host"),
        (["--state-dir", ""], "--state-dir: '': the name of a folder"),
        (["--state-dir", "/var/lib/srmd"], "--state-dir: /var/lib/srmd: both nodes are on one"),
        (["--tls-ca", "x"], "--tls-ca: x: only with --tls"),
        (["--tls", "--tls-days", "0"], "--tls-days: 0: days from 1 to 3650"),
        (["--tls", "--tls-days", "soon"], "--tls-days: soon: days from 1 to 3650"),
        (["--timers", "slow"], "timers: slow: one of cisco, fast"),
    ],
)
def test_a_pair_that_could_not_run_is_not_written(
    words: list[str], told: str, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["init", str(tmp_path / "pair"), *words]) == Exit.USAGE
    assert told in capsys.readouterr().err
    assert not (tmp_path / "pair").exists()


@contextmanager
def running(*files: Path) -> Iterator[None]:
    """`srmd run` for each file; ended in order, or killed."""
    nodes = []
    try:
        for file in files:
            with (file.parent / "log").open("wb") as log:
                words = [sys.executable, "-m", "srmd", "run", "--config", str(file)]
                nodes.append(subprocess.Popen(words, stdout=log, stderr=log))
        yield
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            try:
                node.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                node.kill()
                node.wait()


@pytest.mark.parametrize("words", [[], ["--tls"]], ids=["plain", "tls"])
def test_a_pair_started_from_new_files_becomes_normal(tmp_path: Path, words: list[str]) -> None:
    # Addresses of this process alone, so that the well-known ports are free.
    net = f"127.{1 + (id(tmp_path) >> 4) % 250}.{1 + time.monotonic_ns() % 250}"
    a, _ = made(tmp_path, "--timers", "fast", "--addresses", f"{net}.1", f"{net}.2", *words)
    scheme, ca = ("https", str(a.tls.ca)) if words else ("http", None)
    client = Client(f"{scheme}://{a.control.listen}", a.control.token, ca=ca)
    shown: object = None
    with running(*(tmp_path / f"node-{name}" / "node.toml" for name in "ab")):
        give_up_s = time.monotonic() + LIMIT_S
        while shown != (NORMAL, NORMAL) and time.monotonic() < give_up_s:
            time.sleep(POLL_S)
            try:
                shown = tuple((half.state, half.reason) for half in pair_of(client.status()))
            except ClientError as failed:
                shown = failed
        assert shown == (NORMAL, NORMAL), (tmp_path / "node-a" / "log").read_text()[-2000:]
        # The token is good for both nodes, the way the next steps tell it.
        for name in "ab":
            file = str(tmp_path / f"node-{name}" / "node.toml")
            assert main(["users", "topology", "--config", file]) == Exit.OK
            assert main(["fault", "clear", "moves", "--config", file]) == Exit.OK
