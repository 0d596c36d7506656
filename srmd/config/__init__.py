"""The settings of a node: one TOML file in, frozen values out, or everything that is wrong with it.

    loaded = load("node-a.toml")        # raises ConfigError: all problems at once
    loaded.config.heartbeat.keep_alive_timeout_s
    loaded.warnings

`values` has the sections and defaults, `reading` the keys and ranges, `relations` what must hold
between keys, `secrets` where secrets come from, `files` which files are read and where, `copies`
copies of them for a service, `machine` what paths name on this machine, `render`
what `srmd config check` shows, and `taking` when a change takes effect.
"""

from srmd.config.reading import ConfigError, Loaded, load, shipped
from srmd.config.relations import DEMO_KEY, DEMO_TOKEN
from srmd.config.render import plain, rows
from srmd.config.taking import needs
from srmd.config.values import (
    DEFAULT_SERVICES,
    Address,
    AuthConfig,
    Config,
    ControlConfig,
    GroupConfig,
    HeartbeatConfig,
    LimitsConfig,
    LogConfig,
    LogFormat,
    LogLevel,
    NodeConfig,
    PeerConfig,
    ServiceConfig,
    ServicesConfig,
    TlsConfig,
    UsersConfig,
    slug,
)
from srmd.strict_toml import Problem

__all__ = [
    "load",
    "Loaded",
    "Config",
    "ConfigError",
    "Problem",
    "shipped",
    "plain",
    "rows",
    "needs",
    "Address",
    "NodeConfig",
    "GroupConfig",
    "PeerConfig",
    "HeartbeatConfig",
    "ControlConfig",
    "AuthConfig",
    "TlsConfig",
    "ServicesConfig",
    "ServiceConfig",
    "UsersConfig",
    "LimitsConfig",
    "LogConfig",
    "LogLevel",
    "LogFormat",
    "slug",
    "DEFAULT_SERVICES",
    "DEMO_KEY",
    "DEMO_TOKEN",
]
