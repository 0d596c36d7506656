"""The format of scenarios: what a file may say, and what is said of one that may not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from srmd.config import shipped
from srmd.core.states import Reason, State
from srmd.core.texts import Text
from srmd.lab.coverage import of_scenarios
from srmd.lab.real.wired import lab_timers
from srmd.lab.scenario import Scenario, ScenarioError, load, load_all
from srmd.lab.scenario.configured import KEYS
from srmd.lab.scenario.durations import TIMERS, NotADuration, duration
from srmd.lab.scenario.phrases import PHRASES, NotAVerb, as_markdown, verb
from srmd.lab.scenario.story import MEANINGS, Expect, Invariant, Stays
from srmd.lab.scenario.toxics import harms, healed_by
from srmd.lab.scenario.verbs import (
    VERBS,
    Channel,
    Clone,
    Configure,
    Cut,
    Delay,
    Direction,
    DropNext,
    FileAction,
    Files,
    Heal,
    HoldUntilDeadline,
    KeepFiles,
    Limit,
    NodeName,
    Operate,
    Operation,
    Power,
    PowerAction,
    PutClock,
    Service,
    ServiceAction,
    mirrored,
    mirrored_text,
)
from tests.test_architecture import imported_by, modules

DOC = Path(__file__).parents[2] / "docs" / "scenarios.md"
SHIPPED = load_all([shipped() / "scenarios"])
HEAD = """\
shows = [1]
[title]
en = "A title"
ja = "題"
[story]
en = "A story."
ja = "話"
"""
CISCO_S = {
    "keep_alive_interval": 15.0,
    "keep_alive_timeout": 60.0,
    "initialization_keep_alive_timeout": 120.0,
    "critical_service_delay": 90.0,
    "automatic_fallback_wait": 1800.0,
    "start_limit": 30.0,
    "stop_limit": 10.0,
    "move_limit": 30.0,
    "reboot": 1.0,
}


def written(folder: Path, steps: str, head: str = HEAD) -> Path:
    file = folder / "story.toml"
    file.write_text(head + steps, encoding="utf-8")
    return file


def problems(folder: Path, steps: str, head: str = HEAD) -> str:
    with pytest.raises(ScenarioError) as wrong:
        load(written(folder, steps, head))
    return str(wrong.value)


def test_scenarios_know_no_event_loop_process_or_socket() -> None:
    """Virtual time plays them too."""
    loaded = imported_by(*modules("srmd.lab.scenario"))
    assert not loaded & {"asyncio", "aiohttp", "socket", "subprocess", "threading", "srmd.daemon"}


# ---------------------------------------------------------------------------- durations


@pytest.mark.parametrize(
    "text,seconds",
    [
        ("1s", 1.0),
        ("500ms", 0.5),
        ("2 min", 120.0),
        ("keep_alive_timeout", 60.0),
        ("keep_alive_timeout + 1s", 61.0),
        ("2 * keep_alive_interval - 500 ms", 29.5),
        ("keep_alive_timeout / 4 + 3*keep_alive_interval", 60.0),
        ("1s - keep_alive_timeout", 0.0),
    ],
)
def test_a_duration_is_arithmetic_on_timers(text: str, seconds: float) -> None:
    assert duration(text).seconds(CISCO_S) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text,why",
    [
        ("", "no duration"),
        ("5", "no duration"),
        ("5 parsec", "parsec is no unit"),
        ("keep_alive_timeot", "did you mean keep_alive_timeout"),
        ("1s 2s", "no duration"),
        ("1s / 0", "divides by 0"),
        ("1s +", "no duration"),
        ("keep_alive_timeout * keep_alive_timeout", "no duration"),
    ],
)
def test_a_text_that_is_no_duration_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(NotADuration, match=why):
        duration(text)


def test_the_lab_knows_every_timer_that_a_file_may_name() -> None:
    assert lab_timers().keys() == TIMERS.keys() == KEYS.keys() == CISCO_S.keys()


# ---------------------------------------------------------------------------- verbs


def test_every_phrase_reads_its_own_example_and_no_other_phrase_does() -> None:
    for phrase in PHRASES:
        fitting = [one.form for one in PHRASES if one.pattern.fullmatch(phrase.example)]
        assert fitting[0] == phrase.form


def test_every_verb_can_be_said() -> None:
    said = {type(verb(phrase.example)) for phrase in PHRASES}
    assert said == set(VERBS)


def test_a_phrase_is_read_into_its_value() -> None:
    a, b = NodeName.A, NodeName.B
    both = Direction.BOTH
    assert verb("cut heartbeats a->b") == Cut(Channel.HEARTBEATS, Direction.A_TO_B, refuse=False)
    assert verb("refuse  control") == Cut(Channel.CONTROL, both, refuse=True)
    assert verb("cut all a to b") == Cut(Channel.ALL, Direction.A_TO_B, refuse=False)
    assert verb("drop next 3 heartbeats b->a") == DropNext(3, Direction.B_TO_A)
    assert verb("heal control") == Heal(Channel.CONTROL, both)
    assert verb("freeze node b") == Power(PowerAction.FREEZE, b)
    assert verb("lose state of a") == KeepFiles(FileAction.LOSE, Files.STATE, a)
    assert verb("clone node a") == Clone(a, active=True)
    assert verb("end clone of node b") == Clone(b, active=False)
    assert verb("restore database of b") == KeepFiles(FileAction.RESTORE, Files.DATABASE, b)
    assert verb("failover a via b") == Operate(Operation.FAILOVER, a, via=b)
    killed = Service(ServiceAction.KILL, "Cisco SIP Proxy", a)
    assert verb('kill service "Cisco SIP Proxy" on a') == killed
    assert verb("kill service Cisco SIP Proxy on a") == killed
    assert verb("configure group.ha_enabled = false on b") == Configure(
        "group.ha_enabled", value=False, node=b
    )
    delay = verb("delay control by keep_alive_interval jitter 10ms b->a")
    assert isinstance(delay, Delay)
    assert (str(delay.by), str(delay.jitter)) == ("keep_alive_interval", "10ms")


@pytest.mark.parametrize(
    "text,why",
    [
        ("cut hartbeats a->b", "did you mean: cut heartbeats a->b$"),
        ("kil node a", "did you mean: kill node a$"),
        ("cut", "cut <channel> .*; <channel> is heartbeats, control or all, <direction> is a->b, "),
        ("kill service X", "did you mean: .* service <service> on <node>; <node> is a or b"),
        ("bogus verb", "a verb begins with add, block, .* or wrong; docs/scenarios.md has the"),
        ("kill node c", "did you mean: .*node <node>"),
        ("lose 0% of heartbeats", "more than 0%"),
        ("lose 400% of heartbeats", "at most 100%"),
        ("drop next 99999 heartbeats", "from 1 to 10000"),
        ("delay heartbeats by soon", "soon is no timer"),
        ("configure group.name = other on b", "value of TOML"),
        ("cut heartbeats a-", "put it in quotes"),
        ("xyzzy", "docs/scenarios.md"),
        ("", "nothing that can be done"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_nearest_phrase(text: str, why: str) -> None:
    with pytest.raises(NotAVerb, match=why):
        verb(text)


def test_mirroring_swaps_the_nodes_and_twice_changes_nothing() -> None:
    for phrase in PHRASES:
        one = verb(phrase.example)
        assert mirrored(mirrored(one)) == one
        if re.search(r"\b[ab]\b", phrase.example):
            assert verb(mirrored_text(phrase.example)) == mirrored(one)
    assert mirrored_text("kill service 'a b' on a") == "kill service 'a b' on b"


def test_a_one_way_cut_of_everything_takes_control_both_ways() -> None:
    """TCP needs both directions."""
    cut = verb("cut all a->b")
    assert isinstance(cut, Cut)
    assert {harm.link.name for harm in harms(cut, CISCO_S)} == {
        "heartbeats_a_to_b",
        "control_a_to_b",
        "control_b_to_a",
    }


def test_a_fault_is_toxics_with_numbers() -> None:
    flap = verb("flap heartbeats up 1s down keep_alive_timeout a->b")
    lose = verb("lose 25% of heartbeats in bursts b->a")
    refuse = verb("refuse heartbeats a->b")
    assert not isinstance(flap, Heal)
    (harm,) = harms(flap, CISCO_S)  # type: ignore[arg-type] # a fault of the network
    assert (harm.toxic, dict(harm.attributes)) == ("flap", {"up": 1000, "down": 60000})
    (harm,) = harms(lose, CISCO_S)  # type: ignore[arg-type]
    assert dict(harm.attributes) == {"loss_rate": 0.25, "correlation": 0.5}
    (harm,) = harms(refuse, CISCO_S)  # type: ignore[arg-type]
    assert harm.refuses


def test_a_narrow_line_is_narrow_for_requests_and_answers() -> None:
    limit = verb("limit control to 20 KB/s a->b")
    assert isinstance(limit, Limit)
    assert [(harm.name, dict(harm.attributes)) for harm in harms(limit, CISCO_S)] == [
        ("limit_upstream", {"rate": 20}),
        ("limit_downstream", {"rate": 20}),
    ]


def test_heartbeats_are_held_until_the_deadline_of_one_receiver() -> None:
    held = verb("hold heartbeats b to a until the deadline")
    assert held == HoldUntilDeadline(Direction.B_TO_A)
    assert isinstance(held, HoldUntilDeadline)
    assert held.direction.receiver is NodeName.A
    assert [harm.toxic for harm in harms(held, CISCO_S)] == ["hold"]
    with pytest.raises(NotAVerb, match="did you mean: hold heartbeats"):
        verb("hold heartbeats both ways until the deadline")


def test_a_scenario_of_ones_own_needs_no_japanese_and_no_title(tmp_path: Path) -> None:
    """Ours have both languages: tests/lab/test_scenario_files.py."""
    steps = '[[step]]\ndo = "heal"\n'
    bare = load(written(tmp_path, steps, "shows = [1]\n"))
    assert (bare.title, bare.story) == (Text("story", "story"), Text("", ""))
    head = 'shows = [1]\ntitle = "One"\nstory = { en = "Two." }\n'
    short = load(written(tmp_path, steps, head))
    assert (short.title, short.story) == (Text("One", "One"), Text("Two.", "Two."))
    told = problems(tmp_path, steps, 'shows = [1]\ntitle = 5\nstory = { ja = "二" }\n')
    assert "title: 5" in told
    assert "story.en: (missing): what happens, in English" in told


def test_a_clock_is_put_so_far_from_the_true_time() -> None:
    forward, back, right = map(
        verb,
        (
            "put clock forward by 1h on a",
            "put clock back by keep_alive_timeout on b",
            "right clock on a",
        ),
    )
    assert isinstance(forward, PutClock)
    assert isinstance(back, PutClock)
    assert isinstance(right, PutClock)
    assert [one.ahead_s(CISCO_S) for one in (forward, back, right)] == [3600.0, -60.0, 0.0]


def test_a_story_that_puts_a_clock_asks_for_a_pair_with_clocks(tmp_path: Path) -> None:
    plain = load(written(tmp_path, '[[step]]\ndo = "heal"\n'))
    puts = load(written(tmp_path, '[[step]]\ndo = "put clock back by 1h on b"\n'))
    assert (plain.settings.clocks, puts.settings.clocks) == (False, True)


def test_heal_takes_the_links_that_it_names() -> None:
    def healed(text: str) -> set[str]:
        said = verb(text)
        assert isinstance(said, Heal)
        return {link.name for link in healed_by(said)}

    assert len(healed("heal")) == 4
    assert healed("heal heartbeats a->b") == {"heartbeats_a_to_b"}
    assert healed("heal b->a") == {"heartbeats_b_to_a", "control_b_to_a"}


# ---------------------------------------------------------------------------- files


def test_a_file_is_read_into_steps(tmp_path: Path) -> None:
    steps = """
[group]
split_brain = "home"
[timers]
keep_alive_interval = "2s"
keep_alive_timeout = "4.5 * keep_alive_interval"
[users]
count = 10
mode = "active-standby"
[[step]]
do = ["failover a", "cut all"]
expect = { a = ["Idle / *", "down"], b = "Running in Backup Mode / On Admin Request" }
within = "keep_alive_timeout"
not_before = "1s"
served = { a = "none", b = 10 }
[[step]]
stays = { a = "Idle / *" }
while = "drop next 2 heartbeats"
for = "1s"
[[step]]
refused = "failover b"
"""
    scenario = load(written(tmp_path, steps))
    timers = scenario.settings.timers_of(CISCO_S)
    assert (timers["keep_alive_interval"], timers["keep_alive_timeout"]) == (2.0, 9.0)
    assert timers["reboot"] == 1.0
    first, second, third = scenario.steps
    assert first.line == 17
    assert first.said == ("failover a", "cut all")
    assert isinstance(first.check, Expect)
    assert first.check.picture.halves[NodeName.A] == ((State.IDLE, None), (State.DOWN, None))
    backup = (State.BACKUP, Reason.ON_ADMIN_REQUEST)
    assert first.check.picture.halves[NodeName.B] == (backup,)
    assert isinstance(second.check, Stays)
    assert second.check.meanwhile == verb("drop next 2 heartbeats")
    assert third.refused == verb("failover b")
    assert scenario.mirrored().steps[0].said == ("failover b", "cut all")
    assert scenario.mirrored().mirrored() == scenario


def test_all_problems_of_a_file_are_told_at_once_with_their_lines(tmp_path: Path) -> None:
    head = HEAD.replace("[1]", '[1, 99, "idle_home_slient"]') + 'colour = "red"\n'
    steps = """
[timers]
keep_alive_intervall = "1s"
[[step]]
do = "cut hartbeats"
[[step]]
expect = { a = "Idel / Normal", c = "Normal / Normal" }
within = 5
[[step]]
stays = { a = "Idle / *" }
[[step]]
row = 3
[[step]]
expect = { a = "down" }
for = "1s"
served = { a = "some" }
[[step]]
"""
    told = problems(tmp_path, steps, head)
    assert "14 problems" in told
    for piece in (
        "line 1: shows: 99: a row from 1 to 24",
        "line 8: story.colour: (a text): no such key",
        "line 11: timers.keep_alive_intervall",
        "did you mean keep_alive_interval?",
        "line 13: step 1.do: 'cut hartbeats'",
        "line 15: step 2.expect.a: 'Idel / Normal'",
        "line 15: step 2.expect.c: (a text): no such key",
        "line 16: step 2.within: 5: write a text with a unit",
        "line 18: step 3.stays",
        "line 20: step 4.row: 3: beside expect",
        "line 23: step 5.for: '1s': for `stays`",
        "line 24: step 5.served.a: 'some': a number, or one of none, own, all",
        "line 25: step 6: nothing: something to do",
    ):
        assert piece in told


@pytest.mark.parametrize(
    "steps,why",
    [
        ("", "from 1 to 200"),
        ("[[step]]\ndo = []", "what is done"),
        ("[[step]]\ndo = 5", "what is done"),
        ("[[step]]\nrefused = ['heal', 'heal']", "what is done"),
        ('[[step]]\nexpect = "Idle"', r"a table: \[step 1.expect\]"),
        ("[[step]]\nexpect = { a = 7 }", "State / Reason"),
        ('[[step]]\nexpect = { a = "down / Normal" }', "a silent node has no reason"),
        ('[[step]]\ndo = "heal"\nwithin = "1s"', "beside something to expect"),
        ('[[step]]\nexpect = { a = "down" }\nstays = { a = "down" }', "a step of its own"),
        ('[[step]]\ndo = "heal"\nwhile = "heal"', "for `stays`"),
        ('[[step]]\ndo = "heal"\n[users]\ncount = 0', "users from 2 to 25000"),
        ("[[step]", "not TOML"),
    ],
)
def test_a_malformed_file_is_refused_with_its_reason(tmp_path: Path, steps: str, why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        load(written(tmp_path, steps))


def test_a_row_that_is_shown_has_to_be_looked_for(tmp_path: Path) -> None:
    told = problems(tmp_path, '[[step]]\ndo = "heal"', HEAD.replace("[1]", "[16]"))
    assert "line 1: shows: 16: looked for: no step says row = 16" in told


def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="No such file"):
        load(tmp_path / "nowhere.toml")


# ---------------------------------------------------------------------------- what we ship


@pytest.mark.parametrize("scenario", SHIPPED, ids=lambda scenario: scenario.name)
def test_a_shipped_scenario_is_named_for_its_row(scenario: Scenario) -> None:
    kind, _, rest = scenario.name.partition("-")
    assert kind in ("row", "ours")
    if kind == "row":
        assert int(rest[:2]) in scenario.shows
    for text in (scenario.title, scenario.story):
        assert text.en != text.ja


def test_the_shipped_scenarios_reach_every_documented_row() -> None:
    assert of_scenarios(SHIPPED).missing == ()


def test_coverage_names_a_row_that_nothing_reaches() -> None:
    without = [one for one in SHIPPED if 22 not in one.shows]
    found = of_scenarios(without)
    assert found.missing == (22,)
    assert "  22  auto_recovered_from_database_failure" in found.table()
    assert "23 of 24 documented rows" in found.table()


def test_the_shipped_scenarios_use_every_verb() -> None:
    used = {type(one) for scenario in SHIPPED for one in scenario.verbs()}
    assert used == set(VERBS)


def test_the_guide_has_every_verb_timer_and_invariant() -> None:
    guide = DOC.read_text(encoding="utf-8")
    table = guide.partition("<!-- verbs")[2].partition("<!-- end of verbs -->")[0]
    assert as_markdown() in table
    for name in TIMERS:
        assert f"| `{name}` |" in guide
    for invariant in Invariant:
        assert f"| `{invariant.value}` | {MEANINGS[invariant]} |" in guide
