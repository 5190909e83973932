"""The report's page: what is in the file, odd journals, the watcher, the size."""

import base64
import gzip
import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bqnn.agents import agent
from bqnn.config import AgentConfig, Config, schedule
from bqnn.errors import JournalError
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.networks import cost
from bqnn.networks.plan import ImageSpec
from bqnn.report.page.page import render, watch, write_page
from bqnn.report.page.payload import Json, Source, payload
from bqnn.report.rows import EvaluationRow
from bqnn.search import journal, problem
from bqnn.search.history import Ask, Run, Tell
from bqnn.search.state import batch_digest, first_state, tell_batch
from bqnn.space.actions import Int32
from tests.helpers.hand_journal import HAND, ask, by_hand, tell
from tests.helpers.paths import ROOT
from tests.helpers.searches import (
    SPEC,
    TableExecutor,
    run_search,
    search_table,
    tiny_config,
)
from tests.helpers.thorough import times

pytestmark = pytest.mark.quick_compilation


def unpacked(text: str, name: str) -> bytes:
    """Unpack what a page holds under a name."""
    match = re.search(rf'id="{name}">([^<]*)<', text)
    assert match
    return gzip.decompress(base64.b64decode(match[1]))


def _check_page(path: Path, megabytes: float) -> Json:
    """Check that a page needs nothing else, and return its data."""
    text = path.read_text()
    assert path.stat().st_size < megabytes * 1e6
    assert unpacked(text, "plotly").startswith(b"/**\n* plotly.js v")
    bare = re.sub(r'(type="text/plain" id="\w+">)[^<]*', r"\1", text)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", bare)
    assert "@import" not in bare and "url(" not in bare
    assert "{{" not in bare
    data: Json = json.loads(unpacked(text, "data"))
    return data


def test_the_page_holds_the_search(searched: Path) -> None:
    path, complete = write_page([Source(searched)], refresh=10)
    assert complete
    assert path == searched / "report" / "index.html"
    data = _check_page(path, 5)
    assert data["refresh"] == 0
    (search,) = data["searches"]
    assert len(search["rows"]["block"]) == 24
    rewards = search["rows"]["reward"]
    assert rewards[search["best"][0]] == max(rewards)
    assert search["config"]["space.max_layers"] == 3
    where = f"--workdir={searched}"
    assert search["commands"]["replay"] == f"python -m launch.replay {where}"
    assert search["commands"]["train"] == (
        f"python -m launch.train --search={searched} --top=5 --retrain {where}_final "
        "--config=digits_final --config.data.name=digits --config.data.validation=0.2"
    )
    assert len(search["digest"]) == 64


def test_the_page_of_a_front_follows_its_hypervolume(tmp_path: Path) -> None:
    goal = {"name": "random", "goal": "front"}
    config = tiny_config(agent=goal, reward={"kind": "accuracy", "cost": "params"})
    search_table(tmp_path, config)
    search = Source(tmp_path).read()
    areas = search["front"]["hypervolume"]
    assert search["front"]["costs"] == ["params"] and len(areas) == 6
    assert areas == sorted(areas) and 0 < areas[0] <= areas[-1] < 1
    assert [*search["fronts"]] == [*search["costs"]] == ["network_flops", "params"]
    assert " --front --workdir=" in search["commands"]["train"]


def test_the_page_of_two_costs_has_one_front_of_both(tmp_path: Path) -> None:
    goal = {"name": "random", "goal": "front", "second_cost": "params"}
    search_table(tmp_path, tiny_config(agent=goal, reward={"kind": "accuracy"}))
    search = Source(tmp_path).read()
    both, areas = search["front"], search["front"]["hypervolume"]
    assert both["costs"] == ["network_flops", "params"]
    assert areas == sorted(areas) and 0 < areas[-1] < 1
    assert all({*front} <= {*both["found"]} for front in search["fronts"].values())


def test_the_command_that_trains_names_data_wiring_and_budget(tmp_path: Path) -> None:
    data = {"name": "cifar100", "data_dir": "my data", "validation": 0.1}
    config = tiny_config(data=data, network={"wiring": "dense", "fit_flops": 9999})
    with journal.create_or_open(tmp_path) as facts:
        facts.start(Run(config, SPEC, "f", {}))
    train = Source(tmp_path).read()["commands"]["train"]
    assert train.endswith(
        "--config=cifar_final --config.data.name=cifar100 "
        "'--config.data.data_dir=my data' --config.data.validation=0.1 "
        "--config.network.wiring=dense --config.network.fit_flops=9999"
    )
    replay = Source(tmp_path, "bqnn {}".format).read()["commands"]["replay"]
    assert replay == f"bqnn replay --workdir={tmp_path}"


def test_an_agent_without_q_values_has_no_charts_of_them(tmp_path: Path) -> None:
    run_search(tmp_path, tiny_config(agent={"name": "random"}), TableExecutor())
    assert Source(tmp_path).read()["q_history"] is None


def test_a_name_is_no_markup(tmp_path: Path) -> None:
    text = render(payload([{"name": "a<b>{{css}}", "began": False}]))
    assert "<title>Search a&lt;b&gt;{{css}}</title>" in text


def test_odd_journals_have_a_page(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="has no journal.sqlite"):
        write_page([Source(tmp_path)])
    empty, begun, failed = (tmp_path / name for name in ("empty", "begun", "failed"))
    with journal.create_or_open(empty):
        data = _check_page(write_page([Source(empty)])[0], 5)
        assert not data["searches"][0]["began"]
    with journal.create_or_open(begun) as facts:
        facts.start(Run(HAND, SPEC, "f", {}))
        data = _check_page(write_page([Source(begun)])[0], 5)
        assert data["searches"][0]["rows"]["block"] == []
        ask(facts, HAND, 0, 1.0)
        data = _check_page(write_page([Source(begun)])[0], 5)
        assert data["searches"][0]["series"]["reward_mean"] == [None]
    with journal.create_or_open(failed) as facts:
        facts.start(Run(HAND, SPEC, "f", {}))
        for candidate in ask(facts, HAND, 0, 1.0).candidates:
            facts.add_evaluation(candidate, 1, Evaluation(Status.DIVERGED, (0.1,)))
        tell(facts, 0)
    data = _check_page(write_page([Source(failed)])[0], 5)
    assert data["searches"][0]["best"] == []
    assert data["searches"][0]["failures"][0]["status"] == "diverged"


def test_history_is_of_one_moment(tmp_path: Path) -> None:
    with (
        journal.create_or_open(tmp_path) as writer,
        journal.open_readonly(tmp_path) as reader,
    ):
        writer.start(Run(HAND, SPEC, "f", {}))

        def write(statement: str) -> None:
            if "FROM asks" in statement:
                ask(writer, HAND, 0, 1.0)

        reader._connection.set_trace_callback(write)
        assert reader.history().asks == ()
        reader._connection.set_trace_callback(None)
        assert len(reader.history().asks) == 1


def test_a_watcher_follows_the_writer(tmp_path: Path) -> None:
    by_hand(tmp_path)
    source, told = Source(tmp_path), []

    def written(path: Path) -> None:
        data = _check_page(path, 5)
        told.append((data["searches"][0]["told"], data["refresh"]))
        if len(told) == 1:
            with journal.create_or_open(tmp_path) as facts:
                tell(facts, 1)

    assert watch([source], lambda: False, written)
    assert told == [(1, 10.0), (2, 0.0)]
    assert not watch([source], lambda: True, written)


def _start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "launch.report", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)


def test_the_program_says_where_the_page_is_and_stops_cleanly(tmp_path: Path) -> None:
    missing = _start(f"--workdir={tmp_path / 'none'}")
    by_hand(tmp_path)
    watching = _start(f"--workdir={tmp_path}", "--watch")
    assert watching.stdout
    assert "report/index.html (2." in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    assert watching.communicate(timeout=60) == ("", "")
    assert watching.returncode == 130
    _, error = missing.communicate(timeout=60)
    assert missing.returncode == 1
    assert error.count("\n") == 1 and "has no journal.sqlite" in error


def _candidates(
    work: problem.Problem, actions: Int32, iteration: int
) -> tuple[Candidate, ...]:
    """Make the candidates of a batch, sooner than by planning their networks."""
    found = []
    for slot, row in enumerate(actions):
        block = work.space.decode(row)
        density, size = cost.density(block), 10_000 * (1 + len(block))
        sizes = size, density.edges, density.nodes, size, size
        sha = hashlib.sha256(str(block).encode()).hexdigest()
        found.append(Candidate(iteration, slot, block, sha, slot, *sizes))
    return tuple(found)


# The paper's search has 178.
BATCHES = times(178, 20)


def _papers_size(workdir: Path) -> None:
    """A journal of batches of 64, blocks of up to 23 layers, by the agent."""
    agent_config = AgentConfig(
        schedule=str(schedule.stretched(schedule.PAPER, BATCHES))
    )
    config, rng = Config(agent=agent_config), np.random.default_rng(0)
    work = problem.make_problem(config, ImageSpec(32, 32, 3, 100))
    state = first_state(work, ())
    with journal.create_or_open(workdir) as facts:
        facts.start(Run(config, work.images, "f", {}))
        facts._connection.execute("PRAGMA synchronous=OFF")
        for i in range(work.iterations):
            actions, info = work.agent.ask(state.agent, i)
            batch = []
            asked = Ask(i, i, info.epsilon, _candidates(work, actions, i))
            facts.add_ask(asked)
            for candidate in asked.candidates:
                seconds = {"prepare": 0.5, "train": float(rng.uniform(20, 90))}
                evaluation = Evaluation(
                    Status.OK,
                    (float(rng.uniform(0.1, 0.6)),),
                    seconds=seconds,
                    worker=f"worker {candidate.slot % 32}",
                )
                facts.add_evaluation(candidate, 1, evaluation)
                batch.append((candidate, evaluation))
            state = tell_batch(work, state, batch)
            ids = tuple(candidate.id for candidate, _ in batch)
            evidence = batch_digest(batch)
            facts.add_tell(Tell(i, ids, agent.digest(state.agent), evidence))


def test_a_search_of_the_papers_size_has_a_small_page_soon(tmp_path: Path) -> None:
    _papers_size(tmp_path)
    path, complete = write_page([Source(tmp_path)])
    assert complete
    (search,) = _check_page(path, 10)["searches"]
    assert len(search["rows"]["block"]) == 64 * BATCHES
    assert len(search["q_history"]["values"]) == BATCHES
    assert not search["q_history"]["differs"]
    assert EvaluationRow._fields == tuple(search["rows"])
