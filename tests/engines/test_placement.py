"""A candidate on several devices trains as on one, up to rounding."""

import json
import subprocess
import sys

import numpy as np
import pytest

from bqnn.config import NetworkConfig, TrainConfig
from bqnn.engines.placement import placement
from bqnn.engines.registry import engine_name
from bqnn.errors import ConfigError
from tests.helpers.paths import ROOT

PROGRAM = """
import json
from bqnn import runtime
runtime.configure_process(1, devices=8)
import jax
jax.config.update("jax_disable_most_optimizations", True)
from bqnn.config import NetworkConfig, TrainConfig
from bqnn.data.batches import all_batches, epoch_batches
from bqnn.engines.registry import ENGINES
from bqnn.networks.plan import plan
from bqnn.space.nsc import parse
from tests.helpers.networks import SPEC, random_dataset

found, data = [], random_dataset(64, 40)
network = plan(parse("1,1,3,0,0;2,8,3,1,0"), NetworkConfig("small", (4,), 1), SPEC)
for name, devices in (("step", 1), ("step", 2), ("step", 8), ("scan", 2)):
    config = TrainConfig(batch=16, engine=name, devices=devices)
    engine = ENGINES[name](network, config, data)
    batches = epoch_batches(64, 16, 0, 0)
    state, losses = engine.train(engine.init(0), batches, 0.001, lambda: None)
    right = engine.count_correct(state, all_batches(40, 16))
    used = len(jax.tree.leaves(state.params)[0].devices())
    found.append([used, losses.tolist(), right])
print(json.dumps(found))
"""


def test_one_two_and_eight_devices_train_alike() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    devices, losses, right = zip(*json.loads(done.stdout), strict=True)
    assert devices == (1, 2, 8, 2)
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-5)
    assert np.ptp(right) <= 1


def test_what_devices_cannot_do_is_said() -> None:
    with pytest.raises(ConfigError, match="train.devices is 64: this process has"):
        placement(64, 64)
    with pytest.raises(ConfigError, match=r"train.batch.*multiple of train.devices, 3"):
        TrainConfig(batch=256, devices=3)
    with pytest.raises(ConfigError, match=r"train.engine.*not walk"):
        TrainConfig(engine="walk", devices=2)


def test_several_devices_compile_candidates_whole() -> None:
    assert engine_name(TrainConfig(devices=2), NetworkConfig(), 1000) == "step"
