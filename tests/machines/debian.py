"""What the machines of the tests are made from: a Debian root file system, and srmd as a wheel.

    root = root_file_system()       # built once, kept in .tools
    wheels = wheelhouse(folder)     # srmd's own wheel of this checkout, and what it depends on

The packages come from where this machine's own packages come from, as its sources.list says.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]
KEPT: Final = PROJECT / ".tools" / "machines"
RELEASE: Final = "bookworm"
PYTHON: Final = "3.11"
"""The release and its Python, which is not this machine's."""
PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "udev", "kmod"),
    *("python3", "python3-venv", "python3-pip"),
    *("iproute2", "nftables", "openssh-server", "openssh-client", "ca-certificates", "logrotate"),
    *("linux-image-cloud-amd64", "initramfs-tools"),  # for the virtual machines
)
NEEDED: Final = ("aiohttp", "structlog", "cryptography")
"""What srmd depends on, its extra `tls` included."""
LEFT_OUT: Final = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
SOURCES: Final = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
BUILD_LIMIT_S = 900.0
WHEEL_LIMIT_S = 300.0

DEBIAN: Final = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "qemu-system-x86_64": "qemu-system-x86 seabios",
    "mke2fs": "e2fsprogs",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "nft": "nftables",
    "journalctl": "systemd",
}
"""What is needed, and the Debian packages that have it."""


class MachineError(Exception):
    """A machine could not be made or told something; the message has the command and its answer."""


def missing(*programs: str) -> str | None:
    """What keeps machines from being made here, with the way out; None: nothing."""
    if os.geteuid() != 0:
        return "not root; run as root"
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        packages = " ".join(DEBIAN[program] for program in absent)
        return f"{', '.join(absent)} not on the PATH; apt-get install {packages}"
    if _sources() is None:
        return f"none of {', '.join(map(str, SOURCES))} is there; this needs a Debian machine"
    return None


def run(*command: str | Path, limit_s: float, cwd: Path | None = None) -> str:
    """Run a command of this machine, and return what it said.  Raises MachineError."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=limit_s, check=False, cwd=cwd
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"{' '.join(words)}: {error}") from error
    if done.returncode != 0:
        raise MachineError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def root_file_system() -> Path:
    """A folder to copy from.  The first call builds it, which takes a minute or two."""
    recipe = "\n".join((RELEASE, *PACKAGES, *LEFT_OUT))
    root = KEPT / f"root-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    if root.exists():
        return root
    KEPT.mkdir(parents=True, exist_ok=True)
    building = KEPT / f"building-{os.getpid()}"
    sources = _sources()
    assert sources is not None, "see missing()"
    try:
        run(
            *("mmdebstrap", "--mode=root", "--variant=minbase"),
            f"--include={','.join(PACKAGES)}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
            *(RELEASE, building, sources),
            limit_s=BUILD_LIMIT_S,
        )
        building.rename(root)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return root


def wheelhouse(folder: Path) -> Path:
    """Everything that `pip install srmd[tls]` needs on such a machine, which reaches no index."""
    kept = KEPT / "wheels"
    lock = PROJECT / "requirements-dev.lock"
    recipe = lock.read_bytes() + " ".join(NEEDED).encode()
    mark = kept / hashlib.sha256(recipe).hexdigest()[:8]
    if not mark.exists():
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        pinned = [line.rstrip("\\ ") for line in lock.read_text().splitlines() if "==" in line]
        (kept / "constraints.txt").write_text("\n".join(pinned) + "\n")
        run(
            *(sys.executable, "-m", "pip", "download", "--quiet", "--dest", kept),
            *("--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"),
            *("--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64"),
            *("--constraint", kept / "constraints.txt", *NEEDED),
            limit_s=WHEEL_LIMIT_S,
        )
        mark.touch()
    wheels = folder / "wheels"
    shutil.copytree(kept, wheels)
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", wheels, PROJECT),
        limit_s=WHEEL_LIMIT_S,
    )
    return wheels


def _sources() -> Path | None:
    return next((path for path in SOURCES if path.exists() and path.read_text().strip()), None)
