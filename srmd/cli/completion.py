"""`srmd completion SHELL`: what the TAB key offers, asked of the parser itself.

The scripts are a few lines: at each TAB they ask `srmd completion SHELL --words ...`, and this file
walks the parser along the words.  So they never differ from what the command takes, and a new
command is completed at once.  shtab would generate static scripts; it needs every parser built, and
a dependency where `srmd` runs.  A TAB costs what `srmd --help` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from srmd.cli.asking import Options
from srmd.cli.exits import Exit
from srmd.cli.parser import root, whole

FILES = ":"
"""What is printed instead of words where the name of a file or folder is wanted."""
NAMES_OF_FILES = ("FILE", "DIR")
"""The metavars that stand for such a name."""

BASH = """\
# bash completion of srmd, by `srmd completion bash`
_srmd() {
    # The line, because bash has parted the words at : and = already.
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}"
    COMPREPLY=($("${COMP_WORDS[0]}" completion bash --words "$line" 2>/dev/null))
    if [[ ${COMPREPLY[0]-} == ":" ]]; then
        COMPREPLY=()
        compopt -o default
    fi
}
complete -F _srmd srmd
"""

ZSH = """\
#compdef srmd
# zsh completion of srmd, by `srmd completion zsh`
_srmd() {
    local -a found
    found=("${(@f)$(
        "${(Q)words[1]}" completion zsh --words "${(@Q)words[2,CURRENT]}" 2>/dev/null
    )}")
    if [[ $found[1] == ":" ]]; then
        _files
    elif [[ -n $found[1] ]]; then
        _describe srmd found
    fi
}
if [[ $funcstack[1] == _srmd ]]; then
    _srmd "$@"
else
    compdef _srmd srmd
fi
"""

FISH = """\
# fish completion of srmd, by `srmd completion fish`
function __srmd_complete
    set -l words (commandline -opc)
    set -l found ($words[1] completion fish --words $words[2..] (commandline -ct) 2>/dev/null)
    if test "$found[1]" = ":"
        __fish_complete_path (commandline -ct)
    else
        printf '%s\\n' $found
    end
end
complete -c srmd -f -a '(__srmd_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to go on, and what it means."""

    word: str
    meaning: str = ""


def completion(options: Options) -> int:
    if options.words is None:
        print(SCRIPTS[options.shell], end="")
        return Exit.OK
    words = options.words
    if options.shell == "bash":
        words = split(" ".join(words))[1:]
    *before, begun = words or [""]
    found = offers(whole(root()), before, begun)
    if found is None:
        print(FILES)
        return Exit.OK
    # bash replaces only what stands behind the =, the others the whole word.
    is_assigned = options.shell != "bash" and begun.startswith("--") and "=" in begun
    head = begun[: begun.index("=") + 1] if is_assigned else ""
    for offer in found:
        print(_written(Offer(head + offer.word, offer.meaning), options.shell))
    return Exit.OK


def split(line: str) -> list[str]:
    """The words of a line that somebody is typing; the last one is where the cursor is."""
    import shlex  # only bash needs it

    for close in ("", '"', "'"):
        try:
            # The mark keeps an empty last word, and a blank at the end of the line.
            *before, last = shlex.split(line + "\0" + close)
        except ValueError:
            continue  # a quote is still open
        return [*before, last.removesuffix("\0")]
    return []


def offers(
    parser: argparse.ArgumentParser, before: Sequence[str], begun: str
) -> list[Offer] | None:
    """What can stand in the place of the word that is `begun`; None: the name of a file."""
    place = _Place(parser)
    for word in before:
        if not place.pass_by(word):
            return []
    found = place.expected(begun)
    if found is None:
        return None
    rest = begun.partition("=")[2] if begun.startswith("--") and "=" in begun else begun
    return [offer for offer in found if offer.word.startswith(rest)]


class _Place:
    """How far the words lead: which parser, which argument is next, which option waits."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._enter(parser)

    def _enter(self, parser: argparse.ArgumentParser) -> None:
        self._parser = parser
        # argparse has no public list of its actions.
        actions = parser._actions  # noqa: SLF001
        self._arguments = [action for action in actions if not action.option_strings]
        self._options = {
            text: action
            for action in actions
            for text in action.option_strings
            if action.help != argparse.SUPPRESS
        }
        self._option: argparse.Action | None = None
        self._missing = 0
        self._options_are_over = False

    def pass_by(self, word: str) -> bool:
        """False: the word leads nowhere."""
        if self._missing:
            self._missing -= 1
            return True
        if self._is_option(word):
            name, equals, _ = word.partition("=")
            self._option = self._options.get(name)
            self._missing = 0 if equals else _count(self._option)
            self._options_are_over = word == "--"
            return True
        return self._pass_argument(word)

    def _pass_argument(self, word: str) -> bool:
        if not self._arguments:
            return False
        argument = self._arguments[0]
        if isinstance(argument, argparse._SubParsersAction):  # noqa: SLF001 - no public name
            chosen = argument.choices.get(word)
            if chosen is None:
                return False
            self._enter(whole(chosen))
        elif argument.nargs not in ("+", "*"):
            self._arguments = self._arguments[1:]
        return True

    def expected(self, begun: str) -> list[Offer] | None:
        if self._missing:
            return _values(self._option)
        if self._is_option(begun):
            name, equals, _ = begun.partition("=")
            return _values(self._options.get(name)) if equals else list(self._all_options())
        if self._arguments:
            return _values(self._arguments[0])
        return list(self._all_options())

    def _is_option(self, word: str) -> bool:
        return word.startswith("-") and word != "-" and not self._options_are_over

    def _all_options(self) -> Iterator[Offer]:
        for text, action in self._options.items():
            if text.startswith("--"):
                yield Offer(text, _meaning(action))


def _count(option: argparse.Action | None) -> int:
    """How many words the option takes."""
    if option is None:
        return 0
    return option.nargs if isinstance(option.nargs, int) else 1


def _values(action: argparse.Action | None) -> list[Offer] | None:
    if action is None:
        return []
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - no public name
        pseudo = action._choices_actions  # noqa: SLF001 - where argparse keeps the helps
        return [Offer(choice.dest, _meaning(choice)) for choice in pseudo]
    if action.choices is not None:
        return [Offer(str(choice)) for choice in action.choices]
    return None if action.metavar in NAMES_OF_FILES else []


def _meaning(action: argparse.Action) -> str:
    return (action.help or "").replace("%(default)s", str(action.default))


def _written(offer: Offer, shell: str) -> str:
    match shell:
        case "zsh":
            word = offer.word.replace(":", r"\:")
            return f"{word}:{offer.meaning}" if offer.meaning else word
        case "fish":
            return f"{offer.word}\t{offer.meaning}"
        case _:
            return offer.word
