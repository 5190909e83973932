"""A choice among blocks as a user makes it: killed, resumed, mistaken."""

import json
import re
import shlex
import shutil
from pathlib import Path

from tests.helpers import programs
from tests.helpers.shared import SEARCH_FLAGS

_SMALL = (
    "--config=digits_final",
    "--config.network.widths=(4,)",
    "--config.train.epochs=1",
    "--config.train.warmup=0",
    "--config.data.validation=0.2",
    "--executor=inline",
)


def _results(workdir: Path) -> dict[str, str]:
    return {p.parent.name: p.read_text() for p in workdir.glob("*/result.json")}


def test_a_contest_is_killed_and_goes_on_to_its_winner(
    finished: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "contest"
    where = f"--search={finished}", "--top=1", f"--workdir={workdir}", *_SMALL
    command = ("train", *where, "--rivals=vgg", "--seeds=2")
    process = programs.start(*command)
    for line in process.stdout:
        if line.startswith("1/4: rank1, seed 0: validation "):
            break
    process.kill()
    process.end()
    before = _results(workdir)
    assert "rank1-seed0" in before and len(before) < 4
    done = programs.answer(*command, "--retrain")
    assert (done.status, done.err) == (0, "")
    results = _results(workdir)
    assert before.items() <= results.items(), "what was trained was trained again"
    assert results.keys() == {
        *(f"{name}-seed{seed}" for name in ("rank1", "vgg") for seed in (0, 1)),
        "winner",
    }
    accuracies = {
        name: json.loads(text)["history"][-1].get("validation_accuracy")
        for name, text in results.items()
    }
    contest = json.loads((workdir / "contest.json").read_text())
    for one in contest["contestants"]:
        for seed, accuracy in one["accuracy"].items():
            assert accuracies[f"{one['name']}-seed{seed}"] == accuracy
        assert one["latency_ms"] > 0
    test = json.loads(results["winner"])["test"]["accuracy"]
    run = json.loads((workdir / "winner" / "run.json").read_text())
    best = contest["contestants"][0]
    assert run["block"] == best["block"]
    assert run["config"]["network"]["widths"] == best["widths"]
    assert f"the winner, {best['name']} (validation {best['mean']:.2%})" in done.out
    assert f"on the test split, read once: accuracy {test:.2%}" in done.out
    assert (workdir / "contest.png").read_bytes().startswith(b"\x89PNG")
    # Nothing but the winner's training reads the test split.
    tests = [json.loads(text)["test"] for text in results.values()]
    assert len([found for found in tests if found]) == 1


def test_a_mistake_is_one_line(finished: Path, tmp_path: Path) -> None:
    where = f"--search={finished}", "--top=1", f"--workdir={tmp_path}", *_SMALL
    mistakes = (
        (["--rivals=resnett"], 2, "no known block 'resnett': want vgg, resnet, bott"),
        (["--rivals=random:0"], 2, "'random:0': want a number from 1 to 1000"),
        (["--rivals=vgg", "--match=size"], 2, "should be one of"),
        (["--rivals=vgg", "--seeds=0"], 2, "positive"),
        (["--rivals=vgg", "--top=99"], 1, "rank 99 was asked for, but only"),
        (["--rivals=vgg", "--config.train.seed=2147483647"], 2, "train.seed is 214748"),
        (["--rivals=vgg", "--config.data.validation=0"], 2, "set data.validation"),
    )
    for arguments, status, message in mistakes:
        result = programs.answer("train", *where, *arguments)
        assert (result.status, result.err.count("\n")) == (status, 1), result.err
        assert result.err.startswith("error: ")
        assert message in result.err
    assert not _results(tmp_path)


def test_the_command_that_a_search_recommends(finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")  # a search locks its directory
    found = programs.answer("search", f"--workdir={copy}", *SEARCH_FLAGS)
    (line,) = re.findall("^train the best in full.*: (.*)$", found.out, re.MULTILINE)
    _, module, program, *flags = shlex.split(line)
    assert (module, program) == ("-m", "launch.train")
    assert flags == [
        f"--search={copy}",
        "--top=5",
        "--retrain",
        f"--workdir={copy}_final",
        "--config=digits_final",
        "--config.data.name=digits",
        "--config.data.validation=0.2",
    ]
    # It says so only after it has read flags, configuration and search.
    refused = programs.answer("train", *flags, "--top=99")
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "rank 99 was asked for, but only" in refused.err
