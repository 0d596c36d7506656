"""A record of the settings that a running node uses, for `srmd config check --running` (srmd).

The node writes it into its state_dir each time it takes something: for each key what a person may
see, and a fingerprint (HMAC-SHA-256 under a key of this writing), which tells whether two secrets
or the contents of two files are the same and nothing else.  Whoever may read the state_dir can ask:
no token is needed, no certificate, and no port.
"""

from __future__ import annotations

import errno
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srmd.config.reading import Loaded
from srmd.config.render import rows
from srmd.config.taking import Needs, needs, values
from srmd.config.values import Config
from srmd.secret import HIDDEN, Secret

if TYPE_CHECKING:
    from srmd.tls import Contexts

RUNNING_FILE = "running.json"
FORMAT = 1
FILE_BYTES_MAX = 1_000_000
KEY_BYTES = 32


class NotKnown(Exception):
    """The settings in use cannot be known; the message has the place and the way out."""


class NotRunning(Exception):
    """No node runs with this state_dir."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A key in which the files differ from what runs."""

    key: str
    file: str
    """As the configuration has it; empty when it has none."""
    running: str
    needs: Needs

    def __str__(self) -> str:
        if self.file == self.running:  # a secret, or a file with another content under its name
            what = "its value" if self.file == HIDDEN else f"what {self.file} holds"
            return f"{self.key}: {what} is not what the node uses; needs {self.needs.value}"
        return (
            f"{self.key}: {self.file or '(nothing)'} in the file, {self.running or '(nothing)'} "
            f"runs; needs {self.needs.value}"
        )


@dataclass(frozen=True, slots=True)
class Running:
    """The record that a node has written of itself."""

    version: str
    copies: str
    """The folder with the copies that it reads; empty when it reads the files themselves."""
    key: bytes
    shown: Mapping[str, tuple[str, str]]
    """By dotted key: the value as a person may see it, and its fingerprint."""


def written(
    config: Config, contexts: Contexts | None, *, version: str, copies: Path | None
) -> bytes:
    """The content of the file, for this process."""
    key = secrets.token_bytes(KEY_BYTES)
    told = {
        "format": FORMAT,
        "version": version,
        "pid": os.getpid(),
        "began": _began(os.getpid()),
        "copies": str(copies or ""),
        "key": key.hex(),
        "shown": _shown(config, contexts, key),
    }
    return json.dumps(told, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def read(state_dir: Path) -> Running:
    """The record of the node of this folder.  Raises NotKnown and NotRunning."""
    path = state_dir / RUNNING_FILE
    try:
        told = _parsed(path, _content(path))
    except FileNotFoundError:
        raise NotRunning(f"no node runs with node.state_dir {state_dir}") from None
    except PermissionError as failed:
        right = "run this as root, or as the user who runs the node"
        raise NotKnown(f"{path}: {failed.strerror}; {right}") from failed
    except OSError as failed:
        raise NotKnown(f"{path}: {failed.strerror}; name the file of the node") from failed
    if _began(told["pid"]) != told["began"]:
        raise NotRunning(f"no node runs with node.state_dir {state_dir}: its process has ended")
    shown = {key: (str(text), str(mark)) for key, (text, mark) in told["shown"].items()}
    return Running(str(told["version"]), str(told["copies"]), bytes.fromhex(told["key"]), shown)


def _content(path: Path) -> bytes:
    """Of a plain file: the folder is the node's user's, and root must not wait for a pipe in it.

    Raises OSError.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        return file.read(FILE_BYTES_MAX + 1)


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    right = "compare by the srmd that runs the node, or restart srmd run"
    try:
        told = json.loads(content)
        if told["format"] != FORMAT:
            raise NotKnown(f"{path}: written by version {told['version']} of srmd; {right}")
        bytes.fromhex(told["key"])
        whole = isinstance(told["pid"], int) and all(
            isinstance(row, list) and len(row) == 2 for row in told["shown"].values()
        )
        told["version"], told["copies"], told["began"]
    except (ValueError, TypeError, KeyError, AttributeError) as failed:
        raise NotKnown(f"{path}: it is damaged; {right}") from failed
    if not whole or len(content) > FILE_BYTES_MAX:
        raise NotKnown(f"{path}: it is damaged; {right}")
    assert isinstance(told, dict)
    return told


def differences(running: Running, loaded: Loaded) -> tuple[Difference, ...]:
    """Keys in which the files differ from what runs, in the order of the configuration."""
    fresh = _shown(loaded.config, loaded.contexts, running.key)
    nothing = ("", "")
    return tuple(
        Difference(key, fresh.get(key, nothing)[0], running.shown.get(key, nothing)[0], needs(key))
        for key in dict.fromkeys((*fresh, *running.shown))
        if fresh.get(key, nothing)[1] != running.shown.get(key, nothing)[1]
    )


def differing(one: Loaded, other: Loaded) -> tuple[str, ...]:
    """Keys in which two readings differ, secrets and the contents of files too."""
    key = secrets.token_bytes(KEY_BYTES)
    first, second = (_shown(each.config, each.contexts, key) for each in (one, other))
    keys = dict.fromkeys((*first, *second))
    return tuple(name for name in keys if first.get(name) != second.get(name))


def _shown(config: Config, contexts: Contexts | None, key: bytes) -> dict[str, tuple[str, str]]:
    """By dotted key: the value as a person may see it, and its fingerprint."""
    digests = contexts.digests if contexts is not None else {}
    secret = {name: value for name, value in values(config).items() if isinstance(value, Secret)}
    found = {}
    for name, text in rows(config):
        content = secret[name].reveal() if name in secret else text.encode(errors="replace")
        digest = digests.get(name.removeprefix("tls."), "") if name.startswith("tls.") else ""
        message = b"\0".join([name.encode(errors="replace"), digest.encode(), content])
        found[name] = (text, hmac.digest(key, message, "sha256").hex())
    return found


def _began(pid: int) -> str:
    """When a process began, in ticks since the boot of its machine; empty: it does not run.

    Where the system does not tell, a process that runs is taken for the one that is meant.
    """
    try:
        with Path(f"/proc/{pid}/stat").open("rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except FileNotFoundError:
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"
