"""Which node a command talks to, the token that it shows, and the CA that it believes.

What stands on the command line wins over the configuration file, and that over the environment.
A token never stands on the command line itself: others can read it there.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from srmd.cli.exits import Exit, Failure
from srmd.client import BadAddress, Client
from srmd.secret import Secret

if TYPE_CHECKING:
    from srmd.config import Config

DEFAULT_API = "http://127.0.0.1:20075"
"""Cisco's Admin RPC Port, on this machine."""
TOKEN_BYTES_MAX = 4096
BOM = b"\xef\xbb\xbf"
"""Editors of Windows begin a file with it."""


def client_for(options: argparse.Namespace) -> Client:
    """Raises Failure when the address, the file or the token cannot be used."""
    for option in ("api", "config", "token_file", "ca"):
        refuse_empty("--" + option.replace("_", "-"), getattr(options, option))
    # SRMD_CONFIG stands for --config, but not beside --api: a token is for its own node.
    file = options.config or (None if options.api else config_of_environment())
    config = _config(file) if file else None
    token, source = _token(options, config, file)
    # Who names an address means whatever node is there; a file means its own node.
    node = None if config is None or options.api else f"{config.group.name}/{config.node.id}"
    try:
        return Client(
            options.api or _api(config),
            token,
            ca=options.ca or _ca(config),
            node=node,
            token_source=source,
        )
    except BadAddress as bad:
        raise Failure(Exit.USAGE, str(bad)) from bad


def refuse_empty(name: str, value: str | None) -> None:
    """An empty value is a variable of a shell that is not set, not a wish for the default."""
    if value == "":
        raise Failure(Exit.USAGE, f"{name}: it is empty; give a value, or leave {name} out")


def config_of_environment() -> str | None:
    return _of_environment("SRMD_CONFIG")


def _of_environment(name: str) -> str | None:
    """The variable; None when it is not set."""
    value = os.environ.get(name)
    refuse_empty(name, value)
    return value


def _token(
    options: argparse.Namespace, config: Config | None, file: str | None
) -> tuple[Secret | None, str]:
    """The token, and where it comes from."""
    if options.token_file:
        return _token_of_file(options.token_file), f"--token-file {options.token_file}"
    if config is not None and config.control.token is not None:
        return config.control.token, f"control.token of {file}"
    if text := os.environ.get("SRMD_TOKEN", "").strip():
        if not (text.isascii() and text.isprintable()):
            raise Failure(Exit.USAGE, "SRMD_TOKEN: one line of ASCII with the token is needed")
        return Secret(text), "the environment's SRMD_TOKEN"
    return None, ""


def _api(config: Config | None) -> str:
    if config is None:
        return _of_environment("SRMD_API") or DEFAULT_API
    scheme = "http" if config.tls.files is None else "https"
    listen = config.control.listen
    if not listen.is_wildcard:
        return f"{scheme}://{listen}"
    return f"{scheme}://127.0.0.1:{listen.port}"  # where [::] listens too, with IPv6 or without


def _ca(config: Config | None) -> str | None:
    if config is not None and config.tls.ca is not None:
        return str(config.tls.ca)
    return _of_environment("SRMD_CA")


def _config(file: str) -> Config:
    from srmd.config import ConfigError, load  # most commands need no file

    try:
        return load(file).config
    except ConfigError as bad:
        way_out = "or name the node by --api and its token by --token-file"
        raise Failure(Exit.USAGE, f"{bad}\n  {way_out}") from bad


def _token_of_file(file: str) -> Secret:
    try:
        with open(file, "rb") as source:  # noqa: PTH123 - pathlib would be felt
            raw = source.read(TOKEN_BYTES_MAX)
            text = raw.removeprefix(BOM).decode("ascii").strip()
    except (OSError, ValueError) as bad:
        why = (bad.strerror if isinstance(bad, OSError) else None) or "not a line of ASCII"
        raise Failure(Exit.USAGE, f"--token-file {file}: {why}") from bad
    if not text or not text.isprintable():
        raise Failure(Exit.USAGE, f"--token-file {file}: one line with the token is needed")
    return Secret(text)
