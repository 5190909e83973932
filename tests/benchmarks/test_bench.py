"""The bench: its settings, its rows, and a run of the program."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import contenders, kernels, table, throughput
from benchmarks.candidates import WORKER
from benchmarks.contender_process import ContenderProcess
from benchmarks.plain import PlainNetwork
from benchmarks.setting import BLOCKS, MAX_LAYERS, SETTINGS, random_blocks
from benchmarks.throughput import Throughput
from bqnn.config import NetworkConfig, SpaceConfig
from bqnn.engines.steps import loss_fn
from bqnn.engines.units import space_signatures, units
from bqnn.errors import BqnnError
from bqnn.layer_types import PAPER_TYPES, named
from bqnn.networks.network import Network, init_variables
from bqnn.runtime import default_cache_dir
from bqnn.space.nsc import parse
from tests.helpers.networks import random_dataset
from tests.helpers.paths import ROOT
from tests.helpers.searches import tiny_config


def test_the_fixed_blocks_hold_every_layer_type() -> None:
    met = {layer.type for block in BLOCKS for layer in block.layers}
    assert met == {kind.code for kind in named(PAPER_TYPES)[:-1]}
    assert len(set(BLOCKS)) == 8


def test_random_blocks_repeat_by_seed() -> None:
    assert random_blocks(5, 1) == random_blocks(5, 1) != random_blocks(5, 2)
    assert all(1 <= len(block) <= MAX_LAYERS for block in random_blocks(20, 0))


@pytest.mark.parametrize("name", list(SETTINGS))
def test_blocks_of_a_setting_are_made_of_units_that_the_warm_up_knows(
    name: str,
) -> None:
    setting = SETTINGS[name]
    known = space_signatures(SpaceConfig(MAX_LAYERS), setting.network, setting.images)
    for block in BLOCKS + random_blocks(20, 0):
        assert {u.signature for u in units(setting.plan(block))} <= set(known)


@pytest.mark.quick_compilation
def test_plain_layers_are_the_same_function_of_the_same_parameters() -> None:
    narrow = NetworkConfig("small", (4, 8), repeats=1)
    setting = SETTINGS["quickstart"]._replace(network=narrow)
    data = random_dataset(16)
    images = jnp.asarray(data.train.images, jnp.float32) / 60 - 2
    labels = jnp.asarray(data.train.labels)
    for block in (*BLOCKS[3:5], parse("1,8,3,0,0")):
        plan = setting.plan(block)
        variables = init_variables(plan, 0)
        losses, grads = [], []
        for network in (Network(plan), PlainNetwork(plan)):
            of_params = jax.value_and_grad(
                lambda p, n=network, v=variables: loss_fn(
                    n, p, v["batch_stats"], images, labels
                )[0]
            )
            loss, grad = jax.jit(of_params)(variables["params"])
            losses.append(float(loss))
            grads.append(grad)
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
        scale = max(np.abs(g).max() for g in jax.tree.leaves(grads[1]))
        for one, other in zip(*map(jax.tree.leaves, grads), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3 * scale)


@pytest.mark.quick_compilation
def test_kernels_are_measured_at_the_shapes_of_the_stages() -> None:
    rows = list(kernels.measure(SETTINGS["quickstart"], repeats=1))
    assert {row.shape for row in rows} == {
        (64, 8, 8, 16),
        (64, 4, 4, 32),
        (64, 2, 2, 64),
    }
    assert all(row.ours > 0 and row.plain > 0 for row in rows)


def test_a_process_that_dies_is_named() -> None:
    with (
        ContenderProcess("walked", WORKER, "no such setting", "any") as worker,
        pytest.raises(BqnnError, match="process for walked ended with status 1"),
    ):
        worker.ask(warm=True)


def test_contenders_are_those_that_make_sense_on_the_machine() -> None:
    on_gpu = contenders.available(accelerated=True, workers=1)
    on_cpu = contenders.available(accelerated=False, workers=1)
    assert "scan" in on_gpu and "scan" not in on_cpu
    assert "PyTorch" not in on_gpu
    assert contenders.ALL_CORES in on_cpu and contenders.ALL_CORES not in on_gpu
    assert contenders.ALL_CORES not in contenders.available(False, workers=2)


# Python runs a module of this name as it starts: the program's own processes too.
SMALLER = """
from benchmarks.setting import SETTINGS
from bqnn.config import NetworkConfig

SETTINGS["quickstart"] = SETTINGS["quickstart"]._replace(
    network=NetworkConfig("small", (4,), repeats=1), train_images=128
)
"""


def test_the_program_prints_a_table_and_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    (tmp_path / "sitecustomize.py").write_text(SMALLER)
    command = [sys.executable, "-m", "launch.bench", "--parts=memory", "--soak=51"]
    run = subprocess.run(
        [*command, f"--json={file}"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert run.returncode == 0, run.stderr
    assert "resident memory after 50 candidates" in run.stdout
    growth = json.loads(file.read_text())["memory"]
    assert growth["candidates"] == 51
    assert growth["early"] > 0 and growth["late"] < 1.1 * growth["early"]


def test_a_search_is_timed_in_a_process_of_its_own() -> None:
    config, programs = tiny_config(agent={"schedule": "1.0:1"}), default_cache_dir()
    (row,) = throughput.measure([1], programs, config=config)
    assert row.workers == 1
    assert 1 <= row.candidates <= config.search.batch
    assert row.seconds > 0


def test_searches_are_compared_by_candidates_per_hour() -> None:
    rows = [Throughput(1, 40, 40.0, 1.0), Throughput(2, 40, 20.0, 1.0)]
    assert [row.per_hour for row in rows] == [3600, 7200]
    cells = [list(column.cells) for column in table.throughput_table(rows).columns]
    assert cells[0] == ["1, on one core", "2"]
    assert cells[-1] == ["1.00", "2.00"]


def test_a_json_file_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "launch.bench", f"--json={tmp_path / 'no' / 'x'}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert run.stderr.startswith("error: --json=")
    assert run.stderr.count("\n") == 1
