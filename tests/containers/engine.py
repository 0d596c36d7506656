"""podman and the pair of deploy/compose.yaml, in the words of the tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from srmd import __version__
from srmd.client import Client, ClientError
from srmd.secret import Secret
from srmd.shown import pair_of, written

ROOT: Final = Path(__file__).resolve().parents[2]
DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final = DEPLOY / "compose"
SECRETS: Final = COMPOSE / "secrets"
SCENARIOS: Final = ROOT / "configs" / "scenarios"
IMAGE: Final = f"localhost/srmd:{__version__}"
NEWER: Final = "9.9.9"
"""A version to upgrade to: this one, under another name."""
NAMES: Final = {"a": "srmd-node-a", "b": "srmd-node-b"}
ADDRESSES: Final = {"a": "10.89.77.11", "b": "10.89.77.12"}
OTHERS: Final = ("srmd-faults", "srmd-toxiproxy")
NETWORK: Final = "srmd_pair"
USER_ID: Final = 10001

COMMAND_LIMIT_S = 100.0
WAIT_LIMIT_S = 30.0
POLL_S = 0.05
STATE: Final = "/var/lib/srmd"
HARDENED: Final = (
    *("--read-only", "--cap-drop=all", "--security-opt", "no-new-privileges"),
    *("--network", "none"),
)


def missing() -> str | None:
    """Why no containers can be run here; None when they can."""
    if os.geteuid() != 0:
        return "root is needed"
    for program, package in {"podman": "podman", "nft": "nftables"}.items():
        if shutil.which(program) is None:
            return f"{program} is not on the PATH: apt-get install {package}"
    if not (ROOT / ".tools" / "toxiproxy" / "server").exists():
        return "there is no Toxiproxy: run `make toxiproxy`"
    if shutil.which("podman-compose") is None:
        return "podman-compose is not on the PATH: run `make containers`"
    if has_default_route():
        return "this is the machine's own network, which stays untouched: run `make containers`"
    if podman("image", "exists", IMAGE, check=False).returncode:
        return f"there is no image {IMAGE}: run `make containers`"
    return None


def has_default_route() -> bool:
    """This network leads somewhere: it was not made for the tests."""
    lines = Path("/proc/self/net/route").read_text().splitlines()[1:]
    return any(line.split()[1] == "00000000" for line in lines)


def podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return ran("podman", *arguments, check=check)


def script(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`deploy/containers`, as a person types it."""
    return ran(str(DEPLOY / "containers"), *arguments, check=check)


def ran(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )
    if check and done.returncode:
        said = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{said}")
    return done


def newer_image(ran_by: Callable[..., object] | None = None) -> None:
    """Make the image of NEWER from that of this version, unless it is there."""
    package = "/opt/srmd/lib/python3*/site-packages/srmd"
    command = f"""
podman image exists localhost/srmd:{NEWER} || podman build \\
    --quiet --format docker --network none --layers=false \\
    --tag localhost/srmd:{NEWER} --file - <<'END'
FROM {IMAGE}
USER 0:0
RUN sed -i 's/^__version__ = .*/__version__ = "{NEWER}"/' {package}/__init__.py
USER {USER_ID}:{USER_ID}
END
"""
    (ran if ran_by is None else ran_by)("bash", "-euo", "pipefail", "-c", command)


def wait_until(what: str, holds: Callable[[], bool], within_s: float = WAIT_LIMIT_S) -> None:
    give_up_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up_s, f"not within {within_s:g} s: {what}"
        time.sleep(POLL_S)


def inspected(name: str) -> dict[str, Any]:
    (found,) = json.loads(podman("container", "inspect", name).stdout)
    assert isinstance(found, dict)
    return found


def state(name: str) -> str:
    return str(inspected(name)["State"]["Status"])


def pid(name: str) -> int:
    """Of its process 1, as this machine counts."""
    return int(inspected(name)["State"]["Pid"])


def in_container(name: str, code: str) -> str:
    """What a piece of Python prints there."""
    return podman("exec", name, "python", "-c", code).stdout


@contextmanager
def node_alone(
    name: str, config: Path, *options: str, command: tuple[str, ...] = ()
) -> Iterator[str]:
    """A container of the image with this configuration and no network; it is gone at the end.

    So is its state, unless the options name a volume for it.
    """
    mounts = [f"--volume={config}:/etc/srmd/node.toml:ro"]
    if not any(option.endswith(f":{STATE}") for option in options):
        mounts.append(f"--volume={STATE}")  # without a name: `rm --volumes` takes it away
    mounts += [f"--volume={SECRETS / one}:/etc/srmd/secrets/{one}:ro" for one in ("key", "token")]
    podman("run", "--detach", "--name", name, *HARDENED, *mounts, *options, IMAGE, *command)
    try:
        yield name
    finally:
        podman("rm", "--force", "--volumes", "--time", "0", name)


def exit_code(name: str) -> int:
    """How it ended, when it has."""
    wait_until(f"{name} has ended", lambda: state(name) == "exited")
    return int(inspected(name)["State"]["ExitCode"])


class Pair:
    """The pair of the compose file, while it is up."""

    def __init__(self) -> None:
        token = Secret((SECRETS / "token").read_text().strip())
        self.clients = {
            node: Client(f"http://{address}:20075", token, timeout_s=1.0)
            for node, address in ADDRESSES.items()
        }

    def shows(self) -> dict[str, str]:
        """What each node shows of itself, as `State / Reason`."""
        found = {}
        for node, client in self.clients.items():
            try:
                found[node] = written(pair_of(client.status())[0].half)
            except ClientError:
                found[node] = "(does not answer)"
        return found

    def reaches(self, within_s: float = WAIT_LIMIT_S, **wanted: str) -> None:
        """a="Normal / Normal", b=...: all at the same time."""
        seen: list[dict[str, str]] = []

        def reached() -> bool:
            seen.append(self.shows())
            return all(seen[-1][node] == half for node, half in wanted.items())

        try:
            wait_until(str(wanted), reached, within_s)
        except AssertionError as late:
            raise AssertionError(f"{late}; seen at last: {seen[-1]}") from None

    def does(self, action: str, node: str) -> None:
        """An action of the administrator, asked of this node once it offers it."""
        wanted, client = {"action": action, "node": node}, self.clients[node]

        def offered() -> bool:
            try:
                return wanted in client.status()["actions"]
            except ClientError:
                return False

        wait_until(f"{node} offers {action}", offered)
        client.act(action, node)

    def is_home(self) -> bool:
        return self.shows() == dict.fromkeys(NAMES, "Normal / Normal")
