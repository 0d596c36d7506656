"""The Kubernetes manifests agree with each other, with `srmd init`, and with the program.

They were never run on a cluster; `make manifests` validates them against the schemas.
"""

from __future__ import annotations

import copy
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from srmd import __version__
from srmd.cli import Exit, main
from srmd.config import Config, load
from srmd.daemon.heartbeat import RESOLVE_INTERVAL_S
from srmd.lab.pair import LabNode, LabPair
from tests.security.certificates import authority, encrypt

FOLDER = Path(__file__).parent.parent / "deploy" / "kubernetes"
DNS_CACHE_S = 30.0
"""How long the DNS of a cluster may hold an answer: the usual bound."""
PROBE_LIMIT_S = 60.0
ROLLED_LIMIT_S = 30.0
NORMAL, ALONE = "Normal/Normal", "Running in Backup Mode/Peer Reboot"

Manifest = dict[str, Any]


def manifests(name: str) -> dict[str, Manifest]:
    """The resources of a file by their kind."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return {resource["kind"]: resource for resource in yaml.safe_load_all(text)}


def command(word: str) -> list[list[str]]:
    """The words of the guide's lines that begin so."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    lines = re.findall(rf"^\$ ({word} .*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def pod() -> Manifest:
    spec: Manifest = manifests("srmd.yaml")["StatefulSet"]["spec"]["template"]["spec"]
    return spec


@pytest.fixture(params=["plain", "tls"])
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where one of the guide's two `srmd init` has written a pair."""
    monkeypatch.chdir(tmp_path)
    (words,) = (
        found
        for _, *found in command("srmd init")
        if ("--tls" in found) is (request.param == "tls")
    )
    assert main(words) == Exit.OK
    return tmp_path


@pytest.fixture
def mounted(made: Path, pod: Manifest) -> Path:
    """The folder /etc/srmd of a pod: the guide's ConfigMap and Secrets, projected."""
    with_tls = (made / "pair" / "ca").exists()
    keys: dict[tuple[str, str], dict[str, Path]] = {}
    for _, _, *words in command("kubectl create"):
        kind, name = words[0], next(word for word in words[1:] if word != "generic")
        if name == "srmd-tls" and not with_tls:
            continue
        found = keys[kind, name] = {}
        for word in words:
            if word.startswith("--from-file="):
                *key, file = word.removeprefix("--from-file=").split("=")
                found[key[0] if key else Path(file).name] = made / file
    (volume,) = (v for v in pod["volumes"] if v["name"] == "configuration")
    folder = made / "etc-srmd"
    used = set()
    for source in volume["projected"]["sources"]:
        ((kind, content),) = source.items()
        there = keys.get((kind.lower(), content["name"]))
        if there is None:
            assert content["optional"] is True
            continue
        for item in content["items"]:
            target = folder / item["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(there[item["key"]], target)
            used.add((content["name"], item["key"]))
    assert used == {(name, key) for (_, name), found in keys.items() for key in found}
    return folder


def configs(mounted: Path) -> tuple[Config, Config]:
    a, b = (load(mounted / f"srmd-{ordinal}" / "node.toml", env={}).config for ordinal in (0, 1))
    return a, b


def test_each_pod_starts_with_the_file_of_its_own_name(pod: Manifest, mounted: Path) -> None:
    (container,) = pod["containers"]
    assert container["command"] == ["srmd", "run"]
    assert container["env"] == [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "SRMD_CONFIG", "value": "/etc/srmd/$(POD_NAME)/node.toml"},
    ]
    stateful = manifests("srmd.yaml")["StatefulSet"]
    pods = [f"{stateful['metadata']['name']}-{n}" for n in range(stateful["spec"]["replicas"])]
    assert [config.node.id for config in configs(mounted)] == pods


def test_each_node_finds_its_peer_by_the_headless_service(mounted: Path) -> None:
    kinds = manifests("srmd.yaml")
    service, spec = kinds["Service"], kinds["StatefulSet"]["spec"]
    assert spec["serviceName"] == service["metadata"]["name"] == "srmd"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"] == spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    a, b = configs(mounted)
    assert (a.peer.heartbeat.host, b.peer.heartbeat.host) == ("srmd-1.srmd", "srmd-0.srmd")
    assert a.heartbeat.listen.is_wildcard
    assert a.control.listen.is_wildcard


def test_the_ports_are_those_of_the_configuration_everywhere(pod: Manifest, mounted: Path) -> None:
    a, _ = configs(mounted)
    wanted = {("UDP", a.heartbeat.listen.port), ("TCP", a.control.listen.port)}
    (container,) = pod["containers"]
    assert {(p["protocol"], p["containerPort"]) for p in container["ports"]} == wanted
    service = manifests("srmd.yaml")["Service"]["spec"]["ports"]
    assert {(p["protocol"], p["port"]) for p in service} == wanted
    rule = to_the_peer(manifests("network.yaml")["NetworkPolicy"]["spec"], "ingress")
    assert {(p["protocol"], p["port"]) for p in rule["ports"]} == wanted


def test_the_two_pairs_of_the_guide_differ_in_tls(mounted: Path, made: Path) -> None:
    tls = (made / "pair" / "ca").exists()
    for config in configs(mounted):
        assert (config.tls.certificate is not None) is tls
        assert config.peer.control.startswith("https://" if tls else "http://")


def run(words: list[str], node: LabNode) -> int:
    """Run a command of the pod, in which process 1 is the node and SRMD_CONFIG its file."""
    pid = node.pid
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [re.sub(r"\b1$", str(pid), word) if word.startswith("kill ") else word for word in words],
        env={**os.environ, "PATH": path, "SRMD_CONFIG": str(node.config_file)},
        stdout=subprocess.DEVNULL,
        timeout=PROBE_LIMIT_S,
        check=False,
    )
    return done.returncode


def probe(pod: Manifest, name: str) -> list[str]:
    (container,) = pod["containers"]
    words: list[str] = container[name]["exec"]["command"]
    return words


@pytest.mark.parametrize("tls", [False, True])
def test_the_probes_tell_a_live_node_from_a_ready_one(pod: Manifest, tls: bool) -> None:
    """They asked over plain HTTP, which no node with TLS answers, and a node that waited for its
    peer was ready."""
    pair = LabPair({"heartbeat": {"initialization_keep_alive_timeout_s": 60}})
    if tls:
        encrypt(pair, authority())
    live, ready = (probe(pod, name) for name in ("livenessProbe", "readinessProbe"))
    with pair:
        for node in pair.nodes:
            assert run(live, node) == 0
            assert run(ready, node) == 0
        pair.a.terminate()
        assert run(live, pair.a) != 0
        assert run(ready, pair.a) != 0
        pair.b.terminate()
        pair.a.start()
        pair.wait_for(a="Initializing/Initialization")
        assert run(live, pair.a) == 0
        assert run(ready, pair.a) != 0, "it has no role yet"
        pair.b.start()
        pair.wait_until("it has a role", lambda: run(ready, pair.a) == 0)


def test_a_rolling_update_is_announced_and_users_are_always_served(pod: Manifest) -> None:
    """The files said so, but SIGTERM announces nothing: preStop does."""
    (container,) = pod["containers"]
    stop = container["lifecycle"]["preStop"]["exec"]["command"]
    ready = probe(pod, "readinessProbe")
    with LabPair() as pair:
        pair.a.client.generate_users(100, "balanced", "user")
        pair.wait_until("users are served", lambda: pair.served() == {"a": 50, "b": 50})
        for node, peer in ((pair.b, pair.a), (pair.a, pair.b)):  # as a StatefulSet: the last first
            assert run(stop, node) == 0
            assert node.terminate() == 0
            if peer is pair.a:
                pair.wait_for(a=ALONE, within_s=ROLLED_LIMIT_S)
            else:
                pair.wait_for(b=ALONE, within_s=ROLLED_LIMIT_S)
            assert peer.status()["users"]["served"][peer.id] == 100
            node.start()
            pair.wait_until("it is ready", lambda: run(ready, node) == 0)  # noqa: B023 - at once
        pair.wait_for(a="Failed Over/Initialization", b=ALONE)
        pair.a.fallback()
        pair.wait_for(a=NORMAL, b=NORMAL)


def test_the_next_pod_waits_until_both_have_heard_each_other(mounted: Path) -> None:
    spec = manifests("srmd.yaml")["StatefulSet"]["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate"}
    for config in configs(mounted):
        assert spec["minReadySeconds"] > config.heartbeat.keep_alive_interval_s
    budget = manifests("srmd.yaml")["PodDisruptionBudget"]["spec"]
    assert budget == {"maxUnavailable": 1, "selector": spec["selector"]}


def test_state_and_secrets_are_where_the_container_can_have_them(
    pod: Manifest, mounted: Path
) -> None:
    a, b = configs(mounted)
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {str(a.node.state_dir), str(b.node.state_dir)} == {"/var/lib/srmd"}
    (claim,) = manifests("srmd.yaml")["StatefulSet"]["spec"]["volumeClaimTemplates"]
    assert mounts["/var/lib/srmd"]["name"] == claim["metadata"]["name"]
    assert mounts["/etc/srmd"]["readOnly"] is True
    named = {volume["name"] for volume in pod["volumes"]} | {claim["metadata"]["name"]}
    assert {mount["name"] for mount in mounts.values()} == named
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"]


def test_a_pod_has_the_time_that_a_node_may_need_to_end(pod: Manifest, mounted: Path) -> None:
    a, _ = configs(mounted)
    needed_s = a.services.stop_limit_s + a.limits.shutdown_s
    assert pod["terminationGracePeriodSeconds"] > needed_s


def test_a_moved_pod_is_found_before_its_start_is_given_up(mounted: Path) -> None:
    """Its peer sends to the old address until the name is looked up again."""
    a, _ = configs(mounted)
    stale_s = RESOLVE_INTERVAL_S + DNS_CACHE_S + a.heartbeat.keep_alive_interval_s
    assert stale_s < a.heartbeat.initialization_keep_alive_timeout_s


def test_the_image_is_of_this_version(pod: Manifest) -> None:
    (container,) = pod["containers"]
    assert container["image"] == f"srmd:{__version__}"
    assert f"`{container['image']}`" in (FOLDER / "README.md").read_text(encoding="utf-8")


def to_the_peer(spec: Manifest, direction: str) -> Manifest:
    """The rule that is about the other node; empty when there is none."""
    peer = {"podSelector": spec["podSelector"]}
    ends = {"ingress": "from", "egress": "to"}
    found = [rule for rule in spec[direction] if rule[ends[direction]] == [peer]]
    return found[0] if found else {}


def test_the_policy_is_about_our_pods() -> None:
    labels = manifests("srmd.yaml")["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    spec = manifests("network.yaml")["NetworkPolicy"]["spec"]
    assert spec["podSelector"]["matchLabels"] == labels
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert to_the_peer(spec, "ingress")["ports"] == to_the_peer(spec, "egress")["ports"]


@pytest.mark.parametrize(
    "file, passing", [("partition.yaml", set()), ("partition-heartbeats.yaml", {"TCP"})]
)
def test_a_partition_is_the_same_policy_without_the_peer(file: str, passing: set[str]) -> None:
    healthy = manifests("network.yaml")["NetworkPolicy"]
    cut = copy.deepcopy(healthy)
    for direction in ("ingress", "egress"):
        rule = to_the_peer(cut["spec"], direction)
        rule["ports"] = [port for port in rule["ports"] if port["protocol"] in passing]
        if not rule["ports"]:
            cut["spec"][direction].remove(rule)
    assert manifests(file)["NetworkPolicy"] == cut
    assert cut != healthy


def test_the_guide_names_every_file_and_says_that_it_was_never_run() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "never run on a cluster" in text
    files = {file.name for file in FOLDER.glob("*.yaml")}
    assert set(re.findall(r"^\| `(.*?)` \|", text, re.MULTILINE)) == files
    applied = re.findall(r"deploy/kubernetes/([\w-]+\.yaml)", text)
    assert set(applied) <= files
