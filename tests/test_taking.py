"""What is taken of a configuration that is read again while the node runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from srmd.config import Address, Config, LogLevel, rows
from srmd.config.taking import Needs, in_words, needs, take
from srmd.secret import Secret
from srmd.wire.keys import AuthMode
from tests.daemon.nodes import config_of

OTHER = Secret(b"another key of sixteen bytes")
TOKEN = Secret("a-token-of-sixteen-characters")


@pytest.fixture
def running(tmp_path: Path) -> Config:
    return config_of("a", tmp_path)


def test_each_key_of_a_configuration_needs_something(running: Config) -> None:
    of_a_reload = [key for key, _ in rows(running) if needs(key) is Needs.RELOAD]
    assert of_a_reload == [
        "control.token",
        "control.old_token",
        "control.allowed_hosts",
        "auth.active",
        "auth.keys.k",
        "tls.certificate",
        "tls.key",
        "tls.ca",
        "log.level",
    ]


def test_a_reload_takes_its_keys_and_names_what_the_others_need(running: Config) -> None:
    fresh = replace(
        running,
        auth=replace(running.auth, keys={**running.auth.keys, "k2": OTHER}),
        control=replace(running.control, token=TOKEN, call_timeout_s=9.0),
        group=replace(running.group, automatic_fallback=True),
        log=replace(running.log, level=LogLevel.ERROR, journal_bytes=200_000, file=None),
    )
    taken = take(running, fresh, Needs.RELOAD, {})
    assert taken.changed == ("control.token", "auth.keys.k2", "log.level")
    assert taken.refused == ()
    assert in_words(taken.left) == (
        "group.automatic_fallback needs srmd srm restart; control.call_timeout_s, "
        "log.journal_bytes needs srmd node reboot; log.file needs a restart of srmd run"
    )
    assert taken.config.control == replace(running.control, token=TOKEN)
    assert taken.config.log == replace(running.log, level=LogLevel.ERROR)
    more = take(running, fresh, Needs.SRM, {})
    assert more.config.group.automatic_fallback
    assert [needed for _, needed in more.left] == [Needs.NODE, Needs.PROCESS, Needs.NODE]
    all_but_one = take(running, fresh, Needs.NODE, {})
    assert all_but_one.left == (("log.file", Needs.PROCESS),)


def test_keys_are_taken_with_their_mode_or_not_at_all(running: Config) -> None:
    """Without a key that the mode needs, a node could not sign."""
    fresh = replace(running, auth=replace(running.auth, mode=AuthMode.OFF, keys={}, active=""))
    taken = take(running, fresh, Needs.RELOAD, {})
    assert taken.config == running
    assert taken.refused == (
        "auth.mode: off in place of require needs srmd srm restart; keys and mode are taken "
        "together",
    )
    assert take(running, fresh, Needs.SRM, {}).config.auth == fresh.auth


def test_tls_begins_and_ends_with_a_boot(running: Config, tmp_path: Path) -> None:
    files = {key: tmp_path / key for key in ("certificate", "key", "ca")}
    fresh = replace(running, tls=replace(running.tls, **files))
    for by in (Needs.RELOAD, Needs.SRM):
        taken = take(running, fresh, by, {})
        assert taken.config.tls == running.tls
        assert taken.refused == ("tls: TLS begins and ends when the node starts: srmd node reboot",)
    assert take(running, fresh, Needs.NODE, {}).config.tls == fresh.tls


def test_a_node_that_others_reach_does_not_lose_its_token(running: Config) -> None:
    """The file listens on this machine only, which a reload does not take."""
    control = replace(running.control, token=TOKEN, listen=Address("0.0.0.0", 20075))
    reached = replace(running, control=control)
    taken = take(reached, running, Needs.RELOAD, {})
    assert taken.config == reached
    (why,) = taken.refused
    assert why.startswith("control.token: none, while others reach 0.0.0.0:20075; give one, or")


def test_nothing_is_taken_from_the_file_of_another_node(running: Config) -> None:
    fresh = replace(
        running, node=replace(running.node, id="c"), auth=replace(running.auth, keys={})
    )
    for by in Needs:
        taken = take(running, fresh, by, {})
        assert taken.config == running
        assert taken.refused == (
            "node.id: the file is that of node c, and this is node a; nothing is taken from it",
        )
