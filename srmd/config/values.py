"""The settings as frozen values, one dataclass for each section of the file.

The names are Cisco's where Cisco has one (srm.md, section 3), with the unit last; the defaults are
Cisco's too.  Sections and the other keys are ours.  The section dataclasses have no slots: their
class attributes are the defaults, written once, that reading falls back to.
"""

from __future__ import annotations

import ipaddress
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from srmd.core.services import CRITICAL_SERVICES, DATABASE_SERVICE, OPTIONAL_SERVICES
from srmd.core.states import SplitBrain
from srmd.relogin import ReLogin
from srmd.secret import Secret
from srmd.wire.heartbeat import PROTOCOL_VERSION
from srmd.wire.keys import AuthMode, Keyring


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, as `host:port` or `[v6]:port`.

    A link-local address has its zone: `[fe80::1%eth0]:port`.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach it.  A name other than localhost counts as reachable."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_wildcard(self) -> bool:
        """It stands for all addresses of the machine: good to listen on, not to send to."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @property
    def families(self) -> frozenset[int]:
        """Versions of IP by which it is reached; none for a name, which may stand for either.

        All addresses of IPv6 include those of IPv4: `[::]` listens on both.
        """
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return frozenset()
        return frozenset({4, 6} if self.host == "::" else {address.version})


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """[node]"""

    id: str
    state_dir: Path
    """Absolute; in the file, relative to the folder of the file."""
    reboot_s: float = 1.0
    """How long the node is off during a reboot (ours)."""

    @property
    def run_dir(self) -> Path:
        """Working directory of the services."""
        return self.state_dir / "run"


@dataclass(frozen=True, kw_only=True)
class GroupConfig:
    """[group]: the presence redundancy group."""

    name: str
    ha_enabled: bool = True
    split_brain: SplitBrain = SplitBrain.FAIL
    automatic_fallback: bool = False
    automatic_fallback_wait_s: float = 1800.0


@dataclass(frozen=True, kw_only=True)
class PeerConfig:
    """[peer]"""

    id: str
    heartbeat: Address
    control: str
    """`http://host:port`, without a slash at the end."""


@dataclass(frozen=True, kw_only=True)
class HeartbeatConfig:
    """[heartbeat]"""

    listen: Address = Address("127.0.0.1", 22001)
    """Cisco: Service Port."""
    keep_alive_interval_s: float = 15.0
    keep_alive_timeout_s: float = 60.0
    """Silence in operation before take-over."""
    initialization_keep_alive_timeout_s: float = 120.0
    """Silence while Initializing before take-over."""
    protocol_version: int = PROTOCOL_VERSION
    """The version that is spoken, and the only one understood; another than that of this release
    rehearses an upgrade of one node (ours)."""


@dataclass(frozen=True, kw_only=True)
class ControlConfig:
    """[control]: the HTTP side, for administrators and for the peer."""

    listen: Address = Address("127.0.0.1", 20075)
    """Cisco: Admin RPC Port."""
    call_timeout_s: float = 5.0
    token: Secret | None = None
    """What an administrator shows; None: anyone on this machine may command."""
    old_token: Secret | None = None
    """Taken too, while the token is being rotated (ours)."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names, in lower case, by which programs may call this node (ours)."""


@dataclass(frozen=True, kw_only=True)
class AuthConfig:
    """[auth]: what the nodes show each other."""

    mode: AuthMode = AuthMode.REQUIRE
    active: str = ""
    keys: Mapping[str, Secret] = field(default_factory=dict)

    def keyring(self) -> Keyring:
        revealed = {key_id: secret.reveal() for key_id, secret in self.keys.items()}
        return Keyring(revealed, self.active, self.mode)


@dataclass(frozen=True, kw_only=True)
class TlsConfig:
    """[tls]: all three files, or none."""

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @property
    def files(self) -> tuple[Path, Path, Path] | None:
        """Certificate, key and CA; None: the HTTP side speaks plain HTTP."""
        if self.certificate is None or self.key is None or self.ca is None:
            return None
        return self.certificate, self.key, self.ca


def slug(name: str) -> str:
    """The name of a service as files carry it: short, lower case, ASCII.

    >>> slug("Cisco XCP Router")
    'cisco-xcp-router'
    """
    return (
        re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or f"{zlib.crc32(name.encode()):x}"
    )


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """One [[services.service]]"""

    name: str
    command: tuple[str, ...] = ()
    """Empty: the small program that comes with srmd stands in."""
    enabled: bool = True
    """Activated; one that is not is neither started nor watched."""
    critical: bool = True
    health_command: tuple[str, ...] = ()
    """Run again and again; its exit code 0 means that the service answers.  Empty: a command is not
    asked, and is well as long as it runs (ours)."""
    health_interval_s: float | None = None
    health_limit_s: float | None = None
    """None: those of [services]."""

    @property
    def slug(self) -> str:
        """Its name as files carry it."""
        return slug(self.name)

    @property
    def is_asked(self) -> bool:
        """Its health is asked for: by the health command, or by the program that stands in."""
        return bool(self.health_command) or not self.command


DEFAULT_SERVICES = (
    *(ServiceConfig(name=name) for name in (DATABASE_SERVICE, *CRITICAL_SERVICES)),
    *(ServiceConfig(name=name, enabled=False) for name in OPTIONAL_SERVICES),
)
"""Cisco's critical services; the optional ones count only where they are activated."""


@dataclass(frozen=True, kw_only=True)
class ServicesConfig:
    """[services]"""

    critical_service_delay_s: float = 90.0
    """Time that a critical service may be down before the node fails over.  A start that is under
    way then is waited for (ours)."""
    start_limit_s: float = 30.0
    stop_limit_s: float = 10.0
    health_interval_s: float = 1.0
    health_limit_s: float = 3.0
    """How long a service may leave the question for its health unanswered."""
    service: tuple[ServiceConfig, ...] = DEFAULT_SERVICES

    def interval_s(self, service: ServiceConfig) -> float:
        """Between two questions for the health of this service; none may take longer."""
        own_s = service.health_interval_s
        return self.health_interval_s if own_s is None else own_s

    def limit_s(self, service: ServiceConfig) -> float:
        """Time that this one may leave the question unanswered."""
        own_s = service.health_limit_s
        return self.health_limit_s if own_s is None else own_s


@dataclass(frozen=True, kw_only=True)
class UsersConfig:
    """[users]"""

    move_rate_per_s: float = 0.0
    """0: as fast as it goes."""
    move_limit_s: float = 30.0
    database_check_interval_s: float = 1.0


@dataclass(frozen=True, kw_only=True)
class LimitsConfig:
    """[limits]: bounds that are ours."""

    transition_s: float = 120.0
    """The longest stay in a passing state, besides the keep alive timeouts."""
    shutdown_s: float = 10.0


class LogLevel(Enum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(Enum):
    AUTO = "auto"
    """Pretty at a terminal, fields where standard output is systemd's journal, JSON elsewhere."""
    JSON = "json"
    JOURNALD = "journald"
    """To systemd's journal, whatever standard output is."""
    PRETTY = "pretty"


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """[log]"""

    file: Path | None = None
    """None: standard output."""
    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.AUTO
    journal_bytes: int = 16_000_000
    """Bound of the journal of the machine's inputs, its rotated half included."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of one node."""

    node: NodeConfig
    group: GroupConfig
    peer: PeerConfig
    heartbeat: HeartbeatConfig = field(default_factory=HeartbeatConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    services: ServicesConfig = field(default_factory=ServicesConfig)
    users: UsersConfig = field(default_factory=UsersConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    relogin: ReLogin = field(default_factory=ReLogin)
    log: LogConfig = field(default_factory=LogConfig)
