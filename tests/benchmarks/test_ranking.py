"""Models that rank blocks: each learns, and the program compares them on the oracle."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import ranking
from benchmarks.models import MODELS
from bqnn.compare.tabular import Result, TabularBenchmark, all_actions, make_benchmark
from bqnn.space.actions import NscSpace
from bqnn.space.nsc import LayerType
from tests.helpers import programs

TWO_LAYERS = NscSpace(2)


@pytest.fixture(scope="module")
def convolutions() -> TabularBenchmark:
    """All blocks of two layers; their reward is how many of them are convolutions."""

    def result(actions: np.ndarray) -> Result:
        layers = TWO_LAYERS.decode(actions).layers
        count = sum(layer.type == LayerType.CONVOLUTION for layer in layers)
        return Result(count / 2, -count / 2)

    space = TWO_LAYERS.arrays
    return make_benchmark(space, map(result, all_actions(space)))


@pytest.mark.quick_compilation
@pytest.mark.parametrize("name", MODELS)
def test_a_model_ranks_what_it_was_told_by_an_easy_rule(
    name: str, convolutions: TabularBenchmark
) -> None:
    models = {name: MODELS[name]}
    reported, told = ranking.measure("rule", convolutions, models, [32], 2)
    assert (reported.against, told.against) == ("reported", "told")
    assert told.tau > 0.5 and reported.tau == -told.tau
    assert told.low <= told.tau <= told.high
    assert (told.table, told.model, told.told) == ("rule", name, 32)


@pytest.mark.quick_compilation
def test_a_function_is_there_once(convolutions: TabularBenchmark) -> None:
    blocks, rewards, _ = ranking.distinct(convolutions)
    space = TWO_LAYERS.arrays
    rows = np.flatnonzero(np.isfinite(convolutions.rewards)).astype(np.int32)
    keys = jax.vmap(space.key)(jnp.asarray(convolutions.actions_of(rows)))
    assert len(rewards) == len(blocks.lengths) == len(set(keys.tolist()))


def test_the_program_ranks_the_oracle(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    arguments = "--parts=models", "--told=25", "--draws=2", f"--json={file}"
    answer = programs.answer("bench", *arguments)
    assert answer.status == 0, answer.err
    rows = json.loads(file.read_text())["models"]
    assert {row["model"] for row in rows} == {*MODELS}
    assert all(row["table"] == "oracle" and row["tau"] > 0.4 for row in rows)
