"""The fault proxy as a process: arguments, files, signals, exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from srmd.lab.faultproxy.__main__ import main
from srmd.lab.faultproxy.words import parse
from tests.lab.faultproxy.programs import ROOT, START_LIMIT_S, Server, free_port, ours


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_address_and_seed_and_ends_when_it_is_told(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "srmd.lab.faultproxy", "--port", "0", "--seed", "42"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        line = process.stdout.readline()
        assert line.startswith("faultproxy: listening on http://127.0.0.1:") or "[::1]" in line
        assert line.endswith(" seed 42 strict\n")
        process.send_signal(number)
        assert process.wait(START_LIMIT_S) == 0


def test_other_signals_end_it_not_and_a_moved_event_log_is_opened_anew(tmp_path: Path) -> None:
    events, old = tmp_path / "events.jsonl", tmp_path / "events.old"
    command = [sys.executable, "-m", "srmd.lab.faultproxy", "--port", "0", "--events", str(events)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # no terminal
    )
    assert process.stdout
    assert process.stderr
    with process.stdout, process.stderr:
        url = process.stdout.readline().split()[3]
        events.rename(old)
        for number in (signal.SIGUSR1, signal.SIGHUP):
            process.send_signal(number)
            assert f"{number.name} received: " in process.stderr.readline()
        body = json.dumps({"name": "p", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9"})
        urllib.request.urlopen(f"{url}/proxies", body.encode(), timeout=START_LIMIT_S).close()
        process.send_signal(signal.SIGQUIT)
        assert process.wait(START_LIMIT_S) == 0
    assert "journal.began" in old.read_text()
    assert "proxy" in events.read_text()


def test_proxies_of_the_config_file_are_there(tmp_path: Path) -> None:
    config = tmp_path / "proxies.json"
    config.write_text('[{"name":"p","listen":"127.0.0.1:0","upstream":"a:1","protocol":"udp"}]')
    with ours("--config", str(config)) as server:
        (proxy,) = json.loads(server.ask("GET", "/proxies").body).values()
        assert proxy["protocol"] == "udp"
        assert proxy["enabled"]


def test_all_addresses_of_ipv6_answer_ipv4_too(tmp_path: Path) -> None:
    """Three of nine public configuration files listen on `[::]`, for clients on 127.0.0.1."""
    tcp, udp = free_port(), free_port(socket.SOCK_DGRAM)
    config = tmp_path / "proxies.json"
    config.write_text(
        json.dumps(
            [
                {"name": "tcp", "listen": f"[::]:{tcp}", "upstream": "127.0.0.1:9"},
                {"name": "udp", "listen": f"[::]:{udp}", "upstream": "127.0.0.1:9"}
                | {"protocol": "udp"},
            ]
        )
    )
    with ours("--config", str(config), host="::") as listening:
        server = replace(listening, host="127.0.0.1")
        shown = json.loads(server.ask("GET", "/proxies").body)
        assert shown["tcp"]["listen"] == f"[::]:{tcp}"
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, tcp), timeout=START_LIMIT_S).close()
            socket.create_connection((host, server.port), timeout=START_LIMIT_S).close()
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.sendto(b"x", (host, udp))
        deadline_s = time.monotonic() + START_LIMIT_S
        while received(server, "udp") < 2:
            assert time.monotonic() < deadline_s, "datagrams of IPv4 or IPv6 did not arrive"


def received(server: Server, name: str) -> int:
    stats = json.loads(server.ask("GET", f"/srm/v1/proxies/{name}/stats").body)
    count = stats["upstream"]["received"]
    assert isinstance(count, int)
    return count


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "No such file or directory; name a file that can be read"),
        ("", "EOF; it holds an array such as"),
        ("{}", "an object where an array is needed"),
        ('[{"name":"p"}]', "missing required field: upstream at proxy 1"),
        ('[{"name":"p","upstream":"a:1","listen":"nonsense"}]', "missing port in address"),
    ],
)
def test_a_config_file_that_cannot_be_used_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    config = tmp_path / "proxies.json"
    if content is not None:
        config.write_text(content)
    assert main(["--port", "0", "--config", str(config)]) == 1
    assert message in capsys.readouterr().err


def test_an_event_log_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--port", "0", "--events", str(tmp_path)]) == 1
    assert "name a file that can be written" in capsys.readouterr().err


def test_on_standard_output_the_event_log_is_alone() -> None:
    command = [sys.executable, "-m", "srmd.lab.faultproxy", "--port", "0", "--events", "-"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stderr
    with process.stdout, process.stderr:
        assert process.stderr.readline().startswith("faultproxy: listening on ")
        process.terminate()
        events = [json.loads(line)["event"] for line in process.stdout]
        assert events == ["journal.began"]
        assert process.wait(START_LIMIT_S) == 0


def test_a_busy_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with ours() as server:
        assert main(["--host", "127.0.0.1", "--port", str(server.port)]) == 1
    assert "choose another host or port" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--port", "x"], ["--port", "99999"], ["--seed", "-1"], ["x"]]
)
def test_bad_arguments_are_told(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_the_flags_of_toxiproxys_server_are_taken(tmp_path: Path, dashes: str) -> None:
    """Go takes one dash or two, and scripts that start Toxiproxy use one."""
    config = tmp_path / "proxies.json"
    config.write_text('[{"name":"p","upstream":"a:1"}]')
    chosen = parse(
        [
            f"{dashes}host=127.0.0.1",
            *(f"{dashes}port", "8475"),
            f"{dashes}config={config}",
            f"{dashes}seed=7",
            f"{dashes}proxy-metrics=false",
        ]
    )
    assert (chosen.host, chosen.port, chosen.config, chosen.seed) == ("127.0.0.1", 8475, config, 7)


def test_the_metrics_of_toxiproxy_are_refused_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for flag in ("-proxy-metrics", "--runtime-metrics=true"):
        assert main([flag]) == 2
        assert "there is no /metrics here; leave the flag out" in capsys.readouterr().err


def test_a_config_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    config = tmp_path / "proxies.json"
    config.write_bytes(b'\xef\xbb\xbf[{"name":"p","upstream":"a:1"}]')
    with ours("--config", str(config)) as server:
        assert server.ask("GET", "/proxies/p").status == 200
        refused = server.ask("POST", "/populate", "\ufeff[]")
        assert refused.status == 400
        assert "it begins with a byte order mark; send UTF-8 without one" in refused.body


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "TOXIPROXY_AUTH_TOKEN", "let me in")
    with ours() as server:
        assert server.ask("GET", "/version").status == 401
        assert server.ask("GET", "/version", Authorization="Bearer let me in").status == 200
