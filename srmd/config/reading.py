"""The TOML file of a node: every key read, every problem noted, one verdict at the end."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from srmd import strict_toml
from srmd.config.files import Files, absolute, current
from srmd.config.machine import judge_machine
from srmd.config.relations import relate
from srmd.config.secrets import Secrets, judge_mode
from srmd.config.values import (
    Address,
    AuthConfig,
    Config,
    ControlConfig,
    GroupConfig,
    HeartbeatConfig,
    LimitsConfig,
    LogConfig,
    NodeConfig,
    PeerConfig,
    ServiceConfig,
    ServicesConfig,
    TlsConfig,
    UsersConfig,
)
from srmd.core.services import DATABASE_SERVICE, SRM_SERVICE, as_cisco_writes
from srmd.relogin import LOWER_LIMIT_S, UPPER_LIMIT_S, ReLogin
from srmd.strict_toml import MISSING, Problem, Reader, Table, TomlError
from srmd.wire.keys import AuthMode

if TYPE_CHECKING:
    from srmd.tls import Contexts

DURATION_S_MAX = 86_400.0
"""No duration of a pair is longer than a day; ours."""
TIMER_S_MIN = 0.01
"""Below this the clock of an ordinary machine decides, not the setting; ours."""
RATE_PER_S_MAX = 100_000.0
JOURNAL_BYTES_MIN = 100_000
JOURNAL_BYTES_MAX = 10_000_000_000
SERVICES_MAX = 32
COMMAND_PARTS_MAX = 64
PROTOCOL_VERSION_MAX = 255
"""It is one byte of a heartbeat."""
SWAPS_MAX = 5
"""So often other copies may take the place of those that are being read; ours."""
KEYS_MAX = 2
"""The active key, and the old or the next one during a rotation."""

HOSTS_MAX = 32
HOST_NAME = r"(?=.{1,253}\.?\Z)[A-Za-z0-9_][A-Za-z0-9_.-]*"

NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
NAME_RIGHT = "1-63 letters, digits, '.', '_' or '-', a letter or digit first"
SERVICE_NAME = r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}"
SERVICE_NAME_RIGHT = "1-63 letters, digits, blanks, '.', '_' or '-', a letter or digit first"


def is_name(text: str) -> bool:
    """The text can be the name of a node or of a group."""
    return re.fullmatch(NAME, text) is not None


class ConfigError(TomlError):
    """A configuration that cannot be used; `problems` has all that is wrong with it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used, and what is unwise in it."""

    config: Config
    warnings: tuple[Problem, ...]
    secret_variables: frozenset[str]
    """Of the environment, that hold secrets."""
    contexts: Contexts | None = None
    """The content of the files of [tls] when they were read; None without [tls]."""


def load(
    path: str | os.PathLike[str],
    env: Mapping[str, str] | None = None,
    *,
    on_this_machine: bool = False,
    copies: Path | None = None,
    now_s: float | None = None,
) -> Loaded:
    """Reads the file of a node.  Raises ConfigError with all problems at once.

    `env` answers `{env = "NAME"}`; None: the environment of this process.
    `on_this_machine`: folders, files, programs, interfaces and ports are looked for too.
    `copies`: a folder whose set of copies (`srmd config copy`) is read in the place of the files.
    `now_s`: the second of the wall clock by which a certificate is judged; None: it is not.
    """
    file = Path(path)
    env = os.environ if env is None else env
    if copies is None:
        return load_by(file, Files(file.parent), env, on_this_machine=on_this_machine, now_s=now_s)
    for _ in range(SWAPS_MAX):
        placed = current(copies)
        if placed is None:
            right = f"make it: srmd config copy {file} --to {copies}"
            raise ConfigError(file, [Problem("", f"no copy of it is in {copies}", right)])
        try:
            files = Files(file.parent, placed)
            return load_by(file, files, env, on_this_machine=on_this_machine, now_s=now_s)
        except ConfigError:
            if current(copies) == placed:
                raise
    right = "others take their place all the time; try again"
    raise ConfigError(file, [Problem("", f"its copies in {copies}", right)])


def load_by(
    file: Path,
    files: Files,
    env: Mapping[str, str],
    *,
    on_this_machine: bool = False,
    now_s: float | None = None,
) -> Loaded:
    """As `load`.  What the configuration names is noted in `files`, also when this raises."""
    folder = file.parent
    reader = strict_toml.read(file, ConfigError, at=files.at(files.name("", file.name)))
    root = reader.root()
    secrets = Secrets(files, env)
    encryption, contexts = _tls(root.table("tls"), files)
    config = Config(
        node=_node(root.table("node"), folder),
        group=_group(root.table("group")),
        peer=_peer(root.table("peer")),
        heartbeat=_heartbeat(root.table("heartbeat")),
        control=_control(root.table("control"), secrets),
        auth=_auth(root.table("auth"), secrets),
        tls=encryption,
        services=_services(root.table("services")),
        users=_users(root.table("users")),
        limits=_limits(root.table("limits")),
        relogin=_relogin(root.table("relogin")),
        log=_log(root.table("log"), folder),
    )
    root.close()
    relate(reader, config)
    if contexts is not None:
        _judge_certificate(reader, config, contexts, now_s)
    if on_this_machine:
        judge_machine(reader, config)
    reader.verdict()
    warnings = tuple(reader.warnings)
    return Loaded(config, warnings, frozenset(secrets.variables), contexts)


def shipped() -> Path:
    """The folder of the example configurations and scenarios.

    In a wheel it is `_configs` inside the package, in a checkout `configs` beside it.
    """
    package = Path(__file__).parent.parent
    inside = package / "_configs"
    return inside if inside.is_dir() else package.parent / "configs"


# One function for each section, in the order of the file.


def _node(table: Table, folder: Path) -> NodeConfig:
    section = NodeConfig(
        id=table.matching("id", None, NAME, right=NAME_RIGHT),
        state_dir=absolute(folder, table.text("state_dir", right="a folder for this node alone")),
        reboot_s=table.number("reboot_s", NodeConfig.reboot_s, low=0, high=DURATION_S_MAX),
    )
    table.close()
    return section


def _group(table: Table) -> GroupConfig:
    default = GroupConfig
    section = GroupConfig(
        name=table.matching("name", None, NAME, right=NAME_RIGHT),
        ha_enabled=table.flag("ha_enabled", default.ha_enabled),
        split_brain=table.choice("split_brain", default.split_brain),
        automatic_fallback=table.flag("automatic_fallback", default.automatic_fallback),
        automatic_fallback_wait_s=table.number(
            "automatic_fallback_wait_s",
            default.automatic_fallback_wait_s,
            low=0,
            high=DURATION_S_MAX,
        ),
    )
    table.close()
    return section


def _peer(table: Table) -> PeerConfig:
    section = PeerConfig(
        id=table.matching("id", None, NAME, right=NAME_RIGHT),
        heartbeat=_address(table, "heartbeat", None),
        control=_url(table, "control"),
    )
    table.close()
    return section


def _heartbeat(table: Table) -> HeartbeatConfig:
    default = HeartbeatConfig
    section = HeartbeatConfig(
        listen=_address(table, "listen", default.listen),
        keep_alive_interval_s=_timer(table, "keep_alive_interval_s", default.keep_alive_interval_s),
        keep_alive_timeout_s=_timer(table, "keep_alive_timeout_s", default.keep_alive_timeout_s),
        initialization_keep_alive_timeout_s=_timer(
            table,
            "initialization_keep_alive_timeout_s",
            default.initialization_keep_alive_timeout_s,
        ),
        protocol_version=table.whole(
            "protocol_version",
            default.protocol_version,
            low=1,
            high=PROTOCOL_VERSION_MAX,
            unit="a version",
        ),
    )
    table.close()
    return section


def _control(table: Table, secrets: Secrets) -> ControlConfig:
    default = ControlConfig
    section = ControlConfig(
        listen=_address(table, "listen", default.listen),
        call_timeout_s=_timer(table, "call_timeout_s", default.call_timeout_s),
        token=secrets.token(table, "token"),
        old_token=secrets.token(table, "old_token", may_be_empty=True),
        allowed_hosts=_host_names(table, "allowed_hosts"),
    )
    table.close()
    return section


def _auth(table: Table, secrets: Secrets) -> AuthConfig:
    mode = table.choice("mode", AuthConfig.mode)
    ring = table.table("keys")
    named = ring.names()
    keys = {}
    for key_id in named:
        if secret := secrets.key(ring, key_id):
            keys[key_id] = secret
    if len(named) > KEYS_MAX:
        right = f"at most {KEYS_MAX} keys: the active one, and another during a rotation"
        table.problem("keys", named, right)
    if mode is not AuthMode.OFF and not named and table.reader.fine("auth.keys"):
        right = 'at least one key, such as k1 = { file = "k1.key" }'
        table.reader.problem("auth.keys", MISSING, right)
    only = named[0] if len(named) == 1 else None
    active = table.text("active", "" if not named else only, right="the id of one of auth.keys")
    if active and active not in named:
        table.problem("active", active, f"one of auth.keys ({', '.join(named) or 'none'})")
    table.close()
    return AuthConfig(mode=mode, active=active, keys=keys)


def _tls(table: Table, files: Files) -> tuple[TlsConfig, Contexts | None]:
    texts = {key: table.text(key, "") for key in ("certificate", "key", "ca")}
    table.close()
    if not any(texts.values()):
        return TlsConfig(), None
    for key, text in texts.items():
        if not text and table.reader.fine(table.key(key)):
            right = "certificate, key and ca together, or none of them"
            table.reader.problem(table.key(key), MISSING, right)
    paths = {key: files.name(table.key(key), text) if text else None for key, text in texts.items()}
    section, contexts = TlsConfig(**paths), None
    if section.files is not None:
        from srmd import tls  # with its sockets, only where it is wanted

        try:
            contexts = tls.read(*section.files, at=files.at)
            judge_mode(table.reader, "tls.key", texts["key"], files.at(section.files[1]).stat())
        except tls.BadCertificate as bad:
            table.reader.problem(table.key(bad.place), bad.value, bad.right)
        except OSError as failed:
            table.problem("key", texts["key"], f"a file that can be read ({failed.strerror})")
    return section, contexts


def _judge_certificate(
    reader: Reader, config: Config, contexts: Contexts, now_s: float | None
) -> None:
    """The certificate is that of this node.  That it has ended is a warning: the clock may be
    wrong, and heartbeats need no certificate."""
    from srmd.tls import node_uri  # see above

    key, file = "tls.certificate", str(config.tls.certificate)
    needed = node_uri(config.group.name, config.node.id)
    names = contexts.certificate.names
    if needed not in names and reader.fine("group.name", "node.id"):
        there = ", ".join(names) or "no node"
        reader.problem(key, file, f"the certificate of {needed}; this one names {there}")
    why = "" if now_s is None else contexts.certificate.untimely(now_s)
    if why:
        right = f"it {why}, so control calls and commands fail; put a new one in its place"
        reader.warn(key, file, right)


def _services(table: Table) -> ServicesConfig:
    default = ServicesConfig
    section = ServicesConfig(
        critical_service_delay_s=table.number(
            "critical_service_delay_s",
            default.critical_service_delay_s,
            low=0,
            high=DURATION_S_MAX,
        ),
        start_limit_s=_timer(table, "start_limit_s", default.start_limit_s),
        stop_limit_s=_timer(table, "stop_limit_s", default.stop_limit_s),
        health_interval_s=_timer(table, "health_interval_s", default.health_interval_s),
        health_limit_s=_timer(table, "health_limit_s", default.health_limit_s),
        service=_service_list(table) or default.service,
    )
    table.close()
    return section


def _service_list(table: Table) -> tuple[ServiceConfig, ...]:
    found: list[ServiceConfig] = []
    for entry in table.tables("service"):
        service = ServiceConfig(
            name=as_cisco_writes(
                entry.matching("name", None, SERVICE_NAME, right=SERVICE_NAME_RIGHT)
            ),
            command=entry.texts("command"),
            enabled=entry.flag("enabled", ServiceConfig.enabled),
            critical=entry.flag("critical", ServiceConfig.critical),
            health_command=entry.texts("health_command"),
            health_interval_s=_own_timer(entry, "health_interval_s"),
            health_limit_s=_own_timer(entry, "health_limit_s"),
        )
        entry.close()
        if service.name and service.name in {other.name for other in found}:
            entry.problem("name", service.name, "each service once; this one stands above too")
        elif service.name and (twins := [one for one in found if one.slug == service.slug]):
            right = f"a name that differs more from {twins[0].name}: their files have one name"
            entry.problem("name", service.name, right)
        if service.name == SRM_SERVICE:
            entry.problem("name", service.name, "another one: SRM is a part of each node")
        if service.command and service.name == DATABASE_SERVICE:
            entry.problem(
                "command", service.command, f"no command: {DATABASE_SERVICE} is srmd's own"
            )
        for key, command in (
            ("command", service.command),
            ("health_command", service.health_command),
        ):
            if len(command) > COMMAND_PARTS_MAX:
                entry.problem(key, command, f"at most {COMMAND_PARTS_MAX} parts")
        _judge_health(entry, service)
        found.append(service)
    if len(found) > SERVICES_MAX:
        table.reader.problem(
            "services.service", f"{len(found)} services", f"at most {SERVICES_MAX}"
        )
    return tuple(found)


def _judge_health(entry: Table, service: ServiceConfig) -> None:
    """A health command needs a command; a limit of a check needs a check."""
    if service.health_command and not service.command:
        right = "only beside a command: srmd asks its own program, and its own database, by itself"
        entry.problem("health_command", service.health_command, right)
    if not service.is_asked:
        for key in ("health_interval_s", "health_limit_s"):
            if (value := entry.raw(key)) is not None and entry.reader.fine(entry.key(key)):
                right = "only with a health_command: without one the command is not asked"
                entry.problem(key, value, right)


def _users(table: Table) -> UsersConfig:
    default = UsersConfig
    section = UsersConfig(
        move_rate_per_s=table.number(
            "move_rate_per_s",
            default.move_rate_per_s,
            low=0,
            high=RATE_PER_S_MAX,
            unit="users a second (0: unlimited)",
        ),
        move_limit_s=_timer(table, "move_limit_s", default.move_limit_s),
        database_check_interval_s=_timer(
            table, "database_check_interval_s", default.database_check_interval_s
        ),
    )
    table.close()
    return section


def _limits(table: Table) -> LimitsConfig:
    section = LimitsConfig(
        transition_s=_timer(table, "transition_s", LimitsConfig.transition_s),
        shutdown_s=_timer(table, "shutdown_s", LimitsConfig.shutdown_s),
    )
    table.close()
    return section


def _relogin(table: Table) -> ReLogin:
    high = int(DURATION_S_MAX)
    section = ReLogin(
        table.whole("lower_limit_s", LOWER_LIMIT_S, low=0, high=high, unit="seconds"),
        table.whole("upper_limit_s", UPPER_LIMIT_S, low=0, high=high, unit="seconds"),
    )
    table.close()
    return section


def _log(table: Table, folder: Path) -> LogConfig:
    default = LogConfig
    file = table.text("file", "")
    section = LogConfig(
        file=absolute(folder, file) if file else None,
        level=table.choice("level", default.level),
        format=table.choice("format", default.format),
        journal_bytes=table.whole(
            "journal_bytes",
            default.journal_bytes,
            low=JOURNAL_BYTES_MIN,
            high=JOURNAL_BYTES_MAX,
            unit="bytes",
        ),
    )
    table.close()
    return section


# What a value can be.


def _timer(table: Table, key: str, default: float) -> float:
    return table.number(key, default, low=TIMER_S_MIN, high=DURATION_S_MAX)


def _own_timer(table: Table, key: str) -> float | None:
    """None when it is absent."""
    if table.raw(key) is None:
        return None
    return _timer(table, key, TIMER_S_MIN)


def _address(table: Table, key: str, default: Address | None) -> Address:
    right = 'an address "host:port", port 1-65535, such as "127.0.0.1:22001"'
    text = table.text(key, str(default) if default else None, right=right)
    address = parse_address(text)
    if address is not None and (wrong := wrong_zone(address)) is None:
        return address
    if table.reader.fine(table.key(key)):
        table.problem(key, text, right if address is None else wrong or right)
    return default or HeartbeatConfig.listen


ADDRESS = re.compile(
    r"""
    (?: \[ (?P<v6> [0-9A-Fa-f:.]+ (?: % [A-Za-z0-9_.-]{1,15} )? ) \] | (?P<host> [A-Za-z0-9_.-]+ ) )
    : (?P<port> [0-9]{1,5} )
    """,
    re.VERBOSE,
)


def parse_address(text: str) -> Address | None:
    """`host:port` or `[v6]:port`; None when it is neither.

    One address has one form: `[0:0::1]` is `[::1]`, and `[::ffff:192.0.2.1]` is `192.0.2.1`.
    """
    matched = ADDRESS.fullmatch(text)
    if matched is None or not 1 <= int(matched["port"]) <= 65_535:
        return None
    host, port = matched["host"], int(matched["port"])
    if host is None:
        try:
            address = ipaddress.IPv6Address(matched["v6"])
        except ValueError:
            return None
        host = str(address.ipv4_mapped or address)
    return Address(host, port)


def wrong_zone(address: Address) -> str | None:
    """The problem of the zone of an address, or that it lacks one."""
    try:
        found = ipaddress.ip_address(address.host)
    except ValueError:
        return None
    if not isinstance(found, ipaddress.IPv6Address):
        return None
    if found.is_link_local and found.scope_id is None:
        return (
            f"a link-local address needs its zone, such as {Address(f'{found}%eth0', address.port)}"
        )
    if found.scope_id is not None and not found.is_link_local:
        bare = Address(address.host.partition("%")[0], address.port)
        return f"only link-local addresses (fe80::) have a zone; {bare}"
    return None


def _host_names(table: Table, key: str) -> tuple[str, ...]:
    such_as = '["srmd.example"]'
    names = table.texts(key, such_as=such_as)
    if len(names) > HOSTS_MAX:
        table.problem(key, f"{len(names)} names", f"at most {HOSTS_MAX}")
    for name in names:
        if not re.fullmatch(HOST_NAME, name):
            right = f"names without a port, such as {such_as}; IP addresses are allowed anyway"
            table.problem(key, name, right)
    return tuple(name.lower().removesuffix(".") for name in names)


def _url(table: Table, key: str) -> str:
    right = 'an address "http://host:port", without a path, such as "http://127.0.0.1:20076"'
    text = table.text(key, None, right=right)
    if not table.reader.fine(table.key(key)):
        return text
    try:
        parts = urlsplit(text)
        tail = parts.path.strip("/") + parts.query + parts.fragment
        # %25 is how a zone may be written in a URL.
        address = parse_address(parts.netloc.replace("%25", "%"))
        good = parts.scheme in ("http", "https") and not tail
    except ValueError:
        address, good = None, False
    if address is None or not good:
        table.problem(key, text, right)
        return text
    if (wrong := wrong_zone(address)) is not None:
        table.problem(key, text, wrong)
    return f"{parts.scheme}://{address}"
