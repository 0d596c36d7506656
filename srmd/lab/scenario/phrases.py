"""`cut heartbeats a->b` and its like: each verb has one or more phrases, read strictly.

A phrase is words and <slots>; what stands in [brackets] may be left out.  `PHRASES` is the whole
grammar: the parser, the error messages and docs/scenarios.md come from it.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, cast

from srmd.core.services import as_cisco_writes
from srmd.lab.scenario.durations import NotADuration, duration
from srmd.lab.scenario.verbs import (
    AddUsers,
    Channel,
    Clone,
    Configure,
    Cut,
    Delay,
    DeleteDatabase,
    Direction,
    Disturb,
    Disturbance,
    DropNext,
    Fault,
    FileAction,
    Files,
    Flap,
    Heal,
    Hold,
    HoldUntilDeadline,
    KeepFiles,
    Limit,
    Lose,
    NodeName,
    Operate,
    Operation,
    Power,
    PowerAction,
    PutClock,
    Recover,
    Reset,
    Service,
    ServiceAction,
    SetFault,
    SetHa,
    SetKey,
    Setting,
    Srm,
    SrmAction,
    Verb,
    Way,
)

COUNT_MAX = 10_000
SPELT_CHARACTERS_MIN = 3
SPELT_CUTOFF = 0.7
"""Likeness from which a word is taken for one of the grammar, as difflib counts."""


class NotAVerb(ValueError):
    """A text that no phrase fits; the message has the text and the nearest phrase."""


def _percent(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise NotAVerb(f"{text}% should be more than 0% and at most 100%")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 < value <= COUNT_MAX:
        raise NotAVerb(f"{text} should be from 1 to {COUNT_MAX}")
    return value


def _setting(text: str) -> Setting:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = None
    if not isinstance(value, (str, bool, int, float)):
        raise NotAVerb(f'{text} should be a value of TOML, such as "other", true or 1.5')
    return value


def _direction(text: str) -> Direction:
    """`a to b` is for the shell, where `a->b` without quotes writes a file."""
    return Direction(text.replace(" to ", "->"))


def _words(kind: type[Enum]) -> str:
    return "|".join(re.escape(str(member.value)) for member in kind)


_SLOTS: Final[Mapping[str, tuple[str, Callable[[str], object]]]] = {
    "channel": (_words(Channel), Channel),
    "either": ("heartbeats|control", Channel),
    "direction": (f"{_words(Direction)}|a to b|b to a", _direction),
    "one_way": ("a->b|b->a|a to b|b to a", _direction),
    "disturb": (_words(Disturbance), Disturbance),
    "percent": (r"\d{1,3}(?:\.\d+)?(?=%)", _percent),
    "count": (r"\d{1,6}", _count),
    "duration": (r"[a-z0-9_ .*/+-]+?", duration),
    "up": (r"[a-z0-9_ .*/+-]+?", duration),
    "jitter": (r"[a-z0-9_ .*/+-]+?", duration),
    "service": (r"'[^']+'|\"[^\"]+\"|\w[\w .-]*", lambda text: as_cisco_writes(text.strip("'\""))),
    "action": (_words(ServiceAction), ServiceAction),
    "srm": (_words(SrmAction), SrmAction),
    "power": (_words(PowerAction), PowerAction),
    "operation": (_words(Operation), Operation),
    "file_action": (_words(FileAction), FileAction),
    "files": (_words(Files), Files),
    "way": (_words(Way), Way),
    "fault": (_words(Fault), Fault),
    "node": (_words(NodeName), NodeName),
    "via": (_words(NodeName), NodeName),
    "key": (r"[a-z_]+(?:\.[a-z0-9_]+)+", str),
    "value": (r".+?", _setting),
}
"""What each slot takes: a pattern, and how it becomes a value."""

_NAMED_SLOTS: Final = ("channel", "either", "direction", "one_way", "node", "via")
"""Told once, above the list."""

Slots = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Phrase:
    """One way to say a verb."""

    form: str
    means: str
    example: str
    make: Callable[[Slots], Verb]

    @property
    def shown(self) -> str:
        """The form for readers: a slot that takes a few words shows them."""
        return re.sub(r"<(\w+)>", self._choices, self.form)

    @staticmethod
    def _choices(found: re.Match[str]) -> str:
        kind = _SLOTS[found[1]][1]
        few = isinstance(kind, type) and issubclass(kind, Enum) and found[1] not in _NAMED_SLOTS
        return "/".join(str(one.value) for one in cast("type[Enum]", kind)) if few else found[0]

    @property
    def beginnings(self) -> list[str]:
        """The words that it may begin with."""
        return self.shown.split()[0].split("/")

    @property
    def fixed(self) -> frozenset[str]:
        """Its words, without those that stand for others."""
        return frozenset(re.findall("[a-z]+", re.sub("<.*?>", "", self.shown)))

    @property
    def slots(self) -> str:
        """The values of its named slots, for readers; empty when it has none."""
        names = dict.fromkeys(re.findall(r"<(\w+)>", self.form))
        told = [f"<{name}> is {_listed(_CHOICES[name])}" for name in names if name in _CHOICES]
        return f"; {', '.join(told)}" if told else ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """Of a text whose words are one blank apart; an optional part takes its blank along."""
        text = re.sub(r" \[(.+?)\]", r"(?: \1)?", self.form)
        return re.compile(re.sub(r"<(\w+)>", self._slot, text))

    @staticmethod
    def _slot(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>{_SLOTS[found[1]][0]})"


def _way(slots: Slots) -> Direction:
    return cast("Direction", slots.get("direction", Direction.BOTH))


PHRASES: Final[tuple[Phrase, ...]] = (
    Phrase(
        "cut <channel> [<direction>]",
        "nothing gets through, and nobody is told: silence",
        "cut heartbeats a->b",
        lambda s: Cut(s["channel"], _way(s), refuse=False),
    ),
    Phrase(
        "refuse <channel> [<direction>]",
        "nothing gets through, and the sender is told: connection refused, port unreachable",
        "refuse control both ways",
        lambda s: Cut(s["channel"], _way(s), refuse=True),
    ),
    Phrase(
        "lose <percent>% of heartbeats [<direction>]",
        "each heartbeat is lost with this probability",
        "lose 40% of heartbeats a->b",
        lambda s: Lose(s["percent"], _way(s), bursts=False),
    ),
    Phrase(
        "lose <percent>% of heartbeats in bursts [<direction>]",
        "the same, and after a lost one the next is lost with a probability higher by a half",
        "lose 20% of heartbeats in bursts b->a",
        lambda s: Lose(s["percent"], _way(s), bursts=True),
    ),
    Phrase(
        "drop next <count> heartbeats [<direction>]",
        "exactly so many are lost (in each direction), then all is well again",
        "drop next 3 heartbeats b->a",
        lambda s: DropNext(s["count"], _way(s)),
    ),
    Phrase(
        "<disturb> <percent>% of heartbeats [<direction>]",
        "duplicate: arrives twice; reorder: overtaken by later ones; replay: an old one arrives"
        " again; corrupt: some bits are flipped; truncate: the end is missing",
        "replay 50% of heartbeats a->b",
        lambda s: Disturb(s["disturb"], s["percent"], _way(s)),
    ),
    Phrase(
        "delay <either> by <duration> jitter <jitter> [<direction>]",
        "everything arrives so much later, by chance up to the jitter more or less",
        "delay heartbeats by 50ms jitter 40ms",
        lambda s: Delay(s["either"], s["duration"], s["jitter"], _way(s)),
    ),
    Phrase(
        "delay <either> by <duration> [<direction>]",
        "everything arrives so much later; on `control` both requests and answers",
        "delay heartbeats by keep_alive_timeout / 2 a->b",
        lambda s: Delay(s["either"], s["duration"], None, _way(s)),
    ),
    Phrase(
        "limit <either> to <count> KB/s [<direction>]",
        "a narrow line: what is sent faster queues, so that it arrives later and later",
        "limit heartbeats to 2 KB/s a->b",
        lambda s: Limit(s["either"], s["count"], _way(s)),
    ),
    Phrase(
        "hold heartbeats [<direction>]",
        "they are parked; `heal` releases all of them in one burst",
        "hold heartbeats a->b",
        lambda s: Hold(_way(s)),
    ),
    Phrase(
        "hold heartbeats <one_way> until the deadline",
        "the same, released in one burst at the moment at which the receiver would call the sender"
        " down: exactly then in virtual time, some milliseconds off on real processes",
        "hold heartbeats a->b until the deadline",
        lambda s: HoldUntilDeadline(s["one_way"]),
    ),
    Phrase(
        "flap heartbeats up <up> down <duration> [<direction>]",
        "the link works and is silent by turns",
        "flap heartbeats up 2 * keep_alive_interval down keep_alive_timeout - keep_alive_interval",
        lambda s: Flap(s["up"], s["duration"], _way(s)),
    ),
    Phrase(
        "reset control [<direction>]",
        "calls are accepted, then the connection is reset",
        "reset control a->b",
        lambda s: Reset(_way(s)),
    ),
    Phrase(
        "heal [<channel>] [<direction>]",
        "all faults of the network end (only those of this channel, in this direction)",
        "heal",
        lambda s: Heal(s.get("channel", Channel.ALL), _way(s)),
    ),
    Phrase(
        "<action> service <service> on <node>",
        "kill: SIGKILL; hang: it lives and does not answer; block: it refuses to start, until"
        " unblock; stop, start, restart: by the administrator",
        "kill service 'Cisco SIP Proxy' on a",
        lambda s: Service(s["action"], s["service"], s["node"]),
    ),
    Phrase(
        "fail <fault> on <node>",
        "database: the user database fails; moves: users cannot be moved",
        "fail moves on b",
        lambda s: SetFault(s["fault"], s["node"], active=True),
    ),
    Phrase(
        "repair <fault> on <node>",
        "the end of `fail`",
        "repair database on a",
        lambda s: SetFault(s["fault"], s["node"], active=False),
    ),
    Phrase(
        "delete database on <node>",
        "the file of the user database is removed while the node runs; a reboot makes a new one",
        "delete database on a",
        lambda s: DeleteDatabase(s["node"]),
    ),
    Phrase(
        "<file_action> <files> of <node>",
        "memory: SRM's own, `node.json`; database: the users; state: both. lose: the files are"
        " removed; copy: they are kept as they are now; restore: the copy is put back. A node that"
        " runs can be copied, and its database restored; for all else it is off",
        "restore state of a",
        lambda s: KeepFiles(s["file_action"], s["files"], s["node"]),
    ),
    Phrase(
        "<srm> srm on <node>",
        "only the Server Recovery Manager; services and sessions stay",
        "restart srm on b",
        lambda s: Srm(s["srm"], s["node"]),
    ),
    Phrase(
        "<power> node <node>",
        "shutdown, reboot: announced to the peer; kill: kill -9; terminate: SIGTERM; start: after"
        " the node ended; freeze, thaw: SIGSTOP, SIGCONT",
        "kill node a",
        lambda s: Power(s["power"], s["node"]),
    ),
    Phrase(
        "<operation> <node> [via <via>]",
        "the administrator's command, given to that node itself or to its peer",
        "failover a",
        lambda s: Operate(s["operation"], s["node"], s.get("via") or s["node"]),
    ),
    Phrase(
        "recover [via <via>]",
        "out of Running in Failed Mode; given to node a unless told otherwise",
        "recover via b",
        lambda s: Recover(s.get("via", NodeName.A)),
    ),
    Phrase(
        "disable ha [via <via>]",
        "high availability off, on both nodes; given to node a unless told otherwise",
        "disable ha",
        lambda s: SetHa(enabled=False, via=s.get("via", NodeName.A)),
    ),
    Phrase(
        "enable ha [via <via>]",
        "high availability on, on both nodes",
        "enable ha via b",
        lambda s: SetHa(enabled=True, via=s.get("via", NodeName.A)),
    ),
    Phrase(
        "add <count> users [via <via>]",
        "new users, half of them at home on each node",
        "add 10 users",
        lambda s: AddUsers(s["count"], s.get("via", NodeName.A)),
    ),
    Phrase(
        "configure <key> = <value> on <node>",
        "into the node's configuration file; `restart srm` or `reboot node` makes it effective",
        'configure group.name = "other" on b',
        lambda s: Configure(s["key"], s["value"], s["node"]),
    ),
    Phrase(
        "wrong key on <node>",
        "the node's key is another than its peer's; `restart srm` makes it effective",
        "wrong key on b",
        lambda s: SetKey(right=False, node=s["node"]),
    ),
    Phrase(
        "right key on <node>",
        "the end of `wrong key`",
        "right key on b",
        lambda s: SetKey(right=True, node=s["node"]),
    ),
    Phrase(
        "clone node <node>",
        "the other node has this one's configuration file: the same node.id, only the addresses"
        " differ; `lose state` and `start node` make it effective",
        "clone node a",
        lambda s: Clone(s["node"], active=True),
    ),
    Phrase(
        "end clone of node <node>",
        "the end of `clone node`: the other node has its own node.id again",
        "end clone of node a",
        lambda s: Clone(s["node"], active=False),
    ),
    Phrase(
        "put clock <way> by <duration> on <node>",
        "the node's time of day jumps to so far from the true time; monotonic time runs on",
        "put clock forward by 1h on a",
        lambda s: PutClock(s["way"], s["duration"], s["node"]),
    ),
    Phrase(
        "right clock on <node>",
        "the end of `put clock`: its time of day jumps back to the true time",
        "right clock on a",
        lambda s: PutClock(Way.FORWARD, duration("0s"), s["node"]),
    ),
)
"""Every phrase, in the order of the documentation.  The first that fits a text is taken."""


def verb(text: str) -> Verb:
    """Raises NotAVerb, which says what was probably meant."""
    said = " ".join(text.split())
    for phrase in PHRASES:
        found = phrase.pattern.fullmatch(said)
        if found is not None:
            return _made(text, phrase, found)
    raise NotAVerb(f"{text!r} is nothing that can be done; {_nearest(said)}")


def _made(text: str, phrase: Phrase, found: re.Match[str]) -> Verb:
    try:
        given = {name: _SLOTS[name][1](part) for name, part in found.groupdict().items() if part}
    except (NotAVerb, NotADuration) as wrong:
        raise NotAVerb(f"{text!r}: {wrong}") from wrong
    return phrase.make(given)


def _nearest(said: str) -> str:
    """The words that were probably meant, or else the place of the problem."""
    if said.endswith((" a-", " b-")):
        return "the shell took the rest of a->b: put it in quotes, or write a to b"
    spelt = " ".join(map(_spelt, said.split()))
    if spelt != said and any(phrase.pattern.fullmatch(spelt) for phrase in PHRASES):
        return f"did you mean: {spelt}"
    first = spelt.partition(" ")[0]
    alike = [phrase for phrase in PHRASES if first in phrase.beginnings]
    if not alike:
        return f"a verb begins with {_listed(_BEGINNINGS)}; docs/scenarios.md has the whole list"
    nearness = difflib.SequenceMatcher(b=spelt)

    def near(phrase: Phrase) -> tuple[int, float]:
        nearness.set_seq1(phrase.example)  # it looks like what people type
        return len(phrase.fixed & set(spelt.split())), nearness.ratio()

    phrase = max(alike, key=near)
    return f"did you mean: {phrase.shown}{phrase.slots}   (such as: {phrase.example})"


def _spelt(word: str) -> str:
    """The word of the grammar that was probably meant; a word that is none as it stands."""
    if word in _VOCABULARY or len(word) < SPELT_CHARACTERS_MIN:
        return word
    near = difflib.get_close_matches(word, _VOCABULARY, n=1, cutoff=SPELT_CUTOFF)
    return near[0] if near else word


def _listed(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(pattern.replace("\\", "").split("|"))
    for name, (pattern, _) in _SLOTS.items()
    if name in _NAMED_SLOTS
}
"""The words that a named slot takes."""

_BEGINNINGS: Final = sorted({word for phrase in PHRASES for word in phrase.beginnings})
_VOCABULARY: Final = sorted(
    {word for one in PHRASES for word in one.fixed}
    | {word for words in _CHOICES.values() for choice in words for word in choice.split()}
)
"""Every fixed word of the grammar."""


def as_markdown() -> str:
    """The verbs as the table of docs/scenarios.md."""
    return "\n".join(f"| `{one.shown}` | {one.means} | `{one.example}` |" for one in PHRASES)


# ---------------------------------------------------------------------------- what may come next

FOLLOWING_MAX = 64
"""Words of a line that are looked at; no verb is longer."""
SERVICE_SLOT: Final = "<service>"
"""Stands for the name of a service, which only the pair knows."""
_OF_SEVERAL_WORDS: Final = frozenset({"<duration>", "<up>", "<jitter>", "<value>", SERVICE_SLOT})

_AFTER_A_SLOT: Final = frozenset({"a", "a->b", "b->a", "b", "both", "down", "jitter", "on"})
"""Words that end a slot of several words."""


def following(said: Sequence[str]) -> dict[str, str]:
    """The words that can stand next, each with what its verb means.

    Where anything can stand it is what stands there in the example.
    """
    found: dict[str, str] = {}
    if len(said) > FOLLOWING_MAX:
        return found
    for phrase in PHRASES:
        for words in _spelled(phrase.form):
            for at in _reached(words, said):
                if at < len(words) and ">" not in words[at].removesuffix(">"):
                    found.setdefault(_word(words[at], phrase), phrase.means)
    return found


def _spelled(form: str) -> list[tuple[str, ...]]:
    """All ways to say it, word by word; a slot in which anything can stand keeps its name."""
    if "[" in form:
        before, _, rest = form.partition(" [")
        inside, _, after = rest.partition("]")
        return [*_spelled(f"{before} {inside}{after}"), *_spelled(before + after)]
    ways: list[tuple[str, ...]] = [()]
    for token in form.split():
        ways = [(*way, *more) for way in ways for more in _alternatives(token)]
    return ways


def _alternatives(token: str) -> list[tuple[str, ...]]:
    slot = re.search(r"<(\w+)>", token)
    if slot is None:
        return [(token,)]
    pattern = _SLOTS[slot[1]][0]
    if slot[1] in {"direction", "one_way"}:
        return [tuple(way.replace("\\", "").split()) for way in pattern.split("|")]
    few = not set(pattern) & set("[({.+*\\")
    return [(word,) for word in pattern.split("|")] if few else [(slot[0],)]


def _reached(words: Sequence[str], said: Sequence[str]) -> set[int]:
    """The places in these words that the words so far can lead to."""
    places = {0}
    for word in said:
        on = {at + 1 for at in places if at < len(words) and _is_said(words[at], word)}
        longer = {
            at
            for at in places
            if at > 0 and words[at - 1] in _OF_SEVERAL_WORDS and word not in _AFTER_A_SLOT
        }
        places = on | longer
    return places


def _is_said(wanted: str, word: str) -> bool:
    if not wanted.startswith("<") or wanted in _OF_SEVERAL_WORDS:
        return wanted in (word, *_OF_SEVERAL_WORDS)
    return re.fullmatch(f"(?:{_SLOTS[wanted[1:-1]][0]})%?", word) is not None


def _word(word: str, phrase: Phrase) -> str:
    if not word.startswith("<") or word == SERVICE_SLOT:
        return word
    found = phrase.pattern.fullmatch(phrase.example)
    assert found is not None, "an example is a way to say its phrase"
    return found[word[1:-1]] + ("%" if word == "<percent>" else "")
