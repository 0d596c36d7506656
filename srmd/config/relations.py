"""What must hold between settings, and what is unwise.

Each relation is judged only when its keys are fine by themselves, so that no problem is told twice.
The limits are ours (srm.md, section 3).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from srmd.config.secrets import judge_mode
from srmd.config.values import Address, Config, HeartbeatConfig, LogFormat
from srmd.secret import Secret
from srmd.strict_toml import MISSING, Reader, shown
from srmd.wire.heartbeat import PROTOCOL_VERSION
from srmd.wire.keys import AuthMode

DEMO_KEY = Secret(b"srmd, for a laptop on loopback!!")
"""The key of `configs/`.  It is public, so it protects nothing."""
DEMO_TOKEN = Secret("for-a-laptop-on-loopback")
CISCOS_TIMERS_S = (HeartbeatConfig.keep_alive_interval_s, HeartbeatConfig.keep_alive_timeout_s)
"""60 is 4 x 15.  Who keeps to Cisco's defaults is not told so at each start."""


def relate(reader: Reader, config: Config) -> None:
    """Notes every broken relation as a problem, every unwise one as a warning."""
    _relate_timers(reader, config)
    _relate_nodes(reader, config)
    _relate_version(reader, config)
    _relate_secrets(reader, config)
    _relate_tls(reader, config)
    _relate_log(reader, config)


def _relate_log(reader: Reader, config: Config) -> None:
    both = config.log.format is LogFormat.JOURNALD and config.log.file is not None
    if both and reader.fine("log.file", "log.format"):
        right = 'empty, or another log.format: with "journald" the records go to the journal'
        reader.problem("log.file", str(config.log.file), right)


def _relate_timers(reader: Reader, config: Config) -> None:
    beat = config.heartbeat
    interval_s, timeout_s = beat.keep_alive_interval_s, beat.keep_alive_timeout_s
    interval = "heartbeat.keep_alive_interval_s"
    timeout = "heartbeat.keep_alive_timeout_s"
    if reader.fine(interval, timeout):
        beats = round(timeout_s / interval_s, 9)  # 0.3 / 0.1 is a little below 3
        if beats < 2:
            right = f"at least twice {interval} ({interval_s:g}): {2 * interval_s:g} or more"
            reader.problem(timeout, f"{timeout_s:g}", right)
        elif beats < 3:
            right = (
                f"below three times {interval} ({interval_s:g}), two lost heartbeats in a row are "
                f"a failover; {3.5 * interval_s:g} would bear them"
            )
            reader.warn(timeout, f"{timeout_s:g}", right)
        if beats.is_integer() and (interval_s, timeout_s) != CISCOS_TIMERS_S:
            right = (
                f"an exact multiple of {interval} ({interval_s:g}): a heartbeat and the deadline "
                f"fall together; {timeout_s + interval_s / 2:g} would part them"
            )
            reader.warn(timeout, f"{timeout_s:g}", right)

    initialization = "heartbeat.initialization_keep_alive_timeout_s"
    initialization_s = beat.initialization_keep_alive_timeout_s
    if reader.fine(initialization, timeout) and initialization_s < timeout_s:
        right = f"at least {timeout} ({timeout_s:g}): a starting node must not be less patient"
        reader.problem(initialization, f"{initialization_s:g}", right)

    services, users, stay_s = config.services, config.users, config.limits.transition_s
    parts = ("services.start_limit_s", "services.stop_limit_s", "users.move_limit_s")
    needed_s = services.start_limit_s + services.stop_limit_s + users.move_limit_s
    if reader.fine("limits.transition_s", *parts) and stay_s < needed_s:
        right = f"below {' + '.join(parts)} ({needed_s:g}), a slow transition is given up too early"
        reader.warn("limits.transition_s", f"{stay_s:g}", right)

    delay, delay_s = "services.critical_service_delay_s", services.critical_service_delay_s
    if reader.fine(delay, parts[0]) and delay_s < services.start_limit_s:
        right = (
            f"below {parts[0]} ({services.start_limit_s:g}): a start that is under way when the "
            "delay is over is waited for, so the node may be without the service for longer"
        )
        reader.warn(delay, f"{delay_s:g}", right)

    lower_s, upper_s = config.relogin.lower_limit_s, config.relogin.upper_limit_s
    if reader.fine("relogin.lower_limit_s", "relogin.upper_limit_s") and upper_s < lower_s:
        right = f"at least relogin.lower_limit_s ({lower_s})"
        reader.problem("relogin.upper_limit_s", str(upper_s), right)


def _relate_nodes(reader: Reader, config: Config) -> None:
    if reader.fine("node.id", "peer.id") and config.node.id == config.peer.id:
        reader.problem("peer.id", shown(config.peer.id), "the other node's id, not our own")
    if reader.fine("heartbeat.listen", "peer.heartbeat"):
        _relate_heartbeats(reader, config.heartbeat.listen, config.peer.heartbeat)
    if reader.fine("control.listen", "peer.control"):
        _relate_controls(reader, config)


def _relate_heartbeats(reader: Reader, ours: Address, theirs: Address) -> None:
    """The socket that listens is the one that sends, so both addresses have to go together."""
    key, value = "peer.heartbeat", str(theirs)
    if _is_own(theirs, ours):
        reader.problem(key, value, "the peer's heartbeat.listen; this is our own")
    elif theirs.is_wildcard:
        reader.problem(key, value, "an address that can be sent to, not all addresses")
    elif ours.families and theirs.families and not ours.families & theirs.families:
        (version,) = ours.families
        right = (
            f"an IPv{version} address, because heartbeat.listen ({ours}) sends no other; or "
            f"listen on [::]:{ours.port}, which speaks IPv4 and IPv6"
        )
        reader.problem(key, value, right)
    elif ours.is_loopback and theirs.families and not theirs.is_loopback:
        right = (
            f"an address of this machine, because heartbeat.listen ({ours}) reaches no other; or "
            f"listen on an address that {theirs.host} can reach"
        )
        reader.problem(key, value, right)
    elif ours.is_loopback and not theirs.is_loopback:
        right = (
            f"if it is another machine, no heartbeat gets there from heartbeat.listen ({ours}); "
            f"listen on an address that {theirs.host} can reach, or on [::]:{ours.port}"
        )
        reader.warn(key, value, right)


def _relate_controls(reader: Reader, config: Config) -> None:
    listen, url = config.control.listen, config.peer.control
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        return
    theirs = Address(parts.hostname, parts.port)
    if _is_own(theirs, listen):
        reader.problem("peer.control", url, "the peer's control.listen; this is our own")
    elif theirs.is_wildcard:
        right = "an address that can be asked, not all addresses"
        reader.problem("peer.control", url, right)


def _is_own(theirs: Address, ours: Address) -> bool:
    """Datagrams to this address come back to us, as far as the addresses alone can tell."""
    if theirs.port != ours.port:
        return False
    if ours.is_wildcard and theirs.is_loopback:
        return not theirs.families or bool(theirs.families & ours.families)
    return theirs.host.lower() == ours.host.lower()


def _relate_version(reader: Reader, config: Config) -> None:
    key, version = "heartbeat.protocol_version", config.heartbeat.protocol_version
    if reader.fine(key) and version != PROTOCOL_VERSION:
        right = (
            f"{PROTOCOL_VERSION} is what this release speaks; another only rehearses an upgrade: "
            "a peer with another version and this node are both Unknown"
        )
        reader.warn(key, str(version), right)


def _relate_tls(reader: Reader, config: Config) -> None:
    if not reader.fine("peer.control", "tls.certificate", "tls.key", "tls.ca"):
        return
    encrypted = config.peer.control.startswith("https:")
    if config.tls.files is not None and not encrypted:
        right = "https://, because [tls] is for both nodes"
        reader.problem("peer.control", config.peer.control, right)
    if config.tls.files is None and encrypted:
        right = "http://, or [tls] with certificate, key and ca"
        reader.problem("peer.control", config.peer.control, right)


def _judge_secrets_in_the_file(reader: Reader) -> None:
    """A secret that stands in the file itself is as open as the file."""
    control, auth = (reader.content.get(name) for name in ("control", "auth"))
    keys = auth.get("keys") if isinstance(auth, dict) else None
    for prefix, table in (("control.", control), ("auth.keys.", keys)):
        for name, value in table.items() if isinstance(table, dict) else ():
            secret = prefix == "auth.keys." or name in {"token", "old_token"}
            if secret and isinstance(value, str) and value:
                judge_mode(reader, prefix + name, reader.path.name, reader.status)


def _relate_secrets(reader: Reader, config: Config) -> None:
    control, auth = config.control, config.auth
    open_to_all = control.token is None and not control.listen.is_loopback
    if open_to_all and reader.fine("control.listen", "control.token"):
        right = (
            f"required, because control.listen ({control.listen}) can be reached from other "
            'machines, such as token = { file = "token" }'
        )
        reader.problem("control.token", MISSING, right)
    ours = (config.heartbeat.listen, control.listen, config.peer.heartbeat)
    if all(address.is_loopback for address in ours):
        return
    _judge_secrets_in_the_file(reader)
    right = "published with srmd and no secret; make your own: openssl rand -hex 32"
    for key_id, secret in auth.keys.items():
        if secret == DEMO_KEY:
            reader.warn(f"auth.keys.{key_id}", "the key of the examples", right)
    if control.token == DEMO_TOKEN:
        reader.warn("control.token", "the token of the examples", right)
    if auth.mode is not AuthMode.REQUIRE:
        right = "anyone who reaches the ports can speak for the peer; require, once both nodes sign"
        reader.warn("auth.mode", auth.mode.value, right)
