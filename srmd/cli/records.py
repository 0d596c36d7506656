"""`srmd replay`, `srmd why`, `srmd timeline`: what was written down, replayed, explained, drawn.

They read files and ask no node.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from srmd.cli.exits import Exit, Failure
from srmd.cli.output import as_json
from srmd.core.texts import Language
from srmd.lab.records.reading import Records, Unusable, read
from srmd.terminal import complain, width_of

Options = argparse.Namespace


def replay(options: Options) -> int:
    """0: log and machine agree; 1: they do not; 2: nothing could be replayed."""
    from srmd.lab.records.replaying import replay as replay_journal

    records = _read(options)
    found = [replay_journal(journal) for journal in records.journals]
    if options.json:
        print(as_json([one.as_plain() for one in found]))
    else:
        print("".join(f"{one.as_text()}\n" for one in found), end="")
    _say_closing(records)
    if not any(one.usable for one in found):
        named = ", ".join(options.files)
        right = "name journal.jsonl of a node's state_dir, or the state_dir itself"
        raise Failure(Exit.USAGE, f"replay: no inputs that can be replayed in {named}; {right}")
    return Exit.FAILED if any(one.disagreement for one in found) else Exit.OK


def why(options: Options) -> int:
    from srmd.lab.records.causes import NotFound, as_plain, as_text, explain, find
    from srmd.lab.records.history import histories

    records = _read(options)
    try:
        nodes = histories(records)
        wanted = find(nodes, node=options.node, op=options.op, at=options.at)
    except (Unusable, NotFound) as none:
        _say_closing(records, options.lang)
        raise Failure(Exit.USAGE, f"why: {none}") from none
    chains = [explain(nodes, *one) for one in wanted]
    if options.json:
        print(as_json([as_plain(chain, options.lang) for chain in chains]))
    else:
        columns = width_of(sys.stdout, default=0)
        print("\n".join(as_text(chain, options.lang, columns) for chain in chains), end="")
    for note in (*(one.told() for one in nodes.offsets), *nodes.notes):
        complain(note.say(options.lang))
    _say_closing(records, options.lang)
    return Exit.OK


def timeline(options: Options) -> int:
    from srmd.lab.records import page
    from srmd.lab.records.timeline import timeline as make

    records = _read(options)
    try:
        line = make(records)
    except Unusable as none:
        _say_closing(records, options.lang)
        raise Failure(Exit.USAGE, f"timeline: {none}") from none
    match options.format:
        case "html":
            text = page.as_html(line, options.lang)
        case "json":
            text = page.as_json(line)
        case _:
            columns = width_of(sys.stdout, default=0) if options.output is None else 0
            text = page.as_text(line, options.lang or "en", columns)
    if options.output is None:
        print(text, end="")
    else:
        try:
            Path(options.output).write_text(text, encoding="utf-8")
        except OSError as failed:
            raise Failure(Exit.USAGE, f"--output {options.output}: {failed.strerror}") from failed
    _say_closing(records, options.lang)
    return Exit.OK


def _read(options: Options) -> Records:
    try:
        return read(Path(name) for name in options.files)
    except Unusable as none:
        raise Failure(Exit.USAGE, f"{options.command_word}: {none}") from none


def _say_closing(records: Records, language: Language | None = None) -> None:
    """To stderr: the output may be JSON or a page."""
    complain("\n".join(records.closing(language or "en")))
