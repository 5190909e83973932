"""NAS-Bench-201: the space, the table, and that random search does what others saw."""

import csv
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bqnn.compare.contenders import Contender
from bqnn.compare.csv_benchmarks import read_nasbench201
from bqnn.compare.evaluators import TableEvaluator
from bqnn.compare.statistics import best_so_far
from bqnn.compare.tabular import all_actions
from bqnn.config import AgentConfig
from bqnn.errors import DataError, NscError
from bqnn.search.calibration import FITTED
from bqnn.space.nasbench201 import NasBench201Space, cell_costs
from bqnn.stats import mean
from tests.helpers.paths import SHARED

pytestmark = pytest.mark.quick_compilation

TABLE = SHARED / "data" / "nasbench201.csv"
needs_table = pytest.mark.skipif(not TABLE.exists(), reason="NAS-Bench-201 is missing")
CELL = "|avg_pool_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"


def test_a_cell_is_written_as_the_benchmark_does() -> None:
    space = NasBench201Space()
    actions = space.encode(CELL)
    assert actions.tolist() == [4, 2, 0, 1, 3, 0]
    assert space.decode(actions) == CELL


def test_cells_cost_what_the_benchmark_says() -> None:
    # None, six 3x3 convolutions, and one between nodes that nothing else joins.
    cells = [[0] * 6, [3] * 6, [0, 0, 3, 0, 0, 0], [0, 1, 0, 2, 0, 4]]
    found = cell_costs(np.array(cells, np.int32))
    assert found.params.tolist() == [73_306, 1_531_546, 73_306, 101_306]
    assert found.flops.tolist() == [7_783_040, 220_119_680, 7_783_040, 11_715_200]
    assert found.density.tolist() == [0, 6 / 4, 0, 1]


@pytest.mark.parametrize(
    "text", ["", CELL[:-1], CELL.replace("none", "nothing"), CELL + "+|none~0|"]
)
def test_what_is_no_cell_is_refused(text: str) -> None:
    with pytest.raises(NscError, match="is not a cell of NAS-Bench-201"):
        NasBench201Space().encode(text)


def test_the_space_has_15625_cells_and_a_state_is_edge_and_operation() -> None:
    space = NasBench201Space()
    assert len({space.decode(actions) for actions in all_actions(space.arrays)}) == 5**6
    assert space.arrays.size == 5 + 5 * 25
    assert space.arrays.row_start.tolist() == [0, 5, 30, 55, 80, 105]


@needs_table
@pytest.mark.parametrize(
    ("dataset", "best"),
    [("cifar10", 94.37), ("cifar100", 73.51), ("imagenet16-120", 47.31)],
)
def test_the_best_of_the_table_is_the_published_one(dataset: str, best: float) -> None:
    benchmark = read_nasbench201(TABLE, dataset)
    assert 100 * benchmark.true_values.max() == pytest.approx(best, abs=0.005)
    assert np.isfinite(benchmark.rewards).all()
    assert benchmark.full
    assert np.isfinite(benchmark.full.terms).all()
    assert benchmark.full.terms.shape == (15_625, len(FITTED))
    assert 12 * benchmark.full.cost == pytest.approx(200)


@needs_table
def test_random_search_agrees_with_the_published_baseline() -> None:
    # Dong and Yang, ICLR 2020: 71.04 on CIFAR-100, after about 100 evaluations.
    benchmark = read_nasbench201(TABLE, "cifar100")
    agent = AgentConfig(name="random", schedule="1.0:25")
    contender = Contender("random", agent, batch=4)
    parts = list(TableEvaluator(benchmark).run(contender, budget=100, seeds=500))
    average, _ = mean(np.concatenate([best_so_far(part)[:, -1] for part in parts]))
    assert 100 * average == pytest.approx(71.1, abs=0.25)


def _write(path: Path, rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("arch", "c10_val_12", "c10_test_200"), *rows])
    return path


def test_a_table_that_is_none_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no-such-file.csv: No such file"):
        read_nasbench201(tmp_path / "no-such-file.csv", "cifar10")
    with pytest.raises(DataError, match="--dataset='svhn': want cifar10"):
        read_nasbench201(tmp_path, "svhn")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="want csv with a column arch"):
        read_nasbench201(tmp_path / "other.csv", "cifar10")
    with pytest.raises(DataError, match=r"has no row for \|none~0\|"):
        read_nasbench201(_write(tmp_path / "short.csv", []), "cifar10")
    first = NasBench201Space().decode([0] * 6)
    path = _write(tmp_path / "bad.csv", [(first, "63.1", "many")])
    with pytest.raises(DataError, match="column c10_test_200 has 'many'"):
        read_nasbench201(path, "cifar10")


def test_edges_without_effect_do_not_count() -> None:
    arrays = NasBench201Space().arrays
    cells = jnp.array(
        [
            [3, 0, 0, 3, 0, 3],  # node 2 is never fed: its edge to the output is dead
            [3, 0, 0, 3, 0, 0],
            [3, 3, 3, 3, 0, 0],  # nobody reads node 2, nor node 1
            [0, 0, 0, 3, 0, 0],
            [3, 0, 0, 3, 1, 0],  # node 1 is read
        ]
    )
    keys = jax.vmap(arrays.key)(cells)
    features = jax.vmap(arrays.features)(cells)
    assert len(set(keys[:4].tolist())) == 1
    assert keys[4] != keys[0]
    np.testing.assert_array_equal(features[0], features[3])
    assert np.abs(features[0] - features[4]).sum() == 4
