"""What a search begins with: facts of its journal, which replays alone."""

import dataclasses
import re
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bqnn.agents import LEARNERS
from bqnn.agents.q import QState
from bqnn.config import Config, schedule
from bqnn.errors import BqnnError, ConfigError, JournalError, NscError
from bqnn.evaluation.records import Status
from bqnn.report.q_history import QHistory
from bqnn.search import journal
from bqnn.search.events import Event
from bqnn.search.fold import ReplayError
from bqnn.search.given import give, read_blocks
from bqnn.search.history import History, Run
from bqnn.search.master import Limits, search
from bqnn.search.problem import with_given
from bqnn.search.reward import last_accuracy
from bqnn.search.settled import settled_evaluations
from bqnn.search.state import first_state
from bqnn.space.nsc import Block, parse
from tests.helpers.searches import (
    SPEC,
    TableExecutor,
    digests_of,
    evaluated,
    problem_of,
    replay,
    search_table,
    tiny_config,
)

pytestmark = pytest.mark.quick_compilation

EARLIER = tiny_config()
# Another seed, batch, network and reward; the same images.
CONFIG = tiny_config(
    search={"batch": 5, "seed": 7},
    agent={"schedule": "1.0:1,0.1:3", "alpha": 0.1},
    network={"stem": "small", "widths": (8,), "repeats": 1},
    reward={"mu": 2.0},
)
FIRST = tuple(parse(text) for text in ("1,1,3,0,0", "1,1,5,0,0;2,4,0,1,0", "1,4,0,0,0"))


def _search(
    workdir: Path,
    learn_from: Sequence[Path] = (),
    try_first: Sequence[Block] = (),
    config: Config = CONFIG,
    limits: Limits | None = None,
) -> list[Event]:
    with journal.create_or_open(workdir) as facts:
        facts.start(Run(config, SPEC, "none", {}))
        problem = give(facts, problem_of(config), learn_from, try_first)
        executor = TableExecutor()
        return list(search(problem, facts, executor, limits or Limits()))


def _history(workdir: Path) -> History:
    with journal.open_readonly(workdir) as facts:
        return facts.history()


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete search of 24 candidates, one of which failed."""
    workdir = tmp_path_factory.mktemp("earlier")
    search_table(workdir, EARLIER, TableExecutor(faults={3: Status.FAILED}))
    return workdir


@pytest.mark.parametrize("name", LEARNERS)
def test_an_agent_is_told_what_an_earlier_search_found(
    tmp_path: Path, earlier: Path, name: str
) -> None:
    agent = dataclasses.replace(CONFIG.agent, name=name)
    config = dataclasses.replace(CONFIG, agent=agent)
    warm = _search(tmp_path / "warm", [earlier], config=config)
    assert len(evaluated(warm)) == 20
    shutil.copytree(tmp_path / "warm", tmp_path / "copy")
    # It needs neither the earlier search nor its own place.
    assert digests_of(replay(tmp_path / "copy")) == digests_of(warm)
    # As many results of other accuracies, so that the same programs serve.
    other = tmp_path / "other"
    shutil.copytree(earlier, other)
    _execute(other, "UPDATE evaluations SET accuracy = '[0.9]' WHERE slot = 0")
    elsewise = _search(tmp_path / "elsewise", [other], config=config)
    blind = name == "random"
    assert ([e.candidate.block for e in evaluated(warm)] == _blocks(elsewise)) == blind


def _blocks(events: Sequence[Event]) -> list[Block]:
    return [event.candidate.block for event in evaluated(events)]


def test_results_are_told_in_order_before_the_first_batch(
    tmp_path: Path, earlier: Path
) -> None:
    _search(tmp_path, [earlier], limits=Limits(candidates=1))
    history, before = _history(tmp_path), _history(earlier)
    want = [
        (candidate, evaluation)
        for ask in before.asks
        for candidate in ask.candidates
        if last_accuracy(
            candidate, evaluation := settled_evaluations(before)[candidate.id]
        )
    ]
    assert 15 < len(want) < 24
    found = history.given.learnt
    assert [x.candidate.id for x in found] == [c.id for c, _ in want]
    assert [x.candidate.block for x in found] == [c.block for c, _ in want]
    assert [x.candidate.seed for x in found] == [c.seed for c, _ in want]
    assert [x.accuracy for x in found] == [e.accuracy for _, e in want]
    assert {x.workdir for x in found} == {str(earlier)}
    # FLOPs are those of this search's network, which the reward weighs.
    assert found[0].candidate.block_flops != want[0][0].block_flops
    problem = with_given(problem_of(CONFIG), history.given)
    state = first_state(problem, found).agent
    assert isinstance(state, QState)
    assert int(state.memory.size) == len(found)
    assert int(state.iteration) == -(-len(found) // CONFIG.search.batch)
    rewards = [problem.reward(x.candidate, x.evaluation) for x in found]
    told = np.asarray(state.memory.rewards)[: len(found)]
    np.testing.assert_array_equal(told, np.array(rewards, np.float32))
    # Nothing of the schedule is used up, and the memory has room for all.
    assert len(state.memory.rewards) == len(found) + 20
    epsilons = schedule.parse(CONFIG.agent.schedule).epsilons
    assert [ask.epsilon for ask in history.asks] == [*epsilons[: len(history.asks)]]


def test_several_searches_teach_in_the_order_given(
    tmp_path: Path, earlier: Path
) -> None:
    other = tmp_path / "other"
    search_table(other, tiny_config(search={"seed": 3, "batch": 4}))
    _search(tmp_path / "new", [other, earlier, other], limits=Limits(candidates=1))
    taught = [x.workdir for x in _history(tmp_path / "new").given.learnt]
    names = [str(other), str(earlier)]
    assert list(dict.fromkeys(taught)) == names
    assert taught == sorted(taught, key=names.index)


def test_given_blocks_take_the_first_slots(tmp_path: Path) -> None:
    first = (*FIRST, *FIRST[:1], *FIRST)  # seven, for batches of five
    events = _search(tmp_path / "given", (), first)
    asks, alone = _history(tmp_path / "given").asks, _search(tmp_path / "alone")
    blocks = [c.block for ask in asks for c in ask.candidates]
    assert blocks[:7] == [*first]
    # The other slots of the first batch are as the agent asked them.
    own = [c.block for c in _history(tmp_path / "alone").asks[0].candidates]
    assert blocks[:5] == [*first[:5]] and own != blocks[:5]
    assert [ask.epsilon for ask in asks] == [
        ask.epsilon for ask in _history(tmp_path / "alone").asks
    ]
    assert len(evaluated(events)) == len(evaluated(alone)) == 20
    assert digests_of(replay(tmp_path / "given")) == digests_of(events)


def test_slots_without_a_given_block_are_the_agents(tmp_path: Path) -> None:
    _search(tmp_path / "given", (), FIRST[:2])
    _search(tmp_path / "alone")
    given, own = (
        [c.block for c in _history(tmp_path / name).asks[0].candidates]
        for name in ("given", "alone")
    )
    assert given == [*FIRST[:2], *own[2:]]


@pytest.mark.parametrize("candidates", [1, 6, 13])
def test_the_same_command_goes_on(
    tmp_path: Path, earlier: Path, candidates: int
) -> None:
    copy, limits = tmp_path / "earlier", Limits(candidates=candidates)
    shutil.copytree(earlier, copy)
    whole = _search(tmp_path / "whole", [copy], FIRST)
    _search(tmp_path / "new", [copy], FIRST, limits=limits)
    shutil.rmtree(copy)  # its facts were copied
    assert digests_of(_search(tmp_path / "new", [copy], FIRST)) == digests_of(whole)


@pytest.mark.parametrize(
    ("learn", "first", "message"),
    [
        ([], FIRST, r"learnt from \S+earlier\S*, not from no other: use the same --l"),
        (["x"], FIRST, r"learnt from \S+earlier\S*, not from x: use the same --learn"),
        (None, FIRST[:2], "given 3 blocks to try first, not these 2: use the same --t"),
        (None, (*FIRST[:2], FIRST[0]), "given 3 blocks to try first, not these 3"),
        (None, (), "given 3 blocks to try first, not these 0"),
    ],
)  # fmt: skip
def test_another_command_is_refused(
    tmp_path: Path, earlier: Path, learn: Any, first: Any, message: str
) -> None:
    _search(tmp_path, [earlier], FIRST, limits=Limits(candidates=1))
    given = [earlier] if learn is None else [Path(name) for name in learn]
    with pytest.raises(JournalError, match=message):
        _search(tmp_path, given, first)


def test_a_search_that_has_begun_learns_nothing_more(
    tmp_path: Path, earlier: Path
) -> None:
    _search(tmp_path, limits=Limits(candidates=1))
    with pytest.raises(JournalError, match="learnt from no other, not from"):
        _search(tmp_path, [earlier])
    with pytest.raises(JournalError, match="given 0 blocks to try first, not these 3"):
        _search(tmp_path, [], FIRST)


def _empty(folder: Path) -> None:
    with journal.create_or_open(folder) as facts:
        facts.start(Run(EARLIER, SPEC, "none", {}))


def _other_images(folder: Path) -> None:
    with journal.create_or_open(folder) as facts:
        facts.start(Run(EARLIER, SPEC, "beef", {}))


def _longer(folder: Path) -> None:
    search_table(folder, tiny_config(space={"max_layers": 6}))


def _damaged(folder: Path) -> None:
    folder.mkdir()
    (folder / journal.FILE_NAME).write_bytes(b"no database" * 100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "has no journal.sqlite: want the --workdir of a search"),
        (_empty, "other has no result to learn from yet"),
        (_other_images, "other holds a search on other data .digits, held out 0.2.: w"),
        (_longer, r"other: block '.* has [456] layers: this space has 3 at most"),
        (_damaged, "other/journal.sqlite is damaged or no journal"),
    ],
)  # fmt: skip
def test_what_cannot_teach_is_one_line_and_changes_nothing(
    tmp_path: Path, make: Any, message: str
) -> None:
    make(tmp_path / "other")
    with pytest.raises(BqnnError, match=message) as caught:
        _search(tmp_path / "new", [tmp_path / "other"])
    assert "\n" not in str(caught.value)
    # The search can still begin without.
    assert _search(tmp_path / "new")


def test_a_search_cannot_learn_from_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is the search's own"):
        _search(tmp_path / "new", [tmp_path / "new" / ".." / "new"])


def test_blocks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    long = parse("1,4,0,0,0;2,4,0,1,0;3,4,0,2,0;4,4,0,3,0")
    with pytest.raises(ConfigError, match="tried first: block .* has 4 layers: this"):
        _search(tmp_path, [], [long])
    with pytest.raises(ConfigError, match="21 blocks to try first: want 20 at most"):
        _search(tmp_path, [], FIRST * 7)


def test_a_file_of_blocks(tmp_path: Path) -> None:
    path = tmp_path / "blocks.txt"
    path.write_text(
        "# ours\n1,1,3,0,0;2,7,0,0,0\n\n  1,1,5,0,0;2,4,0,1,0  # deep\n1,4,0,0,0\n"
    )
    assert read_blocks(path) == FIRST
    path.write_text("1,1,3,0,0\n# fine so far\n1,1,4,0,0\n")
    with pytest.raises(NscError, match="blocks.txt, line 3: .*kernel 4"):
        read_blocks(path)
    path.write_text("# nothing\n")
    with pytest.raises(ConfigError, match="blocks.txt has no block: want one NSC"):
        read_blocks(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="blocks.txt: .*want a file of blocks"):
        read_blocks(path)
    with pytest.raises(ConfigError, match=r"none.txt: .*want a file of blocks"):
        read_blocks(tmp_path / "none.txt")


def _execute(workdir: Path, statement: str) -> None:
    connection = sqlite3.connect(workdir / journal.FILE_NAME)
    with connection:
        assert connection.execute(statement).rowcount
    connection.close()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE learnt SET accuracy = '[0.1, 0.9]' WHERE number = 7",
         "before iteration 0, what was learnt: the digest differs"),
        # No reward looks at it.
        ("UPDATE learnt SET accuracy = replace(accuracy, '[0.1,', '[0.2,') "
         "WHERE number = 7", "what was learnt: the hash of it differs"),
        ("UPDATE learnt SET workdir = 'x', seed = 7 WHERE number = 2",
         "what was learnt: the hash of it differs"),
        ("UPDATE learnt SET block = '1,1,5,0,0;2,4,0,1,0' WHERE number = 2",
         "what was learnt: the digest differs"),
        ("UPDATE warm_start SET digest = 'beef'", "the journal has beef, the replay"),
        ("UPDATE tried_first SET block = '1,4,0,0,0' WHERE number = 1",
         "^iteration 0: slot 1 differs: the journal has 1,1,5,0,0;2,4,0,1,0"),
        ("DELETE FROM tried_first WHERE number = 2", "^iteration 0: slot 2 differs"),
    ],
)  # fmt: skip
def test_a_replay_finds_a_fact_that_was_changed(
    tmp_path: Path, earlier: Path, change: str, message: str
) -> None:
    _search(tmp_path, [earlier], FIRST)
    _execute(tmp_path, change)
    with pytest.raises(ReplayError, match=message):
        replay(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("UPDATE learnt SET number = 900 WHERE number = 0",
         "table learnt, row number 1: it is out of order: want 0"),
        ("UPDATE learnt SET accuracy = '[]'",
         "table learnt, row number 0, column accuracy is []: want a list of one"),
        ("UPDATE learnt SET accuracy = '[2]'", "column accuracy is 2: want a number"),
        ("UPDATE learnt SET flops = '-5'", "column flops is '-5': want a positive"),
        ("UPDATE learnt SET workdir = X'ff'", "column workdir is b'\\xff': want text"),
        ("UPDATE learnt SET block = '1,4,0,0,0;2,4,0,0,0;3,4,0,0,0;4,4,0,0,0'",
         "table learnt, row number 0: block has 4 layers: want 3 at most"),
        ("UPDATE tried_first SET block = 'x'", "table tried_first, row number 0, col"),
        ("UPDATE tried_first SET number = 5 - number",
         "table tried_first, row number 3: it is out of order: want 0"),
        ("DELETE FROM warm_start", "table warm_start: want one row, as table learnt"),
        ("DELETE FROM learnt", "table warm_start: want no row, as table learnt"),
        ("UPDATE warm_start SET evidence = ''", "column evidence is '': want hexade"),
    ],
)  # fmt: skip
def test_a_malformed_fact_is_one_clear_line(
    tmp_path: Path, earlier: Path, change: str, message: str
) -> None:
    _search(tmp_path, [earlier], FIRST, limits=Limits(candidates=1))
    _execute(tmp_path, change)
    with pytest.raises(JournalError, match=re.escape(message)):
        _history(tmp_path)


def test_the_report_follows_the_q_values_of_a_warm_start(
    tmp_path: Path, earlier: Path
) -> None:
    _search(tmp_path, [earlier])
    history = _history(tmp_path)
    found = QHistory(problem_of(CONFIG))
    found.follow(history._replace(tells=history.tells[:1]))
    found.follow(history)
    assert len(found.snapshots) == 4 and not found.differs
    decisions = sum(len(x.candidate.block) for x in history.given.learnt)
    assert found.snapshots[0].visits.sum() > decisions
