"""`srmd init`: the files of a new pair, one folder for each host.

    DIR/node-a/node.toml, k1.key, token        and the same under DIR/node-b/

The text is that of the shipped examples, with our values in the place of theirs: what a key means
is explained once.  Both nodes get the same key, because it is what they share, and the same token:
one administrator commands the pair, and who has taken one host has the key of both anyway.

With --tls there are a certificate, its key and the CA in each folder, and the CA's own key in
DIR/ca, which no node needs: it belongs where it is kept until certificates are renewed.
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import re
import secrets
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srmd.cli.asking import Options
from srmd.cli.exits import Exit, Failure
from srmd.config import Address, ControlConfig, HeartbeatConfig, shipped
from srmd.config.reading import NAME_RIGHT, is_name, parse_address, wrong_zone
from srmd.tls import node_uri

if TYPE_CHECKING:
    from srmd.cli.certificates import Authority

CONFIG_FILE = "node.toml"
KEY_FILE = "k1.key"
TOKEN_FILE = "token"  # noqa: S105 - the name of a file
HEARTBEAT_PORT = HeartbeatConfig.listen.port
CONTROL_PORT = ControlConfig.listen.port
KEY_BYTES = 32
TOKEN_BYTES = 32
ALL_ADDRESSES = "::"
"""Of both versions of IP; of IPv4 alone on a machine without IPv6."""
CERTIFICATE_FILE = "node.crt"
CERTIFICATE_KEY_FILE = "tls.key"
CA_FILE = "ca.crt"
CA_KEY_FILE = "ca.key"
CA_FOLDER = "ca"
TLS_DAYS_MAX = 3650
KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
PORT_MAX = 65_535
FREE_PORTS = range(20_100, 32_000)
"""Below the ports that Linux gives to outgoing connections."""
PORT_TRIES_MAX = 200
FILE_MODE = 0o600
FOLDER_MODE = 0o700
TEMPLATES = {"cisco": "cisco-defaults/node-a.toml", "fast": "node-a.toml"}
"""The shipped example whose text and timers are taken, by --timers."""
COMMENT_COLUMN = 36
LAPTOP_ONLY = "# FOR THE LAPTOP ONLY"
"""How a line of the examples begins that is about their published secrets."""

Values = Mapping[tuple[str, str], str]
"""What stands behind `key =` in a section, as TOML."""


@dataclass(frozen=True, slots=True)
class Host:
    """One node of the pair, as its peer reaches it."""

    name: str
    heartbeat: Address
    control: Address

    @property
    def folder(self) -> str:
        return f"node-{self.name}"

    @property
    def names(self) -> list[str]:
        """By which programs call it, besides addresses."""
        try:
            ipaddress.ip_address(self.control.host)
        except ValueError:
            return [] if self.control.is_loopback else [self.control.host]
        return []

    def listens(self, address: Address) -> Address:
        """Where it listens to be reached there.

        For a name that is all addresses: many a host has its own name for a loopback address.
        """
        try:
            ipaddress.ip_address(address.host)
        except ValueError:
            return address if address.is_loopback else Address(ALL_ADDRESSES, address.port)
        return address


def init(options: Options) -> int:
    """Raises Failure, with nothing written, when something is wrong or in the way."""
    a, b = hosts = _hosts(options)
    _judge_state_dir(options.state_dir, hosts)
    if not is_name(options.group):
        raise Failure(Exit.USAGE, f"--group: {options.group!r}: {NAME_RIGHT}")
    template = (shipped() / TEMPLATES[options.timers]).read_text(encoding="utf-8")
    signer = _signer(options)
    shared = {
        KEY_FILE: secrets.token_hex(KEY_BYTES) + "\n",
        TOKEN_FILE: secrets.token_urlsafe(TOKEN_BYTES) + "\n",
    }
    folders = {
        me.folder: _folder_of(me, peer, options, template, shared=shared, signer=signer)
        for me, peer in ((a, b), (b, a))
    }
    if signer is not None and options.tls_ca is None:
        folders[CA_FOLDER] = {CA_FILE: signer.certificate, CA_KEY_FILE: signer.key}
    _write(Path(options.folder), folders)
    print(_next_steps(Path(options.folder), hosts, options.timers))
    return Exit.OK


def _folder_of(
    me: Host,
    peer: Host,
    options: Options,
    template: str,
    *,
    shared: Mapping[str, str],
    signer: Authority | None,
) -> dict[str, str]:
    """The files of one node: name -> text."""
    head = (
        f"# Node {me.name} of a pair with {peer.name}, made by `srmd init`.\n"
        "# It belongs on its host together with the key and the token beside it.\n"
    )
    settings = {
        ("node", "id"): _text(me.name),
        ("node", "state_dir"): _text(options.state_dir),
        ("group", "name"): _text(options.group),
        ("peer", "id"): _text(peer.name),
        ("peer", "heartbeat"): _text(str(peer.heartbeat)),
        ("peer", "control"): _text(f"http{'s' if signer else ''}://{peer.control}"),
        ("heartbeat", "listen"): _text(str(me.listens(me.heartbeat))),
        ("control", "listen"): _text(str(me.listens(me.control))),
        ("control", "token"): _from_file(TOKEN_FILE),
        ("control", "allowed_hosts"): json.dumps(me.names),
        ("auth.keys", "k1"): _from_file(KEY_FILE),
    }
    files = dict(shared)
    if signer is not None:
        uri = node_uri(options.group, me.name)
        files[CERTIFICATE_FILE], files[CERTIFICATE_KEY_FILE] = signer.sign(uri, me.control.host)
        files[CA_FILE] = signer.certificate
        named = {"certificate": CERTIFICATE_FILE, "key": CERTIFICATE_KEY_FILE, "ca": CA_FILE}
        settings |= {("tls", key): _text(name) for key, name in named.items()}
    return {CONFIG_FILE: filled(template, head, settings), **files}


# ---------------------------------------------------------------------------- what was asked for


def _signer(options: Options) -> Authority | None:
    """Raises Failure when certificates are wanted and cannot be made."""
    if not options.tls:
        if options.tls_ca is not None:
            raise Failure(Exit.USAGE, f"--tls-ca: {options.tls_ca}: only with --tls")
        return None
    days = int(options.tls_days) if re.fullmatch("[0-9]{1,5}", options.tls_days) else 0
    if not 1 <= days <= TLS_DAYS_MAX:
        right = f"days from 1 to {TLS_DAYS_MAX}"
        raise Failure(Exit.USAGE, f"--tls-days: {options.tls_days}: {right}")
    try:
        from srmd.cli.certificates import Authority, BadAuthority  # needs an extra
    except ImportError as missing:
        right = "the Python package cryptography makes the certificates: pip install 'srmd[tls]'"
        raise Failure(Exit.FAILED, f"--tls: {missing}; {right}") from missing
    if options.tls_ca is None:
        return Authority.new(options.group, days)
    folder = Path(options.tls_ca)
    try:
        return Authority.read(folder / CA_FILE, folder / CA_KEY_FILE, days)
    except BadAuthority as bad:
        raise Failure(Exit.USAGE, f"--tls-ca: {bad}") from bad


def _hosts(options: Options) -> tuple[Host, Host]:
    names: list[str] = options.names
    for name in names:
        if not is_name(name):
            raise Failure(Exit.USAGE, f"--names: {name!r}: {NAME_RIGHT}")
    if names[0] == names[1]:
        raise Failure(Exit.USAGE, f"--names: {names[0]} twice: each node needs a name of its own")
    at_a, at_b = (_heartbeat_address(text) for text in options.addresses)
    if at_a.is_loopback != at_b.is_loopback:
        inner, outer = (at_a, at_b) if at_a.is_loopback else (at_b, at_a)
        right = f"no other host reaches it; an address of that host which {outer.host} can reach"
        raise Failure(Exit.USAGE, f"--addresses: {inner.host}: {right}")
    together = at_a.host == at_b.host
    (beats_a, control_a), (beats_b, control_b) = _ports(options, at_a, together=together)
    a = Host(names[0], Address(at_a.host, beats_a), Address(at_a.host, control_a))
    b = Host(names[1], Address(at_b.host, beats_b), Address(at_b.host, control_b))
    if at_a.is_loopback:
        _warn_of_ports(options, (a, b))
    return a, b


Ports = tuple[int, int]
"""For heartbeats (UDP) and control (TCP)."""


def _ports(options: Options, at: Address, *, together: bool) -> tuple[Ports, Ports]:
    """The ports of both nodes; two nodes at one address need ports of their own."""
    if options.free_ports:
        if options.ports is not None:
            raise Failure(Exit.USAGE, "--free-ports: --ports names others; give one of the two")
        if not at.is_loopback:
            right = "only for a pair on this machine; --ports names those of other hosts"
            raise Failure(Exit.USAGE, f"--free-ports: {right}")
        return _free_ports(at.host)
    given = options.ports or (str(HEARTBEAT_PORT), str(CONTROL_PORT))
    beats, control = (_port(text) for text in given)
    further = 1 if together else 0
    if max(beats, control) + further > PORT_MAX:
        right = f"{PORT_MAX - 1} at most, because the other node gets the next one"
        raise Failure(Exit.USAGE, f"--ports: {max(beats, control)}: {right}")
    return (beats, control), (beats + further, control + further)


def _port(text: str) -> int:
    if re.fullmatch("[0-9]{1,5}", text) and 1 <= int(text) <= PORT_MAX:
        return int(text)
    raise Failure(Exit.USAGE, f"--ports: {text}: a port is 1-{PORT_MAX}")


def _free_ports(host: str) -> tuple[Ports, Ports]:
    """Ports that nothing on this machine uses now.  Raises Failure when there are too few."""
    found: list[int] = []
    for port in random.sample(FREE_PORTS, PORT_TRIES_MAX):
        if all(_is_free(Address(host, port), kind) for kind in KINDS):
            found.append(port)
        if len(found) == 4:
            return (found[0], found[1]), (found[2], found[3])
    right = f"{PORT_TRIES_MAX} ports were tried, nearly all in use; name some by --ports"
    raise Failure(Exit.FAILED, f"--free-ports: {right}")


def _is_free(address: Address, kind: socket.SocketKind) -> bool:
    from srmd.daemon.listening import bound

    try:
        bound(address, kind).close()
    except OSError:
        return False
    return True


def _warn_of_ports(options: Options, hosts: tuple[Host, Host]) -> None:
    """A pair whose ports are taken does not start, and its commands would ask another one."""
    for host in hosts:
        for address, kind in zip((host.heartbeat, host.control), KINDS, strict=True):
            if not options.free_ports and not _is_free(address, kind):
                right = "in use now; stop what uses it, or take other ports: --free-ports, --ports"
                print(f"srmd: warning: {address} is {right}", file=sys.stderr)


def _heartbeat_address(text: str) -> Address:
    bare = text.removeprefix("[").removesuffix("]")
    written = f"[{bare}]" if ":" in bare else bare
    address = parse_address(f"{written}:{HEARTBEAT_PORT}")
    if address is None:
        right = "a name or an IP address, without a port, such as 192.0.2.11"
        raise Failure(Exit.USAGE, f"--addresses: {text}: {right}")
    if (wrong := wrong_zone(address)) is not None:
        raise Failure(Exit.USAGE, f"--addresses: {text}: {wrong.rpartition(':')[0]}")
    if address.is_wildcard:
        right = "stands for all addresses; one that the other node can send to is needed"
        raise Failure(Exit.USAGE, f"--addresses: {text}: {right}")
    return address


def _judge_state_dir(state_dir: str, hosts: tuple[Host, Host]) -> None:
    if not state_dir or not state_dir.isprintable():
        raise Failure(Exit.USAGE, f"--state-dir: {state_dir!r}: the name of a folder is needed")
    a, b = (host.heartbeat for host in hosts)
    if os.path.isabs(state_dir) and (a.host == b.host or a.is_loopback):  # noqa: PTH117 - a text
        right = "both nodes are on one machine; a relative one is below the folder of each node"
        raise Failure(Exit.USAGE, f"--state-dir: {state_dir}: {right}")


# ---------------------------------------------------------------------------- the text


SECTION = re.compile(r"\[([a-z.]+)\]")
SETTING = re.compile(r"""(?P<key>\w+)\ =\ (?:"[^"]*"|[^\s"#]+)\s*(?P<comment>\#.*)?""", re.VERBOSE)


def filled(template: str, head: str, values: Values) -> str:
    """The template with these values, its comments kept where they stand.

    Its first paragraph, up to an empty comment line, gives way to `head`.
    """
    first, blank, body = template.partition("\n#\n")
    assert blank, "the template has no first paragraph"
    assert all(line.startswith("#") for line in first.splitlines())
    lines, section, left = [], "", dict(values)
    for line in body.splitlines():
        if line.startswith(LAPTOP_ONLY):
            continue
        if found := SECTION.match(line):
            section = found[1]
        setting = SETTING.fullmatch(line)
        value = left.pop((section, setting["key"]), None) if setting else None
        lines.append(line if setting is None or value is None else _line(setting, value))
    assert not left, f"not in the template: {sorted(left)}"
    return "\n".join([head + "#", *lines]) + "\n"


def _line(setting: re.Match[str], value: str) -> str:
    text = f"{setting['key']} = {value}"
    if setting["comment"] is None:
        return text
    return f"{text:<{COMMENT_COLUMN - 2}}  {setting['comment']}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a basic string of TOML


def _from_file(name: str) -> str:
    return f'{{ file = "{name}" }}'


# ---------------------------------------------------------------------------- the files


def _write(folder: Path, folders: Mapping[str, Mapping[str, str]]) -> None:
    """All of it or nothing.  Raises Failure; what exists is left as it is."""
    for name in folders:
        if os.path.lexists(folder / name):
            right = "exists, and nothing is overwritten; remove it or name another DIR"
            raise Failure(Exit.REFUSED, f"{folder / name}: {right}")
    made: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, files in folders.items():
            (folder / name).mkdir(mode=FOLDER_MODE)
            made.append(folder / name)
            for file, text in files.items():
                _write_secret(folder / name / file, text)
    except BaseException as failed:
        for path in made:
            shutil.rmtree(path, ignore_errors=True)
        if isinstance(failed, OSError):
            where = failed.filename or folder
            right = "nothing was written; name a folder that can be written to"
            raise Failure(Exit.FAILED, f"{where}: {failed.strerror}; {right}") from failed
        raise


def _write_secret(path: Path, text: str) -> None:
    """Never readable for others, not for a moment."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _next_steps(folder: Path, hosts: tuple[Host, Host], timers: str) -> str:
    files = [_typed(folder / host.folder / CONFIG_FILE) for host in hosts]
    whose = "Cisco's timers" if timers == "cisco" else "timers fast enough to watch"
    lines = [
        f"{folder}: a pair with {whose}; one key and one token for both nodes",
        "next:",
        *(f"  srmd config check {file}" for file in files),
    ]
    if (folder / CA_FOLDER / CA_KEY_FILE).exists():
        lines += [f"  keep {_typed(folder / CA_FOLDER)} off both hosts: it signs new certificates"]
    a, b = hosts
    if a.heartbeat.host == b.heartbeat.host or a.heartbeat.is_loopback:
        lines += [f"  srmd run --config {file} &" for file in files]
        lines += [f"  srmd status --config {files[0]}"]
        return "\n".join(lines)
    for host in hosts:
        at = str(host.heartbeat).rpartition(":")[0]
        lines += [
            f"  scp -rp {_typed(folder / host.folder)} {at}:    # it holds secrets",
            f"  on {host.heartbeat.host}: srmd run --config {host.folder}/{CONFIG_FILE}",
        ]
    ports = f"UDP {a.heartbeat.port} and TCP {a.control.port}"
    lines += [
        f"  {ports} must be open between the two",
        f"  on {a.heartbeat.host}: srmd status --config {a.folder}/{CONFIG_FILE}",
    ]
    return "\n".join(lines)


def _typed(path: Path) -> str:
    """The path as a shell takes it."""
    return shlex.quote(str(path))
