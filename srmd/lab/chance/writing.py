"""A story as a scenario file, as people write them; read again it is the same story."""

from __future__ import annotations

import json
from collections.abc import Iterable

from srmd.core import handbook
from srmd.lab.scenario.reading import WITHIN
from srmd.lab.scenario.story import SILENT, Expect, Picture, Scenario, Settings, Stays, Step
from srmd.shown import written


def as_toml(scenario: Scenario, comments: Iterable[str] = ()) -> str:
    """The text of the file; comments stand above it.

    Written are the steps that a drawn story has: what is done, and pictures of both nodes.
    """
    lines = [f"# {line}".rstrip() for line in comments]
    lines += [
        f"shows = [{', '.join(map(_text, scenario.shows))}]",
        *_table("title", en=scenario.title.en, ja=scenario.title.ja),
        *_table("story", en=scenario.story.en, ja=scenario.story.ja),
        *_settings(scenario.settings),
    ]
    for step in scenario.steps:
        lines += ["", "[[step]]", *_step(step)]
    return "".join(f"{line}\n" for line in lines)


def _settings(settings: Settings) -> list[str]:
    """What is as everywhere is not written."""
    default = Settings()
    lines: list[str] = []
    if settings.group != default.group:
        lines += _table(
            "group",
            automatic_fallback=settings.group.automatic_fallback,
            split_brain=settings.group.split_brain.value,
        )
    if settings.timers:
        lines += _table("timers", **{name: str(value) for name, value in settings.timers})
    if settings.users != default.users:
        lines += _table("users", count=settings.users.count, mode=settings.users.mode.value)
    return lines


def _step(step: Step) -> list[str]:
    lines = [f"do = {_text(text)}" for text in step.said]
    match step.check:
        case Expect(picture, within, None):
            lines.append(f"expect = {_picture(picture)}")
            if within != WITHIN:
                lines.append(f"within = {_text(str(within))}")
        case Stays(picture, hold, None):
            lines += [f"stays = {_picture(picture)}", f"for = {_text(str(hold))}"]
        case None:
            pass
        case _:
            raise AssertionError(f"no drawn story has this step: {step}")
    return lines


def _picture(picture: Picture) -> str:
    halves = [
        f"{node.value} = {_text('down' if side == (SILENT,) else _half(side))}"
        for node, side in picture.halves.items()
    ]
    return f"{{ {', '.join(halves)} }}" if halves else "{}"


def _half(side: handbook.Side) -> str:
    (state, reason), *others = side
    assert reason is not None, side
    assert not others, side
    return written((state, reason))


def _table(name: str, **values: object) -> list[str]:
    return ["", f"[{name}]", *(f"{key} = {_text(value)}" for key, value in values.items())]


def _text(value: object) -> str:
    """Texts, numbers and flags are written in TOML as they are in JSON."""
    return json.dumps(value, ensure_ascii=False)
