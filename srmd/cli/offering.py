"""Words for the TAB key that no parser knows: nodes, services, scenarios, verbs, rows.

Nodes and services are those of the pair that the command would talk to: its node is asked, within
a bound that a TAB may take, or else the configuration file tells them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from srmd.cli.exits import Failure
from srmd.client import ClientError

ASKED_LIMIT_S = 1.0
"""Limit of the node's answer to a TAB."""
FILES: Final = ":"
"""Stands for the name of a file or folder."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to go on, and what it means."""

    word: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Typed:
    """The line before the word that is begun."""

    target: Mapping[str, str]
    """Options that name the node, such as `config`, by their names in the parser."""
    given: Sequence[str]
    """The words of the same argument."""
    begun: str = ""


def nodes(typed: Typed) -> list[Offer]:
    status = _status(typed)
    if status is not None:
        return [Offer(status[side]["node"], _shown(status[side])) for side in ("local", "peer")]
    config = _config(typed)
    return [] if config is None else [Offer(config.node.id), Offer(config.peer.id)]


def services(typed: Typed) -> list[Offer]:
    """Those of the node; without one and without a file the default ones."""
    status = _status(typed)
    if status is not None:
        found = [Offer(one["name"], one["state"]) for one in status.get("services") or ()]
    else:
        from srmd.config import DEFAULT_SERVICES

        config = _config(typed)
        rows = DEFAULT_SERVICES if config is None else config.services.service
        found = [Offer(one.name) for one in rows]
    return [one for one in found if one.word not in typed.given]


def scenarios(typed: Typed) -> list[Offer]:
    """Those that come with srmd, and files."""
    from srmd.config import shipped

    names = sorted(file.stem for file in (shipped() / "scenarios").glob("*.toml"))
    return [Offer(FILES), *(Offer(name) for name in names if name not in typed.given)]


def verbs(typed: Typed) -> list[Offer]:
    """Verbs of the lab: the next word of one."""
    from srmd.lab.scenario.phrases import SERVICE_SLOT, following

    found = following(typed.given)
    ours = services(Typed({}, ())) if SERVICE_SLOT in found else []
    return [*ours, *(Offer(word, said) for word, said in found.items() if word != SERVICE_SLOT)]


def rows(_: Typed) -> list[Offer]:
    from srmd.core.handbook import ROWS

    return [Offer(str(row.n or row.key), row.key if row.n else "") for row in ROWS]


def halves(_: Typed) -> list[Offer]:
    """States and reasons of the handbook, in words without a blank."""
    from srmd.core.handbook import DOCUMENTED
    from srmd.shown import written

    found = {
        f"{state.name.lower()}/{reason.value}": written((state, reason))
        for row in DOCUMENTED
        for state, reason in (*row.home, *row.backup)
        if reason is not None
    }
    return [*(Offer(word, found[word]) for word in sorted(found)), Offer("down", "a silent node")]


OFFERED: Final[Mapping[str, Callable[[Typed], list[Offer]]]] = {
    "NODE": nodes,
    "SERVICE": services,
    "SCENARIO": scenarios,
    "WORD": verbs,
    "ROW": rows,
    "STATE/REASON": halves,
}
"""By the metavar of the argument."""


def _shown(half: Mapping[str, Any]) -> str:
    return " / ".join(str(half[key]) for key in ("state", "reason") if half.get(key))


def _status(typed: Typed) -> dict[str, Any] | None:
    """The answer of the node; None when there is none, or the line does not name it well."""
    from srmd.cli.target import client_for

    options = dict.fromkeys(("api", "config", "token_file", "ca"))
    try:
        client = client_for(argparse.Namespace(**{**options, **typed.target}))
        client.timeout_s = ASKED_LIMIT_S
        return client.status()
    except (ClientError, Failure):
        return None


def _config(typed: Typed) -> Any:
    """The configuration that the line names, None without a good one."""
    from srmd.config import ConfigError, load

    file = typed.target.get("config")
    if file is None:
        return None
    try:
        return load(file).config
    except ConfigError:
        return None
