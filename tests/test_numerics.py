"""Options of JAX in the environment change no search."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from bqnn.agents.agent import digest, make_agent
from bqnn.config import AgentConfig, Config, QModelConfig, SearchConfig
from bqnn.engines.unit_programs import accumulate, head_programs, unit_programs
from bqnn.engines.walk import reader
from bqnn.evaluation.evaluate import evaluate
from bqnn.final.config import FinalConfig, FinalDataConfig, RecipeConfig
from bqnn.final.train import train_block
from bqnn.search.state import ask_batch, first_state
from bqnn.space.actions import NscSpace
from bqnn.space.nsc import parse
from tests.helpers.networks import small
from tests.helpers.paths import ASSETS, ROOT
from tests.helpers.searches import problem_of, tiny_config

LAST_DIGEST = "8d3a1f5a6a4c15bdc3a3148ff46aeb16b712237df09ab77bdca5db55bc05d750"

OPTIONS: dict[str, Any] = {
    "jax_enable_x64": True,
    "jax_threefry_partitionable": False,
    "jax_default_prng_impl": "rbg",
    "jax_enable_custom_prng": True,
    "jax_random_seed_offset": 5,
    "jax_legacy_prng_key": "error",
    "jax_default_matmul_precision": "bfloat16",
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_transfer_guard": "disallow",
    "jax_disable_jit": True,
    "jax_disable_most_optimizations": True,
    "jax_optimization_level": "O0",
}


@contextlib.contextmanager
def _set(names: Iterable[str]) -> Iterator[None]:
    """Set options of JAX for the whole process, as environment variables do."""
    before = {name: jax.config.values[name] for name in names}
    try:
        for name in before:
            jax.config.update(name, OPTIONS[name])
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


# Those that were seen to change an agent alone, then all of them.
@pytest.mark.parametrize(
    "names",
    [["jax_enable_x64"], ["jax_threefry_partitionable"], list(OPTIONS)],
    ids=["x64", "threefry", "all"],
)
@pytest.mark.parametrize(
    ("name", "expected"), [("q", "68dc44a10779b1f7"), ("q_model", "23b68e0cb2ff8fe9")]
)
def test_an_agent_computes_the_same_under_options(
    name: str, expected: str, names: list[str]
) -> None:
    model = QModelConfig(schedule="0.5:3", replay_updates=4, first=4, pool=64)
    config = AgentConfig(
        name=name, schedule="0.5:3", replay_updates=4, alpha=0.3, q_model=model
    )
    space = NscSpace(2)
    pending = [space.encode(parse("1,1,3,0,0")), space.encode(parse("1,4,0,0,0"))]
    agent = make_agent(space, Config(agent=config, search=SearchConfig(4, seed=7)))
    with _set(names):
        state = agent.init()
        for iteration in range(3):
            actions, _ = agent.ask(state, iteration, pending)
            state = agent.tell(state, actions, actions[:, 0].astype(np.float32) / 7)
    assert digest(state)[:16] == expected


@pytest.mark.usefixtures("no_program_store")
def test_an_evaluation_is_the_same_under_all_options() -> None:
    config = tiny_config(space={"max_layers": 1})
    problem = problem_of(config)
    (candidate, *_) = ask_batch(problem, first_state(problem, ()), 0, 0).candidates
    plain = evaluate(candidate, config)
    for compiled in (unit_programs, head_programs, accumulate, reader):
        compiled.cache_clear()
    # The two that say how to optimise may change the rounding of a training.
    with _set(name for name in OPTIONS if "optimiz" not in name):
        hostile = evaluate(candidate, config)
    assert plain.accuracy
    assert hostile.accuracy == plain.accuracy


def test_a_full_training_is_the_same_under_all_options(tmp_path: Path) -> None:
    recipe = RecipeConfig(epochs=1, batch=256)
    config = FinalConfig(
        FinalDataConfig("digits", cutout=2), small(widths=(4,)), recipe
    )
    plain = train_block(parse("1,1,1,0,0"), config, tmp_path / "plain")
    with _set(name for name in OPTIONS if "optimiz" not in name):
        hostile = train_block(parse("1,1,1,0,0"), config, tmp_path / "hostile")
    assert plain["test"] == hostile["test"]


def test_a_journal_replays_in_a_hostile_environment(tmp_path: Path) -> None:
    shutil.copy(ASSETS / "journal_v1.sqlite", tmp_path / "journal.sqlite")
    variables = {option.upper(): str(value) for option, value in OPTIONS.items()}
    result = subprocess.run(
        [sys.executable, "-m", "launch.replay", f"--workdir={tmp_path}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **variables, "XLA_FLAGS": "--xla_cpu_enable_fast_math=true"},
    )
    assert result.returncode == 0, result.stderr
    assert LAST_DIGEST in result.stdout
