"""Evaluation on a compute node: statuses, purity, the same bits in another process."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from bqnn import runtime
from bqnn.config import BudgetConfig, Config
from bqnn.config.dictionary import to_dict
from bqnn.data import load
from bqnn.errors import ConfigError
from bqnn.evaluation.evaluate import evaluate
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors.guard import run_guarded
from bqnn.search import problem
from bqnn.space.nsc import parse
from tests.helpers.paths import ROOT
from tests.helpers.searches import tiny_config

TEXT = "1,1,3,0,0;2,2,3,1,0;3,5,0,1,2"


def _candidate(config: Config, text: str = TEXT) -> Candidate:
    work = problem.make_problem(config, load(config.data).spec)
    return problem.make_candidate(work, parse(text))


@pytest.mark.quick_compilation
def test_a_candidate_is_trained_and_measured_on_real_digits() -> None:
    config = tiny_config(
        train={"epochs": 3, "learning_rate": 0.01}, network={"widths": (8, 16)}
    )
    result = evaluate(_candidate(config), config)
    assert result.status == Status.OK
    assert len(result.accuracy) == 3
    assert result.accuracy[-1] > 0.5
    assert "NPROC=1" in result.device
    assert "jaxlib" in result.device


PROGRAM = """
import json, sys
from bqnn import runtime
from bqnn.config import Config, dictionary
from bqnn.data import load
from bqnn.evaluation import evaluate
from bqnn.search import problem
from bqnn.space import nsc
values = dictionary.from_dict(json.loads(sys.argv[1]), Config)
runtime.configure_process(values.train.threads)
work = problem.make_problem(values, load(values.data).spec)
candidate = problem.make_candidate(work, nsc.parse(sys.argv[2]))
print(json.dumps(evaluate.evaluate(candidate, values).accuracy))
"""


def test_the_result_is_the_same_twice_and_in_another_process() -> None:
    config = tiny_config(train={"epochs": 3, "learning_rate": 0.01})
    here = [evaluate(_candidate(config), config).accuracy for _ in range(2)]
    environment = {k: v for k, v in os.environ.items() if k != "NPROC"}
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(to_dict(config)), TEXT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert here[0] == here[1] == tuple(json.loads(there.stdout))


def test_over_budget_is_refused_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tiny_config(budget={"max_params": 100})
    monkeypatch.setattr("bqnn.evaluation.evaluate.fit", None)
    result = evaluate(_candidate(config), config)
    assert result.status == Status.OVER_BUDGET
    assert result.error.startswith("max_params")


@pytest.mark.quick_compilation
def test_a_training_that_diverges_says_so() -> None:
    config = tiny_config(train={"learning_rate": 1e38})
    result = evaluate(_candidate(config), config)
    assert result.status == Status.DIVERGED
    assert result.restarts == 3


def test_a_timeout_ends_the_training() -> None:
    config = dataclasses.replace(tiny_config(), budget=BudgetConfig(timeout=1e-3))
    result = run_guarded(_candidate(config), config, lambda: False, evaluate)
    assert result.status == Status.TIMED_OUT
    assert "0.001 s" in result.error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError("no more"), Status.OUT_OF_MEMORY),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), Status.OUT_OF_MEMORY),
        (ValueError("two\nlines"), Status.FAILED),
    ],
)
def test_what_goes_wrong_becomes_a_status(error: Exception, status: Status) -> None:
    def fail(*_: object) -> Evaluation:
        raise error

    config = tiny_config()
    result = run_guarded(_candidate(config), config, lambda: False, fail)
    assert result.status == status
    first = str(error).splitlines()[0]
    assert result.error.splitlines()[0] == f"{type(error).__name__}: {first}"
    assert "Traceback" in result.error


def test_an_error_of_the_user_is_not_a_failure_of_the_candidate() -> None:
    def fail(*_: object) -> Evaluation:
        raise ConfigError("bad")

    config = tiny_config()
    with pytest.raises(ConfigError):
        run_guarded(_candidate(config), config, lambda: False, fail)


@pytest.mark.quick_compilation
def test_an_interrupt_ends_the_training_between_two_steps() -> None:
    config = tiny_config()
    answers = iter([False, False, True])
    with pytest.raises(KeyboardInterrupt):
        run_guarded(_candidate(config), config, lambda: next(answers), evaluate)


def test_threads_cannot_change_once_jax_has_started() -> None:
    runtime.device()
    runtime.configure_process(1)
    with pytest.raises(ConfigError, match="train.threads is 2, but jax has started"):
        runtime.configure_process(2)


def test_an_evaluation_alone_insists_on_its_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runtime.device()
    monkeypatch.delenv("NPROC")
    config = tiny_config()
    with pytest.raises(ConfigError, match="NPROC=unset"):
        evaluate(_candidate(config), config)


@pytest.mark.parametrize(
    ("given", "settled"), [("cuda", "cuda,cpu"), ("cpu", "cpu"), ("tpu,cpu", "tpu,cpu")]
)
def test_the_host_is_there_beside_any_accelerator(given: str, settled: str) -> None:
    program = (
        "import os; from bqnn import runtime; runtime.configure_process(1); "
        "import jax; "
        "print(os.environ['JAX_PLATFORMS'], jax.config.jax_platforms)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == [settled, settled]
