"""Scenarios: stories about a pair that is broken on purpose, the same for every stage.

    scenario = load(Path("configs/scenarios/row-16-peer-down.toml"))

`durations` and `verbs` are the vocabulary, `phrases` the grammar of the verbs, `story` the value of
a file, `reading` its TOML, `running` plays it against a stage.  Nothing here knows asyncio,
processes or sockets: real processes and virtual time are stages.  docs/scenarios.md is the
writer's guide.
"""

from srmd.lab.scenario.reading import ScenarioError, load, load_all
from srmd.lab.scenario.story import Scenario

__all__ = ["Scenario", "ScenarioError", "load", "load_all"]
