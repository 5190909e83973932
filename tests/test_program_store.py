"""Compiled programs on disk: kept, shared, mended when broken, switched off."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
from bqnn import runtime
cache_dir = sys.argv[1] or None
runtime.settle(1, cache_dir)
import jax
from bqnn.config import Config, NetworkConfig, SpaceConfig, TrainConfig
from bqnn.engines import ENGINES
from bqnn.fit import fit
from bqnn.nsc import parse
from bqnn.plan import plan
from bqnn.warmup import warm_up
from tests.networks import SPEC, random_dataset
config = Config(
    space=SpaceConfig(2),
    network=NetworkConfig("small", (4,), 1),
    train=TrainConfig(epochs=2, batch=16),
)
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda name, seconds, **_: compiled.append(name)
    if name == "/jax/core/compile/backend_compile_duration" else None
)
data = random_dataset(48, 16)
steps = list(warm_up(config, data))
count = len(compiled)
network = plan(parse("1,1,3,0,0;2,5,0,0,1"), config.network, SPEC)
engine = ENGINES["walk"](network, config.train, data, 0)
accuracy = fit(engine, engine.init(), config.train, data, 0).accuracy
print(len(steps), steps[-1].total, count, len(compiled) - count, accuracy)
"""


def _start(cache_dir: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), cache_dir]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **env}
    )


def _finish(process: subprocess.Popen[str]) -> tuple[int, int, int, int, str]:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors == ""
    steps, total, warm, later, accuracy = output.split(maxsplit=4)
    return int(steps), int(total), int(warm), int(later), accuracy


def test_a_second_run_compiles_nothing_and_broken_files_are_replaced(
    tmp_path: Path,
) -> None:
    cache = str(tmp_path / "cache")
    # Two processes at once: what one writes, the other reads whole or not at all.
    first, twin = (_finish(p) for p in [_start(cache), _start(cache)])
    steps, total, compiled, later, accuracy = first
    assert steps == total > 10
    assert compiled > 20
    assert later == 0, "a candidate compiled something after the warm-up"
    assert twin[-1] == accuracy

    again = _finish(_start(cache))
    assert again == (total, total, 0, 0, accuracy)

    files = sorted(tmp_path.glob("cache/*/bqnn/*"))
    assert len(files) > 10
    files[0].write_bytes(files[0].read_bytes()[:100])
    files[1].write_bytes(b"")
    mended = _finish(_start(cache))
    assert 0 < mended[2] < compiled
    assert mended[-1] == accuracy
    assert _finish(_start(cache))[2] == 0


READ_BACK = """
import sys
from bqnn import program_store, runtime
runtime.settle(1, sys.argv[1])
import jax, jax.numpy as jnp
add, x = jax.jit(lambda a, b: jnp.sin(a)[b] + 1), jnp.ones(8)
places = jnp.arange(4)
if sys.argv[2] == "plain":
    y = add(x, places)
else:
    (program,) = program_store.load_or_compile(lambda: [add.lower(x, places)], "add")
    y = program(x, places)
print(float(y.sum()))
"""


def test_a_program_that_jax_has_in_its_own_cache_is_stored_whole(
    tmp_path: Path,
) -> None:
    for kind in ("plain", "stored", "stored"):
        run = subprocess.run(
            [sys.executable, "-c", READ_BACK, str(tmp_path), kind],
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        assert float(run.stdout) == pytest.approx(4 * 1.84147, rel=1e-4)
    assert len(list(tmp_path.glob("*/bqnn/*"))) == 1


def test_without_a_directory_nothing_is_kept(tmp_path: Path) -> None:
    process = _start("", XDG_CACHE_HOME=str(tmp_path), HOME=str(tmp_path))
    assert _finish(process)[2] > 20
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    process = _start(str(tmp_path / "file"))
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert int(output.split()[2]) > 20


@pytest.mark.parametrize("given", ["", "--xla_cpu_enable_fast_math=false"])
def test_flags_are_added_to_those_of_the_user(given: str) -> None:
    script = "from bqnn import runtime; runtime.settle(1); import os; "
    script += "print(os.environ.get('XLA_FLAGS', ''))"
    env = {**os.environ, "XLA_FLAGS": given}
    run = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True
    )
    assert run.stdout.startswith(given)
    assert "--xla_cpu_experimental_ynn_fusion_type=-LIBRARY" in run.stdout


def test_a_flag_that_the_user_set_stays_as_it_is() -> None:
    given = "--xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_DOT"
    script = "from bqnn import runtime; runtime.settle(1); import os; "
    script += "print(os.environ['XLA_FLAGS'])"
    env = {**os.environ, "XLA_FLAGS": given}
    run = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True
    )
    assert run.stdout.strip() == given
