"""`launch.search --estimate` as a user runs it."""

import shlex
from pathlib import Path

from bqnn.config import dictionary
from bqnn.forecast.simulation import shortened
from bqnn.search import journal
from launch.estimate import fitting_command
from tests.helpers.programs import answer, answers
from tests.helpers.searches import tiny_config
from tests.helpers.shared import SEARCH_FLAGS

INLINE = "--executor=inline"


def test_it_prints_costs_and_leaves_nothing(tmp_path: Path, finished: Path) -> None:
    facts, fresh = finished / journal.FILE_NAME, f"--workdir={tmp_path / 'none'}"
    before = facts.read_bytes()
    estimate = ("--estimate", *SEARCH_FLAGS)
    new, done, begun, other = answers(
        "search",
        [
            [*estimate, fresh, "--max_hours=100", "--workers=2"],
            [*estimate, f"--workdir={finished}", INLINE],
            [*estimate, f"--workdir={finished}", INLINE, "--max_hours=100"],
            [*estimate, f"--workdir={finished}", "--config.search.seed=9", INLINE],
        ],
    )
    assert (new.status, new.err) == (0, "")
    assert "What the search will cost" in new.out
    assert [line.split()[1] for line in new.out.splitlines() if "MB │" in line] == [
        *"12"
    ]
    assert "24 candidates: 0 done, " in new.out
    assert "measured: 2 at once take " in new.out
    assert "it should end within 100 hours as it is" in new.out
    assert not [*tmp_path.iterdir()]
    assert "24 candidates: 24 done, 0 to train, 0 to reuse, 0 over" in done.out
    assert (begun.status, begun.out) == (2, "")
    assert begun.err.startswith("error: the search has begun")
    assert other.status == 1
    assert "search.seed: 0 -> 9" in other.err
    assert facts.read_bytes() == before


def test_the_command_of_a_shorter_search_is_one() -> None:
    arguments = (
        *("--config=quickstart", "--estimate", "--max_hours", "2", "--workdir=a b"),
        *("--config.agent.schedule=1.0:2", "-max_hours=3", "--workers", "2"),
        *("--config.train.rungs", "(1,)", "--config.train.epochs=9"),
    )
    config = tiny_config(train={"epochs": 9, "rungs": (1,)})
    fitting = shortened(config, 3)
    name, *flags = _split(fitting_command(config, fitting, arguments))
    assert name == "launch.search"
    assert flags == [
        *("--config=quickstart", "--workdir=a b", "--workers", "2"),
        *("--config.train.rungs", "(1,)", "--config.train.epochs=9"),
        "--config.agent.schedule=1.0:1,0.5:1,0.1:1",
    ]
    stopped = dictionary.from_dict(
        {**dictionary.to_dict(fitting), "train": {"epochs": 9, "rungs": (1, 3)}},
        type(config),
    )
    name, *flags = _split(fitting_command(config, stopped, arguments))
    listed = answer("search", *flags, "--list_config")
    assert listed.status == 0
    assert "--config.train.rungs='(1, 3)'\n" in listed.out
    assert "--config.agent.schedule=1.0:1,0.5:1,0.1:1\n" in listed.out


def _split(command: str) -> list[str]:
    words = shlex.split(command)
    return words[words.index("launch.search") :]
