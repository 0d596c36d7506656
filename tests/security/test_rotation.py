"""Tokens, keys, certificates and CA of a running pair change by reloads, and no user notices.

An observer asks both nodes all the time for whom they serve; SRM starts once and never again.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest

from srmd.cli import main
from srmd.cli.certificates import Authority
from srmd.cli.exits import Exit
from srmd.client import Client, Unauthorized
from srmd.lab.pair import LabNode, LabPair
from srmd.secret import Secret
from tests.real.conftest import NORMAL, records
from tests.security.certificates import (
    CA,
    CERTIFICATE,
    ENDED_DAYS,
    authority,
    believe,
    encrypt,
    shown_by,
    write,
)

USERS = 20
LOOK_S = 0.05
CISCO = {
    "keep_alive_interval_s": 15.0,
    "keep_alive_timeout_s": 60.0,
    "initialization_keep_alive_timeout_s": 120.0,
}

PATIENT = {"keep_alive_timeout_s": 30.0, "initialization_keep_alive_timeout_s": 60.0}
"""A node may be away for so long that its process starts again meanwhile."""


class Rotated:
    """A pair that speaks TLS and serves its users, and its CA."""

    def __init__(self, pair: LabPair, signer: Authority) -> None:
        self.pair = pair
        self.signer = signer

    def reload(self, node: LabNode, event: str = "config.reloaded") -> dict[str, Any]:
        """SIGHUP, and the one record that follows; that of a command may still be on its way."""

        def of_signals() -> list[dict[str, Any]]:
            return [record for record in records(node, event) if record["by"] == "SIGHUP"]

        before = len(of_signals())
        assert node.pid is not None
        os.kill(node.pid, signal.SIGHUP)
        self.pair.wait_until(f"{node.id} logs {event}", lambda: len(of_signals()) > before)
        return of_signals()[-1]

    def taken(self, node: LabNode) -> list[str]:
        """The keys that a reload of the node takes; it refuses nothing."""
        record = self.reload(node)
        assert record["refused"] == []
        taken: list[str] = record["taken"]
        return taken

    def edit(self, node: LabNode, *changes: tuple[str, str]) -> None:
        text = node.config_file.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        node.config_file.write_text(text)

    def add_key(self, node: LabNode, text: str = "ab" * 32) -> None:
        self.file(node, "k2.key", text)
        self.edit(node, ('k1.file = "k1.key"', 'k1.file = "k1.key"\nk2.file = "k2.key"'))

    def file(self, node: LabNode, name: str, text: str) -> None:
        path = node.folder / name
        path.touch(0o600)
        path.write_text(text)

    def is_whole(self) -> None:
        """Both are Normal, receive each other, and reach each other."""
        self.pair.wait_for(a=NORMAL, b=NORMAL)
        for node in self.pair.nodes:
            self.pair.wait_until(
                f"{node.id} reaches its peer",
                lambda node=node: node.status()["peer"]["control_reachable"] is True,  # type: ignore[misc]
            )


@contextmanager
def started(timers: dict[str, float] | None = None) -> Iterator[Rotated]:
    signer = authority()
    pair = LabPair({"heartbeat": timers} if timers else None)
    encrypt(pair, signer)
    with pair:
        pair.wait_for(a=NORMAL, b=NORMAL)
        pair.a.client.generate_users(USERS, "balanced", "user")
        pair.wait_until("both serve", lambda: pair.served() == {"a": USERS // 2, "b": USERS // 2})
        yield Rotated(pair, signer)
    assert not pair.left_behind


@pytest.fixture(scope="module")
def shared() -> Iterator[Rotated]:
    with started() as rotated:
        yield rotated


@pytest.fixture
def whole(shared: Rotated) -> Rotated:
    """With the files of the start again, whatever the test before did."""
    pair = shared.pair
    encrypt(pair, shared.signer)
    pair.write_configs()
    for node in pair.nodes:
        if node.pid is None:
            node.start()
        shared.reload(node)
    shared.is_whole()
    return shared


class Observer:
    """Asks both nodes again and again for their state and for whom they serve."""

    def __init__(self, pair: LabPair) -> None:
        self._pair = pair
        self._over = threading.Event()
        self.looks = 0
        self.wrong: list[str] = []
        self._thread = threading.Thread(target=self._look_until_over)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look_until_over(self) -> None:
        while not self._over.wait(LOOK_S):
            for node in self._pair.nodes:
                self._look(node)
            self.looks += 1

    def _look(self, node: LabNode) -> None:
        context = ssl._create_unverified_context()  # it looks on while the CA changes
        connection = http.client.HTTPSConnection(node.control, timeout=20, context=context)
        try:
            connection.request("GET", "/api/v1/status")
            status = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        seen = (status["local"]["state"], status["users"]["served"][node.id], status["srm"])
        if seen != ("Normal", USERS // 2, "STARTED"):
            self.wrong.append(f"{node.id}: {seen}")


@pytest.mark.parametrize("timers", [None, CISCO], ids=["fast", "cisco"])
def test_token_key_certificate_and_ca_are_rotated_by_reloads_while_all_users_are_served(
    timers: dict[str, float] | None,
) -> None:
    """Each step is one reload on each node.  A restart of SRM left users unserved for up to 15 s
    with Cisco's timers, six times for a key alone."""
    with started(timers) as rotated:
        pair, old = rotated.pair, rotated.signer
        logged = {
            (node.id, event): len(records(node, event))
            for node in pair.nodes
            for event in ("node.state_changed", "srm.started", "peer.down", "control.call_failed")
        }
        shown = [shown_by(node) for node in pair.nodes]
        with Observer(pair) as observer:
            _rotate_token(rotated)
            _rotate_key(rotated)
            _rotate_certificates(rotated)
        assert observer.looks > 5
        assert observer.wrong == []
        for (name, event), count in logged.items():
            node = pair.a if name == "a" else pair.b
            assert len(records(node, event)) == count, (name, event)
        assert all(shown_by(node) != then for node, then in zip(pair.nodes, shown, strict=True))
        pair.a.client.set_ha(True)  # by the new token, and the new CA
        assert old is not rotated.signer
        rotated.is_whole()


def _rotate_token(rotated: Rotated) -> None:
    """Both tokens are taken until all who command have the new one; then only that is."""
    for node in rotated.pair.nodes:
        kept, url, ca = node.client.token, node.client.url, node.client.ca
        assert kept is not None
        old, new = (Client(url, token, ca=ca) for token in (kept, Secret("the-new-token-of-all")))
        rotated.file(node, "old-token", kept.text())
        rotated.file(node, node.token_file.name, "the-new-token-of-all")
        rotated.edit(node, ("token.file", 'old_token.file = "old-token"\ntoken.file'))
        assert rotated.taken(node) == ["control.token", "control.old_token"]
        for client in (old, new):
            client.set_ha(True)
        rotated.edit(node, ('old_token.file = "old-token"\n', ""))
        assert new.reload()["taken"] == ["control.old_token"]
        with pytest.raises(Unauthorized):
            old.set_ha(True)
        node.client = new


def _rotate_key(rotated: Rotated) -> None:
    """Both know the new key, then both sign with it, then the old one goes."""
    for node in rotated.pair.nodes:
        rotated.add_key(node)
        assert rotated.taken(node) == ["auth.keys.k2"]
    for node in rotated.pair.nodes:
        rotated.edit(node, ('active = "k1"', 'active = "k2"'))
        assert rotated.taken(node) == ["auth.active"]
    for node in rotated.pair.nodes:
        rotated.edit(node, ('k1.file = "k1.key"\n', ""))
        assert rotated.taken(node) == ["auth.keys.k1"]


def _rotate_certificates(rotated: Rotated) -> None:
    """Both believe both CAs, then each shows its new certificate, then the old CA goes."""
    pair, old, new = rotated.pair, rotated.signer, authority()
    both = old.certificate + new.certificate
    for node in pair.nodes:
        rotated.file(node, CA, both)
        assert rotated.taken(node) == ["tls.ca"]
    for node in pair.nodes:
        write(node.folder, new, node.id, ca=both)
        assert rotated.taken(node) == ["tls.certificate", "tls.key"]
        believe(node, new)
        rotated.is_whole()
    for node in pair.nodes:
        rotated.file(node, CA, new.certificate)
        assert rotated.taken(node) == ["tls.ca"]
    rotated.signer = new


# What is not taken.


def test_a_key_by_which_the_peer_signs_is_not_dropped_by_a_reload(whole: Rotated) -> None:
    """The pair would be cut: each heartbeat of the peer would be one of an unknown key."""
    node = whole.pair.a
    whole.add_key(node)
    whole.edit(node, ('active = "k1"', 'active = "k2"'), ('k1.file = "k1.key"\n', ""))
    whole.edit(node, ('level = "info"', 'level = "debug"'))
    record = whole.reload(node)
    assert record["taken"] == ["log.level"], "the rest of the file is taken"
    assert record["level"] == "warning"
    (why,) = record["refused"]
    assert why.startswith("auth.keys.k1: node b signs with it now, so all keys stay as they are")
    whole.is_whole()


def test_a_key_with_another_content_under_its_name_is_not_taken(whole: Rotated) -> None:
    node = whole.pair.a
    kept = (node.folder / "k1.key").read_text()
    try:
        whole.file(node, "k1.key", "cd" * 32)
        (why,) = whole.reload(node)["refused"]
        assert why.startswith("auth.keys.k1: node b signs with it now")
    finally:
        whole.file(node, "k1.key", kept)
    whole.is_whole()


def test_a_node_does_not_sign_with_a_key_that_its_peer_does_not_know(whole: Rotated) -> None:
    node = whole.pair.a
    whole.add_key(node)
    whole.edit(node, ('active = "k1"', 'active = "k2"'))
    (why,) = whole.reload(node)["refused"]
    assert why.startswith("auth.active: node b does not take what key k2 signs (")
    assert "add the key on node b, and reload there first" in why
    whole.is_whole()
    whole.add_key(whole.pair.b)
    assert whole.taken(whole.pair.b) == ["auth.keys.k2"]
    assert whole.taken(node) == ["auth.active", "auth.keys.k2"]
    whole.is_whole()
    whole.edit(node, ('active = "k2"', 'active = "k1"'))
    assert whole.taken(node) == ["auth.active"]


def test_a_file_that_cannot_be_used_changes_nothing(
    whole: Rotated, capfd: pytest.CaptureFixture[str]
) -> None:
    node = whole.pair.a
    good = node.config_file.read_text()
    whole.edit(node, ('level = "info"', 'level = "loud"'), ("[heartbeat]", "[heartbeats]"))
    record = whole.reload(node, "config.kept")
    assert record["by"] == "SIGHUP"
    assert any("log.level: 'loud'" in text for text in record["problems"])
    assert node.config_file.read_text() != good
    whole.is_whole()
    url, ca = node.client.url, str(node.client.ca)
    asked = ["--api", url, "--ca", ca, "--token-file", str(node.token_file)]
    assert main([*asked, "config", "reload"]) == Exit.USAGE
    said = capfd.readouterr().err
    assert "nothing is taken: the configuration cannot be used" in said
    assert "log.level: 'loud'" in said


def test_an_expired_certificate_replaces_no_good_one_in_any_way(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """`srm restart` took it, and no command could repair that any more."""
    with started(PATIENT) as whole:
        _try_an_expired_certificate(whole, capfd)


def _try_an_expired_certificate(whole: Rotated, capfd: pytest.CaptureFixture[str]) -> None:
    pair, node = whole.pair, whole.pair.a
    shown = shown_by(node)
    ended = authority(ENDED_DAYS)
    write(node.folder, ended, node.id, ca=whole.signer.certificate + ended.certificate)
    (why,) = whole.reload(node)["refused"]
    assert why.startswith(f"tls.certificate: {node.folder / CERTIFICATE} has expired (")
    assert "the certificate in use stays" in why
    asked = ["--api", node.client.url, "--ca", str(node.client.ca)]
    asked += ["--token-file", str(node.token_file)]
    assert main([*asked, "config", "reload"]) == Exit.FAILED
    assert "has expired" in capfd.readouterr().err
    assert main([*asked, "srm", "restart"]) == Exit.FAILED
    said = capfd.readouterr().err
    assert "SRM runs, and not as the files say:\n  tls.certificate: " in said
    node.wait_for_answer()
    assert shown_by(node) == shown
    node.client.power("reboot")
    pair.wait_until("it booted", lambda: len(records(node, "node.started")) == 2)
    node.wait_for_answer()
    assert shown_by(node) == shown
    assert [record["by"] for record in records(node, "config.reloaded")[-3:]] == [
        "srmd config reload",
        "srm restart",
        "node reboot",
    ]


def test_a_certificate_of_another_node_changes_nothing(whole: Rotated) -> None:
    node = whole.pair.a
    shown = shown_by(node)
    write(node.folder, whole.signer, "c")
    record = whole.reload(node, "config.kept")
    (problem,) = record["problems"]
    assert "the certificate of srmd://lab/a; this one names srmd://lab/c" in problem
    node.client.srm("restart")
    node.wait_for_answer()
    assert shown_by(node) == shown


def test_a_node_with_an_expired_certificate_starts_says_so_and_is_repaired_by_a_reload(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It protects its users without a control channel; a command names the way that needs no TLS,
    and does not wait: `srm restart` asked 9 times a second for 180 s."""
    with started(PATIENT) as rotated:
        node, ended = rotated.pair.a, authority(ENDED_DAYS)
        node.terminate()
        both = rotated.signer.certificate + ended.certificate
        write(node.folder, ended, node.id, ca=both)
        node.spawn()
        rotated.pair.wait_until("it starts", lambda: len(records(node, "node.started")) == 2)
        expired = [each for each in records(node, "tls.expires") if each["days_left"] < 0]
        assert expired
        assert {each["level"] for each in expired} == {"error"}
        asked = ["--config", str(node.config_file)]
        capfd.readouterr()
        for command in (["status"], ["srm", "restart"], ["config", "reload"]):
            assert main([*asked, *command]) == Exit.UNREACHABLE
            said = capfd.readouterr().err
            assert "its certificate has expired" in said
            assert "SIGHUP" in said
            assert "--ca" not in said
        write(node.folder, rotated.signer, node.id)
        assert set(rotated.taken(node)) == {"tls.certificate", "tls.key", "tls.ca"}
        assert main([*asked, "srm", "restart"]) == Exit.OK
        rotated.is_whole()


# What else is taken.


def test_a_reload_changes_the_level_of_the_log(whole: Rotated) -> None:
    node = whole.pair.a
    whole.edit(node, ('level = "info"', 'level = "error"'))
    before = len(records(node, "signal.received"))
    assert node.pid is not None
    assert node.client.reload()["taken"] == ["log.level"]
    os.kill(node.pid, signal.SIGHUP)  # neither it nor the reload is an error
    assert node.client.reload()["taken"] == []
    whole.edit(node, ('level = "error"', 'level = "info"'))
    assert node.client.reload()["taken"] == ["log.level"]
    assert whole.taken(node) == []
    assert len(records(node, "signal.received")) == before + 1


def test_a_reload_names_what_each_other_change_needs(
    whole: Rotated, capfd: pytest.CaptureFixture[str]
) -> None:
    node = whole.pair.a
    whole.edit(
        node,
        ("keep_alive_timeout_s = 0.95", "keep_alive_timeout_s = 0.96"),
        ("health_interval_s = 0.2", "health_interval_s = 0.25"),
        ('format = "json"', 'format = "auto"'),
    )
    assert main(["--config", str(node.config_file), "config", "reload"]) == Exit.OK
    assert capfd.readouterr().out.splitlines() == [
        "nothing has changed that a reload takes",
        "not used yet: heartbeat.keep_alive_timeout_s needs srmd srm restart",
        "not used yet: services.health_interval_s needs srmd node reboot",
        "not used yet: log.format needs a restart of srmd run",
    ]
