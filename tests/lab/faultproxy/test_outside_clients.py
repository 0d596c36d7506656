"""Clients that others wrote, unchanged, against our server."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.faultproxy.programs import ROOT, TOOLS, Server, absent, ours, tool

HERE = Path(__file__).parent
CLIENT_LIMIT_S = 60.0
GO_TESTS_PORT = 8475
"""Written into the Go module's tests."""

GO_TESTS = [
    "TestRequestId",
    "TestBrowserGets403",
    "TestNonBrowserGets200",
    "TestIndexWithNoProxies",
    "TestCreateProxyBlankName",
    "TestCreateProxyBlankUpstream",
    "TestPopulateProxy",
    "TestPopulateDefaultEnabled",
    "TestPopulateDisabledProxy",
    "TestPopulateExistingProxy",
    "TestPopulateWithBadName",
    "TestPopulateProxyWithBadDataShouldReturnError",
    "TestPopulateAddToxic",
    "TestListingProxies",
    "TestCreateAndGetProxy",
    "TestCreateProxyWithSave",
    "TestCreateDisabledProxy",
    "TestCreateDisabledProxyAndEnable",
    "TestDeleteProxy",
    "TestCreateProxyPortConflict",
    "TestCreateProxyNameConflict",
    "TestResetState",
    "TestListingToxics",
    "TestAddToxic",
    "TestAddMultipleToxics",
    "TestAddConflictingToxic",
    "TestAddConflictingToxicsMultistream",
    "TestAddConflictingToxicsMultistreamDefaults",
    "TestAddToxicWithToxicity",
    "TestAddNoop",
    "TestUpdateToxics",
    "TestRemoveToxic",
    "TestInvalidStream",
]
"""All tests of `api_test.go` at v2.12.0 but TestVersionEndpointReturnsVersion, which wants the
version of an unreleased build, `git`."""


def run(*command: str, url: str = "") -> str:
    """What the program prints; it has to succeed."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=CLIENT_LIMIT_S,
        check=False,
        env={**os.environ, "TOXIPROXY_URL": url, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_toxiproxy_python_drives_our_server(protocol: str) -> None:
    with ours() as server:
        if protocol == "udp":
            body = '{"name":"heartbeats","upstream":"127.0.0.1:9","listen":"127.0.0.1:0",'
            assert server.ask("POST", "/proxies", body + '"protocol":"udp"}').status == 201
        program = str(HERE / "client.py")
        assert run(sys.executable, program, str(server.port), protocol) == "all is well\n"


def test_the_node_client_drives_our_server() -> None:
    package = TOOLS / "node" / "node_modules" / "toxiproxy-node-client"
    node = shutil.which("node")
    if node is None or not package.is_dir():
        absent(
            "toxiproxy-node-client", "run `make toxiproxy` (needs Node.js, npm and its registry)"
        )
    assert node
    with ours() as server:
        said = run(node, str(HERE / "client.mjs"), server.url, str(TOOLS / "node"))
    assert said == "all is well\n"


def test_toxiproxy_cli_drives_our_server() -> None:
    cli = str(tool("toxiproxy-cli", "cli"))
    with ours() as server:

        def do(*arguments: str) -> str:
            return run(cli, *arguments, url=server.url)

        def shown() -> dict[str, object]:
            proxy: dict[str, object] = json.loads(server.ask("GET", "/proxies/p").body)
            return proxy

        do("create", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "p")
        assert "127.0.0.1:9" in do("list")
        do("toxic", "add", "-t", "latency", "-a", "latency=100", "-a", "jitter=5", "-u", "p")
        do("toxic", "add", "-t", "packet_loss", "-a", "loss_rate=0.3", "-n", "loss", "p")
        do("toxic", "update", "-n", "latency_upstream", "-a", "latency=200", "p")
        assert "latency=200" in do("inspect", "p")
        assert shown()["toxics"] == [
            {
                "attributes": {"latency": 200, "jitter": 5},
                "name": "latency_upstream",
                "type": "latency",
                "stream": "upstream",
                "toxicity": 1,
            },
            {
                "attributes": {"loss_rate": 0.3, "correlation": 0},
                "name": "loss",
                "type": "packet_loss",
                "stream": "downstream",
                "toxicity": 1,
            },
        ]
        do("toxic", "remove", "-n", "loss", "p")
        do("toggle", "p")
        assert shown()["enabled"] is False
        do("toggle", "p")
        assert shown()["enabled"] is True
        do("delete", "p")
        assert server.ask("GET", "/proxies").body == "{}"


@pytest.fixture(scope="module")
def where_go_tests_look() -> Iterator[Server]:
    """Our server on the port that the Go tests believe to be their own."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", GO_TESTS_PORT))
        except OSError:
            absent(f"port {GO_TESTS_PORT}", "end whatever listens there")
    with ours(host="localhost", port=GO_TESTS_PORT) as server:
        yield server


@pytest.mark.parametrize("name", GO_TESTS)
def test_the_tests_of_the_go_module_pass_against_our_server(
    name: str, where_go_tests_look: Server
) -> None:
    """They start a server of their own and do not notice that its port is taken, by us."""
    run_go_test(name, where_go_tests_look)


def test_the_tests_of_the_go_module_do_talk_to_our_server(
    where_go_tests_look: Server,
) -> None:
    """Otherwise they would pass against their own."""
    run_go_test("TestCreateAndGetProxy", where_go_tests_look)
    assert "mysql_master" in where_go_tests_look.ask("GET", "/proxies").body


def run_go_test(name: str, server: Server) -> None:
    program = str(tool("toxiproxy-api-tests", "api.test"))
    for proxy in json.loads(server.ask("GET", "/proxies").body):
        assert server.ask("DELETE", f"/proxies/{proxy}").status == 204
    said = run(program, "-test.v", "-test.run", f"^{name}$")
    assert f"--- PASS: {name}" in said
