"""`srmd completion SHELL`: what the TAB key offers, asked of the parser itself.

The scripts are a few lines: at each TAB they ask `srmd completion SHELL --words ...`, and this file
walks the parser along the words.  So they never differ from what the command takes, and a new
command is completed at once.  shtab would generate static scripts; it needs every parser built, and
a dependency where `srmd` runs.  A TAB costs what `srmd --help` does; for nodes and services, whose
names only the pair knows (`cli/offering.py`), the node is asked.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence

from srmd.cli.asking import Options
from srmd.cli.exits import Exit
from srmd.cli.offering import FILES, OFFERED, Offer, Typed
from srmd.cli.parser import root, whole

TARGET = ("api", "config", "token_file", "ca")
"""The options that name a node, by their names in the parser."""
NAMES_OF_FILES = ("FILE", "DIR", "FOLDER", "LOG")
"""The metavars that stand for such a name."""

BASH = """\
# bash completion of srmd, by `srmd completion bash`
_srmd() {
    # The line, because bash has parted the words at : and = already.
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}"
    COMPREPLY=($("${COMP_WORDS[0]}" completion bash --words "$line" 2>/dev/null))
    if [[ ${COMPREPLY[0]-} == ":" ]]; then
        COMPREPLY=("${COMPREPLY[@]:1}")
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
        shift found
    fi
    if [[ -n $found[1] ]]; then
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
    # Unquoted, as the words before are; a quote that is still open is only at the begin.
    set -l typed (commandline -ct)
    set -l begun (string unescape -- $typed; or string trim -lc '"\\'' -- $typed)
    set -l found ($words[1] completion fish --words $words[2..] "$begun" 2>/dev/null)
    if test "$found[1]" = ":"
        __fish_complete_path (commandline -ct)
        set -e found[1]
    end
    if set -q found[1]
        printf '%s\\n' $found
    end
end
complete -c srmd -f -a '(__srmd_complete)'
"""

SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion(options: Options) -> int:
    if options.words is None:
        print(SCRIPTS[options.shell], end="")
        return Exit.OK
    words, quote = options.words, ""
    if options.shell == "bash":
        words, quote = split(" ".join(words))
        words = words[1:]
    *before, begun = words or [""]
    if options.shell == "zsh":
        begun = begun.lstrip("\"'")  # a quote that is still open is left at the begin
    found = offers(whole(root()), before, begun)
    # bash replaces only what stands behind the =, the others the whole word.
    is_assigned = options.shell != "bash" and begun.startswith("--") and "=" in begun
    head = begun[: begun.index("=") + 1] if is_assigned else ""
    for offer in found:
        if offer.word == FILES:
            print(FILES)
        elif options.shell == "bash":
            print(_quoted(offer.word, quote))
        else:
            print(_written(Offer(head + offer.word, offer.meaning), options.shell))
    return Exit.OK


def split(line: str) -> tuple[list[str], str]:
    """The words of a line that is being typed, and the quote that is still open.

    The last word is where the cursor is.
    """
    import shlex  # only bash needs it

    for close in ("", '"', "'"):
        try:
            # The mark keeps an empty last word, and a blank at the end of the line.
            *before, last = shlex.split(line + "\0" + close)
        except ValueError:
            continue  # a quote is still open
        return [*before, last.removesuffix("\0")], close
    return [], ""


def _quoted(word: str, quote: str) -> str:
    """As bash reads it back: it takes what is offered as it stands."""
    if quote == "'":
        return word
    return re.sub(r'(["\\$`])' if quote else r"([^\w@%+=:,./-])", r"\\\1", word)


def offers(parser: argparse.ArgumentParser, before: Sequence[str], begun: str) -> list[Offer]:
    """Words that can replace the one that is `begun`; FILES: the name of a file."""
    place = _Place(parser)
    for word in before:
        if not place.pass_by(word):
            return []
    found = place.expected(begun)
    rest = begun.partition("=")[2] if begun.startswith("--") and "=" in begun else begun
    return [offer for offer in found if offer.word == FILES or offer.word.startswith(rest)]


class _Place:
    """How far the words lead: which parser, which argument is next, which option waits."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._target: dict[str, str] = {}
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
        self._given: list[str] = []

    def pass_by(self, word: str) -> bool:
        """False: the word leads nowhere."""
        if self._missing:
            self._missing -= 1
            self._note_target(word)
            return True
        if self._is_option(word):
            name, equals, value = word.partition("=")
            self._option = self._options.get(name)
            self._missing = 0 if equals else _count(self._option)
            if equals:
                self._note_target(value)
            self._options_are_over = word == "--"
            return True
        return self._pass_argument(word)

    def _note_target(self, value: str) -> None:
        if self._option is not None and self._option.dest in TARGET:
            self._target[self._option.dest] = value

    def _pass_argument(self, word: str) -> bool:
        if not self._arguments:
            return False
        argument = self._arguments[0]
        if isinstance(argument, argparse._SubParsersAction):  # noqa: SLF001 - no public name
            chosen = argument.choices.get(word)
            if chosen is None:
                return False
            self._enter(whole(chosen))
        elif argument.nargs in ("+", "*"):
            self._given.append(word)
        else:
            self._arguments = self._arguments[1:]
        return True

    def expected(self, begun: str) -> list[Offer]:
        if self._missing:
            return _values(self._option, Typed(self._target, (), begun))
        if self._is_option(begun):
            name, equals, value = begun.partition("=")
            if not equals:
                return list(self._all_options())
            return _values(self._options.get(name), Typed(self._target, (), value))
        if self._arguments:
            return _values(self._arguments[0], Typed(self._target, self._given, begun))
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


def _values(action: argparse.Action | None, typed: Typed) -> list[Offer]:
    if action is None:
        return []
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - no public name
        pseudo = action._choices_actions  # noqa: SLF001 - where argparse keeps the helps
        return [Offer(choice.dest, _meaning(choice)) for choice in pseudo]
    if action.choices is not None:
        return [Offer(str(choice)) for choice in action.choices]
    if isinstance(action.metavar, str) and action.metavar in OFFERED:
        return OFFERED[action.metavar](typed)
    return [Offer(FILES)] if action.metavar in NAMES_OF_FILES else []


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
