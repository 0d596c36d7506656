"""A configuration is read as a whole: frozen values, or everything that is wrong with it."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srmd.config import (
    DEMO_KEY,
    DEMO_TOKEN,
    Address,
    Config,
    ConfigError,
    GroupConfig,
    HeartbeatConfig,
    Loaded,
    load,
    machine,
    plain,
    rows,
    shipped,
)
from srmd.core.states import SplitBrain
from srmd.secret import Secret
from srmd.wire.keys import AuthMode

KEY = "00112233445566778899aabbccddeeff"
TOKEN = "a-token-of-the-tests"

SMALLEST = {
    "node.id": '"a"',
    "node.state_dir": '"state"',
    "group.name": '"g"',
    "peer.id": '"b"',
    "peer.heartbeat": '"127.0.0.1:22002"',
    "peer.control": '"http://127.0.0.1:20076"',
    "auth.keys.k1": f'"{KEY}"',
}
"""The shortest file that is complete: dotted keys and their TOML."""


def write(folder: Path, changes: Mapping[str, str | None] | None = None) -> Path:
    """The smallest file with some keys set otherwise; None leaves a key out."""
    keys = {**SMALLEST, **(changes or {})}
    file = folder / "node.toml"
    lines = [f"{key} = {value}" for key, value in keys.items() if value is not None]
    file.touch(0o600)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def read(folder: Path, changes: Mapping[str, str | None] | None = None) -> Loaded:
    return load(write(folder, changes), env={"SRMD_TOKEN": TOKEN, "EMPTY": ""})


def complaints(folder: Path, changes: Mapping[str, str | None]) -> list[tuple[str, str, str]]:
    """The problems of a file that must be refused, as (key, value, what would be right)."""
    with pytest.raises(ConfigError) as refused:
        read(folder, changes)
    return [(problem.key, problem.value, problem.right) for problem in refused.value.problems]


# What is good.


def test_the_shortest_file_has_ciscos_defaults(tmp_path: Path) -> None:
    config = read(tmp_path).config
    assert config.heartbeat == HeartbeatConfig(
        listen=Address("127.0.0.1", 22001),
        keep_alive_interval_s=15.0,
        keep_alive_timeout_s=60.0,
        initialization_keep_alive_timeout_s=120.0,
        protocol_version=1,
    )
    assert config.group == GroupConfig(
        name="g",
        ha_enabled=True,
        split_brain=SplitBrain.FAIL,
        automatic_fallback=False,
        automatic_fallback_wait_s=1800.0,
    )
    assert config.control.listen == Address("127.0.0.1", 20075)
    assert config.services.critical_service_delay_s == 90.0
    assert (config.relogin.lower_limit_s, config.relogin.upper_limit_s) == (120, 537)
    assert [service.name for service in config.services.service if service.enabled] == [
        "A Cisco DB",
        "Cisco XCP Router",
        "Cisco Presence Engine",
        "Cisco SIP Proxy",
    ]
    assert len(config.services.service) == 8


def test_paths_are_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    config = read(tmp_path, {"node.state_dir": '"../s/a"', "log.file": '"a.log"'}).config
    assert config.node.state_dir == tmp_path.parent / "s" / "a"
    assert config.log.file == tmp_path / "a.log"


def test_the_only_key_is_the_active_one(tmp_path: Path) -> None:
    auth = read(tmp_path).config.auth
    assert auth.active == "k1"
    assert auth.keyring().digest(b"x", key_id="k1")


def test_a_service_list_replaces_ciscos(tmp_path: Path) -> None:
    service = '[{ name = "Router", command = ["router", "-f"] }, { name = "X", enabled = false }]'
    router, x = read(tmp_path, {"services.service": service}).config.services.service
    assert (router.name, router.command, router.enabled, router.critical) == (
        "Router",
        ("router", "-f"),
        True,
        True,
    )
    assert (x.command, x.enabled) == ((), False)


@pytest.mark.parametrize("folder", ["", "cisco-defaults"])
def test_the_shipped_files_form_a_pair(folder: str) -> None:
    a, b = (load(shipped() / folder / f"node-{name}.toml", env={}).config for name in "ab")
    assert (a.node.id, a.peer.id) == (b.peer.id, b.node.id) == ("a", "b")
    assert a.peer.heartbeat == b.heartbeat.listen
    assert b.peer.heartbeat == a.heartbeat.listen
    assert a.peer.control == f"http://{b.control.listen}"
    assert b.peer.control == f"http://{a.control.listen}"
    assert a.node.state_dir != b.node.state_dir
    assert (a.group, a.auth, a.relogin) == (b.group, b.auth, b.relogin)
    assert a.control.token == b.control.token == DEMO_TOKEN
    assert a.auth.keys["k1"] == DEMO_KEY
    assert (a.services, a.users, a.limits) == (b.services, b.users, b.limits)


def test_the_laptop_files_have_no_warning() -> None:
    assert (
        load(shipped() / "node-a.toml").warnings == load(shipped() / "node-b.toml").warnings == ()
    )


def test_the_cisco_files_differ_from_the_defaults_only_where_they_must(tmp_path: Path) -> None:
    shown = dict(rows(load(shipped() / "cisco-defaults" / "node-a.toml").config))
    default = dict(rows(read(tmp_path).config))
    assert {key for key in default if shown[key] != default[key]} == {
        "node.state_dir",
        "group.name",
        "control.token",
    }


def test_the_shipped_files_show_every_key() -> None:
    written = tomllib.loads((shipped() / "node-a.toml").read_text(encoding="utf-8"))
    shown = plain(load(shipped() / "node-a.toml").config)
    assert isinstance(shown, dict)
    known = {f"{section}.{key}" for section, keys in shown.items() for key in keys}
    assert known - {f"{section}.{key}" for section, keys in written.items() for key in keys} == {
        "services.service",  # a comment shows how
    }


# What is wrong.


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        """\
[node]
id = "a b"

[peer]
id = "b"
heartbeat = "localhost"
control = "http://127.0.0.1:20076"

[heartbeat]
keep_alive_intervall_s = 15   # one l too many
keep_alive_timeout_s = "60"

[auth.keys]
k1 = "00112233445566778899aabbccddeeff"

[[services.service]]
name = "one"
[[services.service]]
name = "one"
""",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as refused:
        load(file, env={})
    assert str(refused.value).splitlines() == [
        f"{file}: 7 problems",
        "  line 1: node.state_dir: (missing): a folder for this node alone",
        "  line 2: node.id: 'a b': 1-63 letters, digits, '.', '_' or '-', a letter or digit first",
        "  line 6: peer.heartbeat: 'localhost': an address \"host:port\", port 1-65535, "
        'such as "127.0.0.1:22001"',
        "  line 10: heartbeat.keep_alive_intervall_s: 15: no such key; did you mean "
        "keep_alive_interval_s? (one of listen, keep_alive_interval_s, keep_alive_timeout_s, "
        "initialization_keep_alive_timeout_s, protocol_version)",
        "  line 11: heartbeat.keep_alive_timeout_s: '60': seconds from 0.01 to 86400, "
        "a number without quotes",
        "  line 19: services.service 2.name: 'one': each service once; this one stands above too",
        "  group.name: (missing): 1-63 letters, digits, '.', '_' or '-', a letter or digit first",
    ]


ADDRESS = 'an address "host:port", port 1-65535, such as "127.0.0.1:22001"'
URL = 'an address "http://host:port", without a path, such as "http://127.0.0.1:20076"'
NAME = "1-63 letters, digits, '.', '_' or '-', a letter or digit first"
TIMER = "seconds from 0.01 to 86400, a number without quotes"


@pytest.mark.parametrize(
    "key,toml,value,right",
    [
        ("node.id", None, "(missing)", NAME),
        ("node.id", "7", "7", NAME),
        ("node.id", '""', "''", NAME),
        ("node.id", '"-a"', "'-a'", NAME),
        ("node.id", f'"{"a" * 64}"', f"'{'a' * 56}...", NAME),
        ("node.state_dir", r'"a\u0000b"', r"'a\x00b'", "a folder for this node alone"),
        ("node.reboot_s", "-1", "-1", "seconds from 0 to 86400, a number without quotes"),
        ("group.ha_enabled", '"yes"', "'yes'", "true or false, without quotes"),
        ("group.ha_enabled", "1", "1", "true or false, without quotes"),
        ("group.split_brain", '"hme"', "'hme'", "did you mean home? (one of fail, home)"),
        ("group.split_brain", "3", "3", "one of fail, home"),
        ("peer.heartbeat", '"127.0.0.1:0"', "'127.0.0.1:0'", ADDRESS),
        ("peer.heartbeat", '"127.0.0.1:65536"', "'127.0.0.1:65536'", ADDRESS),
        ("peer.heartbeat", '":22001"', "':22001'", ADDRESS),
        ("peer.heartbeat", '"[::zz]:22001"', "'[::zz]:22001'", ADDRESS),
        ("peer.heartbeat", '"[:::]:22001"', "'[:::]:22001'", ADDRESS),
        ("peer.control", '"127.0.0.1:20076"', "'127.0.0.1:20076'", URL),
        ("peer.control", '"http://127.0.0.1"', "'http://127.0.0.1'", URL),
        ("peer.control", '"http://127.0.0.1:20076/x"', "'http://127.0.0.1:20076/x'", URL),
        ("peer.control", '"http://[::1:20076"', "'http://[::1:20076'", URL),
        (
            "heartbeat.protocol_version",
            "256",
            "256",
            "a version from 1 to 255, a whole number without quotes",
        ),
        ("heartbeat.keep_alive_interval_s", "0", "0", TIMER),
        ("heartbeat.keep_alive_interval_s", "nan", "nan", TIMER),
        ("heartbeat.keep_alive_interval_s", "inf", "inf", TIMER),
        ("heartbeat.keep_alive_interval_s", "true", "true", TIMER),
        ("heartbeat.keep_alive_interval_s", "1e300", "1e+300", TIMER),
        ("heartbeat.keep_alive_interval_s", "2000-01-01", "datetime.date(2000, 1, 1)", TIMER),
        ("auth.mode", '"Require"', "'Require'",
         "did you mean require? (one of off, accept, require)"),
        ("auth.active", '"k2"', "'k2'", "one of auth.keys (k1)"),
        ("auth.keys.k1", '"secret words"', "(hidden)", "neither hex nor base64; a key of at least "
         "16 bytes as hex or base64"),
        ("auth.keys.k1", '"0011"', "(hidden)", "2 bytes are too few; at least 16"),
        ("auth.keys.k1", "17", "(hidden)", 'a text, { env = "NAME" } or { file = "path" }'),
        ("auth.keys.k1", '{ vault = "x" }', "(hidden)", 'a text, { env = "NAME" } or '
         '{ file = "path" }'),
        ("auth.keys.k1", '{ env = "EMPTY" }', "env EMPTY",
         "set this environment variable; it has no value"),
        ("auth.keys.k1", '{ file = "none" }', "file none",
         "No such file or directory; name a file that can be read"),
        ("control.token", '"short"', "(hidden)",
         "at least 16 printable ASCII characters, no blank"),
        ("services.service", '"x"', "'x'", "one [[services.service]] for each"),
        ("users.move_rate_per_s", "-1", "-1",
         "users a second (0: unlimited) from 0 to 100000, a number without quotes"),
        ("relogin.lower_limit_s", "1.5", "1.5",
         "seconds from 0 to 86400, a whole number without quotes"),
        ("log.level", '"warn"', "'warn'",
         "did you mean warning? (one of debug, info, warning, error)"),
        ("log.journal_bytes", "10", "10",
         "bytes from 100000 to 10000000000, a whole number without quotes"),
        ("log", "1", "1", "a table: [log]"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_what_would_be_right(
    tmp_path: Path, key: str, toml: str | None, value: str, right: str
) -> None:
    assert (key, value, right) in complaints(tmp_path, {key: toml})


def test_a_service_has_its_own_health_check_or_that_of_all(tmp_path: Path) -> None:
    services = """[
      { name = "one", command = ["x"], health_command = ["check", "5222"], HEALTH },
      { name = "two", command = ["y"], health_command = ["check"] },
      { name = "three", command = ["z"] },
      { name = "four" } ]""".replace("HEALTH", "health_interval_s = 5, health_limit_s = 15")
    config = read(tmp_path, {"services.service": services, "services.health_limit_s": "4"}).config
    one, two, three, four = config.services.service
    assert one.health_command == ("check", "5222")
    assert [service.is_asked for service in (one, two, three, four)] == [True, True, False, True]
    assert (config.services.interval_s(one), config.services.limit_s(one)) == (5.0, 15.0)
    assert (config.services.interval_s(two), config.services.limit_s(two)) == (1.0, 4.0)


def test_a_health_check_that_would_never_be_made_is_a_mistake(tmp_path: Path) -> None:
    services = """[
      { name = "one", health_command = ["check"] },
      { name = "A Cisco DB", health_command = ["check"] },
      { name = "two", command = ["x"], health_limit_s = 15 } ]"""
    own = "only beside a command: srmd asks its own program, and its own database, by itself"
    assert complaints(tmp_path, {"services.service": services}) == [
        ("services.service 1.health_command", "('check',)", own),
        ("services.service 2.health_command", "('check',)", own),
        (
            "services.service 3.health_limit_s",
            "15",
            "only with a health_command: without one the command is not asked",
        ),
    ]


def test_ciscos_services_are_ciscos_in_any_capitals(tmp_path: Path) -> None:
    services = '[{ name = "a cisco db" }, { name = "CISCO SIP proxy" }, { name = "my own" }]'
    found = read(tmp_path, {"services.service": services}).config.services.service
    assert [service.name for service in found] == ["A Cisco DB", "Cisco SIP Proxy", "my own"]


def test_services_that_could_not_be_told_apart_are_refused(tmp_path: Path) -> None:
    """Two names with the same files ended the node with a traceback."""
    services = """[{ name = "Cisco SIP Proxy" }, { name = "cisco sip proxy" }, { name = "my own" },
        { name = "My-Own" }, { name = "cisco server recovery manager" }]""".replace("\n", " ")
    assert complaints(tmp_path, {"services.service": services}) == [
        (
            "services.service 2.name",
            "'Cisco SIP Proxy'",
            "each service once; this one stands above too",
        ),
        (
            "services.service 4.name",
            "'My-Own'",
            "a name that differs more from my own: their files have one name",
        ),
        (
            "services.service 5.name",
            "'Cisco Server Recovery Manager'",
            "another one: SRM is a part of each node",
        ),
    ]


def test_a_wrong_value_in_a_service_names_its_place(tmp_path: Path) -> None:
    service = '[{ name = "A Cisco DB", command = ["x"] }, { nam = "y", command = "z" }]'
    assert complaints(tmp_path, {"services.service": service}) == [
        ("services.service 1.command", "('x',)", "no command: A Cisco DB is srmd's own"),
        (
            "services.service 2.name",
            "(missing)",
            "1-63 letters, digits, blanks, '.', '_' or '-', a letter or digit first",
        ),
        (
            "services.service 2.command",
            "'z'",
            'a list of texts, such as ["/bin/prog", "--option"]',
        ),
        (
            "services.service 2.nam",
            "(a text)",
            "no such key; did you mean name? (one of name, command, enabled, critical, "
            "health_command, health_interval_s, health_limit_s)",
        ),
    ]


def test_lists_are_bounded(tmp_path: Path) -> None:
    services = ", ".join(f'{{ name = "s{number}" }}' for number in range(33))
    changes = {f"auth.keys.k{number}": f'"{KEY}"' for number in (2, 3)}
    changes |= {"services.service": f"[{services}]", "auth.active": '"k1"'}
    assert complaints(tmp_path, changes) == [
        ("services.service", "33 services", "at most 32"),
        (
            "auth.keys",
            "('k1', 'k2', 'k3')",
            "at most 2 keys: the active one, and another during a rotation",
        ),
    ]


def test_with_two_keys_the_active_one_has_to_be_named(tmp_path: Path) -> None:
    second = {"auth.keys.k2": f'"{KEY}"'}
    assert complaints(tmp_path, second) == [
        ("auth.active", "(missing)", "the id of one of auth.keys")
    ]
    assert read(tmp_path, {**second, "auth.active": '"k2"'}).config.auth.active == "k2"


def test_with_authentication_a_key_is_needed(tmp_path: Path) -> None:
    assert complaints(tmp_path, {"auth.keys.k1": None}) == [
        ("auth.keys", "(missing)", 'at least one key, such as k1 = { file = "k1.key" }')
    ]


def test_without_authentication_no_key_is_needed(tmp_path: Path) -> None:
    auth = read(tmp_path, {"auth.keys.k1": None, "auth.mode": '"off"'}).config.auth
    assert (auth.mode, auth.active, dict(auth.keys)) == (AuthMode.OFF, "", {})


# Relations.


@pytest.mark.parametrize(
    "changes,problem",
    [
        (
            {"heartbeat.keep_alive_interval_s": "15", "heartbeat.keep_alive_timeout_s": "29.9"},
            (
                "heartbeat.keep_alive_timeout_s",
                "29.9",
                "at least twice heartbeat.keep_alive_interval_s (15): 30 or more",
            ),
        ),
        (
            {"heartbeat.initialization_keep_alive_timeout_s": "59"},
            (
                "heartbeat.initialization_keep_alive_timeout_s",
                "59",
                "at least heartbeat.keep_alive_timeout_s (60): a starting node must not be less "
                "patient",
            ),
        ),
        (
            {"relogin.upper_limit_s": "119"},
            ("relogin.upper_limit_s", "119", "at least relogin.lower_limit_s (120)"),
        ),
        ({"peer.id": '"a"'}, ("peer.id", "'a'", "the other node's id, not our own")),
        (
            {"heartbeat.listen": '"[2001:db8::1]:22001"', "peer.heartbeat": '"192.0.2.2:22001"'},
            (
                "peer.heartbeat",
                "192.0.2.2:22001",
                "an IPv6 address, because heartbeat.listen ([2001:db8::1]:22001) sends no other; "
                "or listen on [::]:22001, which speaks IPv4 and IPv6",
            ),
        ),
        (
            {"heartbeat.listen": '"0.0.0.0:22001"', "peer.heartbeat": '"[2001:db8::2]:22001"'},
            (
                "peer.heartbeat",
                "[2001:db8::2]:22001",
                "an IPv4 address, because heartbeat.listen (0.0.0.0:22001) sends no other; "
                "or listen on [::]:22001, which speaks IPv4 and IPv6",
            ),
        ),
        (
            {"peer.heartbeat": '"192.0.2.2:22001"'},
            (
                "peer.heartbeat",
                "192.0.2.2:22001",
                "an address of this machine, because heartbeat.listen (127.0.0.1:22001) reaches no "
                "other; or listen on an address that 192.0.2.2 can reach",
            ),
        ),
        (
            {"heartbeat.listen": '"[::]:22001"', "peer.heartbeat": '"127.0.0.1:22001"'},
            ("peer.heartbeat", "127.0.0.1:22001", "the peer's heartbeat.listen; this is our own"),
        ),
        (
            {"heartbeat.listen": '"[::1]:22001"', "peer.heartbeat": '"[0:0::1]:22001"'},
            ("peer.heartbeat", "[::1]:22001", "the peer's heartbeat.listen; this is our own"),
        ),
        (
            {"peer.control": '"http://[::]:20076"'},
            (
                "peer.control",
                "http://[::]:20076",
                "an address that can be asked, not all addresses",
            ),
        ),
        (
            {"peer.heartbeat": '"[fe80::2]:22001"', "heartbeat.listen": '"[::]:22001"'},
            (
                "peer.heartbeat",
                "'[fe80::2]:22001'",
                "a link-local address needs its zone, such as [fe80::2%eth0]:22001",
            ),
        ),
        (
            {"peer.control": '"http://[::1%lo]:20076"'},
            (
                "peer.control",
                "'http://[::1%lo]:20076'",
                "only link-local addresses (fe80::) have a zone; [::1]:20076",
            ),
        ),
        (
            {"peer.heartbeat": '"127.0.0.1:22001"'},
            ("peer.heartbeat", "127.0.0.1:22001", "the peer's heartbeat.listen; this is our own"),
        ),
        (
            {"peer.heartbeat": '"0.0.0.0:22002"'},
            (
                "peer.heartbeat",
                "0.0.0.0:22002",
                "an address that can be sent to, not all addresses",
            ),
        ),
        (
            {"peer.control": '"http://127.0.0.1:20075/"'},
            (
                "peer.control",
                "http://127.0.0.1:20075",
                "the peer's control.listen; this is our own",
            ),
        ),
        (
            {"control.listen": '"0.0.0.0:20075"'},
            (
                "control.token",
                "(missing)",
                "required, because control.listen (0.0.0.0:20075) can be reached from other "
                'machines, such as token = { file = "token" }',
            ),
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    tmp_path: Path, changes: dict[str, str], problem: tuple[str, str, str]
) -> None:
    assert complaints(tmp_path, changes) == [problem]


def test_a_relation_is_not_judged_on_a_default_that_stands_in_for_a_mistake(tmp_path: Path) -> None:
    changes = {"heartbeat.keep_alive_interval_s": '"1"', "heartbeat.keep_alive_timeout_s": "3.5"}
    found = complaints(tmp_path, changes)
    assert [key for key, _, _ in found] == ["heartbeat.keep_alive_interval_s"]


@pytest.mark.parametrize(
    "changes,key,right",
    [
        (
            {"heartbeat.protocol_version": "2", "heartbeat.keep_alive_timeout_s": "67"},
            "heartbeat.protocol_version",
            "1 is what this release speaks; another only rehearses an upgrade: a peer with another "
            "version and this node are both Unknown",
        ),
        (
            {"heartbeat.keep_alive_timeout_s": "45"},
            "heartbeat.keep_alive_timeout_s",
            "an exact multiple of heartbeat.keep_alive_interval_s (15): a heartbeat and the "
            "deadline fall together; 52.5 would part them",
        ),
        (
            {"heartbeat.keep_alive_interval_s": "0.1", "heartbeat.keep_alive_timeout_s": "0.3"},
            "heartbeat.keep_alive_timeout_s",
            "an exact multiple of heartbeat.keep_alive_interval_s (0.1): a heartbeat and the "
            "deadline fall together; 0.35 would part them",
        ),
        (
            {"heartbeat.keep_alive_timeout_s": "40"},
            "heartbeat.keep_alive_timeout_s",
            "below three times heartbeat.keep_alive_interval_s (15), two lost heartbeats in a row "
            "are a failover; 52.5 would bear them",
        ),
        (
            {"services.critical_service_delay_s": "20", "heartbeat.keep_alive_timeout_s": "67"},
            "services.critical_service_delay_s",
            "below services.start_limit_s (30): a start that is under way when the delay is over "
            "is waited for, so the node may be without the service for longer",
        ),
        (
            {"limits.transition_s": "60", "heartbeat.keep_alive_timeout_s": "67"},
            "limits.transition_s",
            "below services.start_limit_s + services.stop_limit_s + users.move_limit_s (70), a "
            "slow transition is given up too early",
        ),
    ],
)
def test_unwise_settings_are_accepted_with_a_warning(
    tmp_path: Path, changes: dict[str, str], key: str, right: str
) -> None:
    assert [(w.key, w.right) for w in read(tmp_path, changes).warnings] == [(key, right)]


def test_ciscos_own_timers_are_no_reason_to_warn(tmp_path: Path) -> None:
    """60 is 4 x 15; the guide's pair had a `config.warning` in its journal at each start."""
    assert read(tmp_path).warnings == ()
    for name in ("a", "b"):
        assert load(shipped() / f"cisco-defaults/node-{name}.toml").warnings == ()


CALM = {"heartbeat.keep_alive_timeout_s": "67"}


def test_the_published_secrets_are_for_loopback_only(tmp_path: Path) -> None:
    secrets = {
        "auth.keys.k1": f'"{DEMO_KEY.reveal().hex()}"',
        "control.token": f'"{DEMO_TOKEN.text()}"',
    }
    assert read(tmp_path, {**CALM, **secrets}).warnings == ()
    open_to_all = {**CALM, **secrets, "heartbeat.listen": '"0.0.0.0:22001"'}
    assert [warning.key for warning in read(tmp_path, open_to_all).warnings] == [
        "auth.keys.k1",
        "control.token",
    ]


def test_an_open_pair_without_authentication_is_warned(tmp_path: Path) -> None:
    changes = {**CALM, "auth.mode": '"accept"', "peer.heartbeat": '"10.0.0.2:22001"'}
    changes["heartbeat.listen"] = '"0.0.0.0:22001"'
    assert [warning.key for warning in read(tmp_path, changes).warnings] == ["auth.mode"]


@pytest.mark.parametrize(
    "text,loopback",
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("node-a.example:1", False),
    ],
)
def test_only_loopback_goes_without_a_token(tmp_path: Path, text: str, loopback: bool) -> None:
    changes = {"control.listen": f'"{text}"', "control.token": '{ env = "SRMD_TOKEN" }'}
    address = read(tmp_path, changes).config.control.listen
    assert str(address) == text
    assert address.is_loopback is loopback
    changes["control.token"] = None  # type: ignore[assignment]
    if loopback:
        assert read(tmp_path, changes).config.control.token is None
    else:
        assert [key for key, _, _ in complaints(tmp_path, changes)] == ["control.token"]


@pytest.mark.parametrize("peer", ["192.0.2.2", "[2001:db8::2]", "[fe80::2%eth0]", "node-b"])
def test_all_addresses_of_ipv6_are_those_of_ipv4_too(tmp_path: Path, peer: str) -> None:
    changes = {
        **CALM,
        "heartbeat.listen": '"[::]:22001"',
        "control.listen": '"[::]:20075"',
        "control.token": '{ env = "SRMD_TOKEN" }',
        "peer.heartbeat": f'"{peer}:22001"',
        "peer.control": f'"http://{peer}:20075"',
    }
    loaded = read(tmp_path, changes)
    assert loaded.warnings == ()
    assert str(loaded.config.peer.heartbeat) == f"{peer}:22001"
    assert loaded.config.peer.control == f"http://{peer}:20075"


def test_one_address_has_one_form(tmp_path: Path) -> None:
    changes = {
        "heartbeat.listen": '"[::ffff:192.0.2.1]:22001"',
        "peer.heartbeat": '"192.0.2.2:22001"',
        "peer.control": '"http://[fe80::2%25eth0]:20075/"',
    }
    config = read(tmp_path, changes).config
    assert config.heartbeat.listen == Address("192.0.2.1", 22001)
    assert config.peer.control == "http://[fe80::2%eth0]:20075"


def test_a_loopback_address_that_listens_beside_a_named_peer_is_warned(tmp_path: Path) -> None:
    changes = {**CALM, "peer.heartbeat": '"node-b:22001"'}
    assert [warning.key for warning in read(tmp_path, changes).warnings] == ["peer.heartbeat"]


# This machine.


@pytest.fixture(autouse=True)
def ports_of_no_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some machines give every port to outgoing connections."""
    monkeypatch.setattr(machine, "NETWORK", tmp_path / "no-proc")


def paths(folder: Path, changes: Mapping[str, str]) -> list[tuple[str, str]]:
    """What `srmd config check` has against the paths of a file, as (key, what would be right)."""
    file = write(folder, {**CALM, **changes})
    try:
        found = load(file, on_this_machine=True).warnings
    except ConfigError as refused:
        found = refused.problems
    return [(problem.key, problem.right) for problem in found]


def a_service(command: str) -> dict[str, str]:
    return {"services.service": f'[{{ name = "X", command = ["{command}"] }}]'}


@pytest.mark.skipif(sys.platform != "linux", reason="file systems of Linux")
@pytest.mark.parametrize("key", ["node.state_dir", "log.file"])
@pytest.mark.parametrize("path", ["/proc/nope", "/proc/nope/below", "/sys/nope"])
def test_no_file_can_be_made_in_a_file_system_of_the_kernel(
    tmp_path: Path, key: str, path: str
) -> None:
    """`config check` took it, and `run` ended with 10."""
    if not os.path.ismount(f"/{path.split('/')[1]}"):
        pytest.skip("not mounted here")
    ((found, right),) = paths(tmp_path, {key: f'"{path}"'})
    assert found == key
    assert "of the kernel" in right
    assert "name another folder" in right


def test_paths_that_cannot_be_are_problems(tmp_path: Path) -> None:
    (tmp_path / "file").touch(0o644)
    (tmp_path / "folder").mkdir()
    (tmp_path / "script").write_text("#!/no/such/interpreter -x\n")
    (tmp_path / "script").chmod(0o755)
    os.mkfifo(tmp_path / "pipe")
    key, here = "services.service 1.command", tmp_path
    assert paths(tmp_path, {}) == []
    assert paths(tmp_path, {"node.state_dir": '"file"'}) == [
        ("node.state_dir", f"{here}/file is a file; name a folder that is there or can be")
    ]
    assert paths(tmp_path, {"node.state_dir": '"file/below/it"'}) == [
        ("node.state_dir", f"{here}/file is a file; name a folder that is there or can be")
    ]
    assert paths(tmp_path, {"log.file": '"folder"'}) == [
        ("log.file", "it is a folder; name a file")
    ]
    assert paths(tmp_path, {"log.file": '"pipe"'}) == [
        ("log.file", "it is a device or a pipe; name a file")
    ]
    assert paths(tmp_path, {"log.file": '"file/log"'}) == [
        ("log.file", f"{here}/file is a file; name a folder that is there or can be")
    ]
    assert paths(tmp_path, a_service("/no/such/program")) == [
        (key, "No such file or directory; name a program that is there")
    ]
    assert paths(tmp_path, a_service("./relative")) == [
        (
            key,
            f"No such file or directory ({here}/state/run/relative); name a program that is there",
        )
    ]
    ((_, right),) = paths(tmp_path, a_service("no-such-program-in-path"))
    assert right.startswith("not found in PATH (")
    assert paths(tmp_path, a_service(f"{here}/file")) == [
        (key, f"it is not executable; chmod +x {here}/file")
    ]
    assert paths(tmp_path, a_service(str(here))) == [(key, "it is a folder; name a program")]
    assert paths(tmp_path, a_service(f"{here}/script")) == [
        (key, "its first line names /no/such/interpreter, which is not there")
    ]
    assert paths(tmp_path, a_service("sh")) == paths(tmp_path, a_service("/bin/sh")) == []


def test_the_program_of_a_health_check_is_looked_for_too(tmp_path: Path) -> None:
    service = '[{ name = "X", command = ["sh"], health_command = ["/no/such/check", "5222"] }]'
    assert paths(tmp_path, {"services.service": service}) == [
        (
            "services.service 1.health_command",
            "No such file or directory; name a program that is there",
        )
    ]


def test_a_service_that_is_not_activated_needs_no_program(tmp_path: Path) -> None:
    changes = {"services.service": '[{ name = "X", command = ["/no/such"], enabled = false }]'}
    assert paths(tmp_path, changes) == []


def test_what_only_this_user_may_not_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_args: False)
    (tmp_path / "log").touch(0o600)
    changes = {"log.file": '"log"', **a_service("/bin/sh")}
    found = load(write(tmp_path, {**CALM, **changes}), on_this_machine=True).warnings
    assert [warning.key for warning in found] == [
        "node.state_dir",
        "log.file",
        "services.service 1.command",
    ]
    assert all("the user that runs the node must be able to" in each.right for each in found)


def test_an_interface_that_is_not_here_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net" / "eth0").mkdir(parents=True)
    monkeypatch.setattr(machine, "INTERFACES", tmp_path / "net")
    changes = {
        "heartbeat.listen": '"[fe80::1%nowhere0]:22001"',
        "peer.heartbeat": '"[fe80::2%nowhere0]:22001"',
        "peer.control": '"http://[fe80::2%nowhere0]:20075"',
    }
    found = paths(tmp_path, changes)
    assert [key for key, _ in found] == ["heartbeat.listen", "peer.heartbeat", "peer.control"]
    assert all(right == "no interface nowhere0 is here now; one of eth0" for _, right in found)


def test_a_port_that_an_outgoing_connection_may_hold_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux gives ports of a range to outgoing connections, and the node found its own taken."""
    monkeypatch.setattr(machine, "NETWORK", tmp_path)
    (tmp_path / "ip_local_port_range").write_text("20000\t29999\n")
    (tmp_path / "ip_local_reserved_ports").write_text("22000-22005,23000\n")
    assert paths(tmp_path, {}) == [
        (
            "control.listen",
            "an outgoing connection of this machine may hold it (20000 to 29999 are for them); "
            "choose another, or sysctl net.ipv4.ip_local_reserved_ports=20075",
        )
    ]
    (tmp_path / "ip_local_reserved_ports").write_text("20075,22001\n")
    assert paths(tmp_path, {}) == []


def test_a_node_starts_without_the_program_of_a_service(tmp_path: Path) -> None:
    assert load(write(tmp_path, a_service("/no/such/program"))).config.services.service


def test_files_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """Editors of Windows write one."""
    mark = b"\xef\xbb\xbf"
    (tmp_path / "k1.key").write_bytes(mark + KEY.encode() + b"\r\n")
    (tmp_path / "k1.key").chmod(0o600)
    file = write(tmp_path, {"auth.keys.k1": '{ file = "k1.key" }'})
    file.write_bytes(mark + file.read_bytes())
    assert load(file).config.auth.keys["k1"] == Secret(bytes.fromhex(KEY))
    file.write_text(file.read_text("utf-8-sig"), "utf-16")
    with pytest.raises(ConfigError, match="UTF-16: the file must be UTF-8"):
        load(file)


# Secrets.


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    key_file = tmp_path / "k1.key"
    key_file.write_text("ABEiM0RVZneImaq7zN3u/w==\n", encoding="ascii")
    key_file.chmod(0o600)
    changes = {
        **CALM,
        "control.token": '{ env = "SRMD_TOKEN" }',
        "auth.keys.k1": '{ file = "k1.key" }',
    }
    loaded = read(tmp_path, changes)
    assert loaded.config.control.token == Secret(TOKEN)
    assert loaded.config.auth.keys["k1"] == Secret(bytes.fromhex(KEY))
    assert loaded.warnings == ()


def test_a_secret_file_that_others_may_read_is_warned(tmp_path: Path) -> None:
    (tmp_path / "k1.key").write_text(KEY, encoding="ascii")
    (tmp_path / "k1.key").chmod(0o640)
    (warning,) = read(tmp_path, {**CALM, "auth.keys.k1": '{ file = "k1.key" }'}).warnings
    assert str(warning) == (
        "line 7: auth.keys.k1: file k1.key, mode 640: others may read the secret; chmod 600 k1.key"
    )


def test_a_secret_in_a_file_that_others_may_read_is_warned(tmp_path: Path) -> None:
    """On loopback alone it is nobody's concern: the examples have published secrets."""
    changes = {**CALM, "control.token": f'"{TOKEN}"', "heartbeat.listen": '"0.0.0.0:22001"'}
    file = write(tmp_path, changes)
    file.chmod(0o644)
    assert [(warning.key, warning.right) for warning in load(file).warnings] == [
        ("control.token", f"others may read the secret; chmod 600 {file.name}"),
        ("auth.keys.k1", f"others may read the secret; chmod 600 {file.name}"),
    ]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"0" * 5000])
def test_a_secret_file_that_holds_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "k1.key").write_bytes(content)
    assert complaints(tmp_path, {"auth.keys.k1": '{ file = "k1.key" }'}) == [
        ("auth.keys.k1", "file k1.key", "one line of ASCII, 1-4096 bytes")
    ]


def test_a_secret_is_shown_nowhere(tmp_path: Path) -> None:
    config = read(tmp_path, {"control.token": '{ env = "SRMD_TOKEN" }'}).config
    shown = "".join([repr(config), str(config), str(rows(config)), json.dumps(plain(config))])
    assert TOKEN not in shown
    assert KEY not in shown
    assert str(bytes.fromhex(KEY)) not in shown
    assert ("control.token", "(hidden)") in rows(config)
    assert ("auth.keys.k1", "(hidden)") in rows(config)


def test_a_secret_under_a_misspelt_key_is_not_repeated(tmp_path: Path) -> None:
    assert complaints(tmp_path, {"control.tokn": f'"{TOKEN}"'}) == [
        (
            "control.tokn",
            "(a text)",
            "no such key; did you mean token? (one of listen, call_timeout_s, token, old_token, "
            "allowed_hosts)",
        )
    ]


def test_names_of_hosts_are_read_as_they_are_compared(tmp_path: Path) -> None:
    config = read(tmp_path, {"control.allowed_hosts": '["SRMD.example.", "lb"]'}).config
    assert config.control.allowed_hosts == ("srmd.example", "lb")
    assert ("control.allowed_hosts", "['srmd.example', 'lb']") in rows(config)


@pytest.mark.parametrize("name", ["srmd.example:20075", "http://srmd.example", "[::1]", "*.x", ""])
def test_what_is_no_name_of_a_host_is_refused(tmp_path: Path, name: str) -> None:
    assert complaints(tmp_path, {"control.allowed_hosts": f'["{name}"]'}) == [
        (
            "control.allowed_hosts",
            f"'{name}'",
            'names without a port, such as ["srmd.example"]; IP addresses are allowed anyway',
        )
    ]


# The file as a whole.


@pytest.mark.parametrize(
    "content,problem",
    [
        (b"id = ", "not TOML: Invalid value (at end of document)"),
        (b"a = 1\n\xff", "byte 6: the file must be UTF-8"),
        (b"#" * 1_000_001, "too large: at most 1000000 bytes"),
        (b"a = " + b"[" * 50_000, "not TOML: "),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load(file)
    assert str(refused.value).startswith(f"{file}: 1 problem\n  {problem}")


def test_a_missing_file_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file or directory: name a file"):
        load(tmp_path / "none.toml")


def test_a_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory: name a file that can be read"):
        load(tmp_path)


# Whatever stands in the file: values, or the typed error.

scalars = st.one_of(
    st.booleans().map(lambda value: str(value).lower()),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["nan", "inf", "-inf", "1e400", "0.0", "1979-05-27", "07:32:00"]),
    st.text(st.characters(codec="utf-8"), max_size=30).map(json.dumps),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(["env", "file", "name", "x"]), inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"{key} = {item}" for key, item in items.items()) + "}"
        ),
    ),
    max_leaves=5,
)


def every_key() -> list[str]:
    shown = plain(load(shipped() / "node-a.toml").config)
    assert isinstance(shown, dict)
    return [f"{section}.{key}" for section, keys in shown.items() for key in keys]


@given(changes=st.dictionaries(st.sampled_from([*every_key(), "x", "log"]), values, max_size=4))
def test_any_value_anywhere_is_a_configuration_or_the_typed_error(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, str]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        loaded = read(folder, {**changes})
    except ConfigError:
        return
    assert isinstance(loaded.config, Config)
    json.dumps(plain(loaded.config), allow_nan=False)


@given(content=st.binary(max_size=300))
def test_any_bytes_are_a_configuration_or_the_typed_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / f"bytes-{os.getpid()}.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError):
        load(file, env={})
