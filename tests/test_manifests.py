"""The Kubernetes manifests agree with each other, with `srmd init`, and with the program.

They were never run on a cluster; `make manifests` validates them against the schemas.
"""

from __future__ import annotations

import copy
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from srmd import __version__
from srmd.cli import Exit, main
from srmd.config import Config, load
from srmd.daemon.heartbeat import RESOLVE_INTERVAL_S
from srmd.daemon.routes import ROUTES

FOLDER = Path(__file__).parent.parent / "deploy" / "kubernetes"
DNS_CACHE_S = 30.0
"""How long the DNS of a cluster may hold an answer: the usual bound."""

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


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the guide's `srmd init` has written a pair."""
    monkeypatch.chdir(tmp_path)
    ((_, *words),) = command("srmd init")
    assert main(words) == Exit.OK
    return tmp_path


@pytest.fixture
def mounted(made: Path, pod: Manifest) -> Path:
    """The folder /etc/srmd of a pod: the guide's ConfigMap and Secret, projected."""
    keys: dict[str, dict[str, Path]] = {"configmap": {}, "secret": {}}
    for words in command("kubectl create"):
        for word in words:
            if word.startswith("--from-file="):
                *key, file = word.removeprefix("--from-file=").split("=")
                keys[words[2]][key[0] if key else Path(file).name] = made / file
    (volume,) = (v for v in pod["volumes"] if v["name"] == "configuration")
    folder = made / "etc-srmd"
    folder.mkdir()
    used = set()
    for source in volume["projected"]["sources"]:
        ((kind, content),) = source.items()
        assert content["name"] == "srmd"
        for item in content["items"]:
            shutil.copy(keys[kind.lower()][item["key"]], folder / item["path"])
            used.add(item["key"])
    assert used == set(keys["configmap"]) | set(keys["secret"])
    return folder


def configs(mounted: Path) -> tuple[Config, Config]:
    a, b = (load(mounted / f"srmd-{ordinal}.toml", env={}).config for ordinal in (0, 1))
    return a, b


def test_each_pod_starts_with_the_file_of_its_own_name(pod: Manifest, mounted: Path) -> None:
    (container,) = pod["containers"]
    assert container["command"] == ["srmd", "run", "--config", "/etc/srmd/$(POD_NAME).toml"]
    assert container["env"] == [
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
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


def test_the_probes_ask_a_route_that_needs_no_token(pod: Manifest) -> None:
    routes = {route.path: route for route in ROUTES if route.method == "GET"}
    (container,) = pod["containers"]
    for probe in ("readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert not routes[asked["path"]].needs_token
        assert asked["port"] == "control"


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
