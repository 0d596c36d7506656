"""`make fuzz`: the parsers under atheris, and the HTTP API of a running node under schemathesis.

Both come from requirements-fuzz.lock, in an environment of their own.  Where they are missing it is
said loudly; with CI=true that is a failure.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from srmd.lab.pair import LabPair
from tests.fuzz.targets import TARGETS

INPUTS = 300_000
"""For each target."""
EXAMPLES = 50
"""For each operation of the API; schemathesis adds those of its own coverage."""
TARGET_LIMIT_S = 900.0
API_LIMIT_S = 900.0
REQUEST_LIMIT_S = 30
USERS = 20
NOT_ASKED = "actOnNode"
"""It shuts the node down; tests/daemon/test_http.py asks it of a node that is none."""
SETTINGS = """\
headers = { Authorization = "Bearer ${SRMD_TOKEN}", X-SRMD-Node = "lab/a" }
[checks]
# 503: the peer or the database cannot be reached, which is so after some of the requests.
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
# 422: a field is right by its form, and names what does not exist; for a file, a line is wrong.
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "5xx"]
"""


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("--inputs", type=int, default=INPUTS, help="for each target")
    options.add_argument("--examples", type=int, default=EXAMPLES, help="for each operation")
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    print(f"fuzz: seed {asked.seed}, {asked.inputs} inputs a target, {asked.examples} an operation")
    failed = []
    if _is_there("atheris"):
        failed += [name for name in TARGETS if not _target(name, asked.inputs, asked.seed)]
    if _is_there("schemathesis") and not _api(asked.examples, asked.seed):
        failed.append("api")
    if missing := [one for one in ("atheris", "schemathesis") if not _is_there(one)]:
        print(f"WARNING: not fuzzed: {', '.join(missing)} is not installed", file=sys.stderr)
        failed += missing if os.environ.get("CI") == "true" else []
    print(f"fuzz: {'failed: ' + ', '.join(failed) if failed else 'nothing found'}")
    return 1 if failed else 0


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _target(name: str, inputs: int, seed: int) -> bool:
    """Nothing was found; what was is shown, and the input as bytes."""
    with tempfile.TemporaryDirectory(prefix="srmd-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        words = [sys.executable, "-m", "tests.fuzz.coverage", name]
        words += [str(inputs), str(seed), str(corpus)]
        began_s = time.monotonic()
        done = _run(words, TARGET_LIMIT_S)
        took_s = time.monotonic() - began_s
        crashes = sorted(corpus.glob("[!s]*-*"))
        if done is not None and done.returncode == 0:
            kept = len(list(corpus.iterdir()))
            told = f"{inputs} inputs, {kept} kept for coverage, {took_s:.0f} s"
            print(f"  {name}: {told}", flush=True)
            return True
        told = "no end" if done is None else done.stdout[-4000:]
        print(f"  {name}: FOUND after {took_s:.0f} s\n{told}", flush=True)
        for crash in crashes:
            print(f"  {crash.name}: {crash.read_bytes()!r}")
        return False


def _api(examples: int, seed: int) -> bool:
    """Every answer of a node in a running pair is one of those that its document publishes."""
    with LabPair() as pair:
        pair.a.client.generate_users(USERS, "balanced", "user")
        settings = pair.a.folder / "schemathesis.toml"
        settings.write_text(SETTINGS)
        url = f"http://{pair.a.control}"
        words = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)]
        words += ["run", f"{url}/api/v1/openapi.json", "--url", url, "--phases"]
        words += ["examples,coverage,fuzzing", "--seed", str(seed), "--max-examples", str(examples)]
        words += ["--request-timeout", str(REQUEST_LIMIT_S), "--continue-on-failure"]
        words += ["--exclude-operation-id", NOT_ASKED, "--exclude-path-regex", "^/control/"]
        assert pair.a.client.token is not None
        token = pair.a.client.token.text()
        done = _run(words, API_LIMIT_S, pair.a.folder, SRMD_TOKEN=token)  # it leaves files there
        mistakes = [line for line in _log(pair) if "http.failed" in line or "srm.failed" in line]
        alive = [node.pid is not None for node in pair.nodes]
        good = done is not None and done.returncode == 0 and not mistakes and all(alive)
        told = "no end" if done is None else done.stdout
        counted = [line.strip() for line in told.splitlines() if "generated," in line]
        print(f"  api: {' '.join(counted)}" if good else f"  api: FOUND\n{told}", flush=True)
        for mistake in mistakes:
            print(f"  {mistake}")
        return good


def _log(pair: LabPair) -> list[str]:
    return [line for node in pair.nodes for line in node.log_file.read_text().splitlines()]


def _run(
    words: Sequence[str], limit_s: float, folder: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str] | None:
    """None: it did not end in time, and was killed."""
    try:
        return subprocess.run(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=limit_s,
            cwd=folder,
            env={**os.environ, **env},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


if __name__ == "__main__":
    sys.exit(main())
