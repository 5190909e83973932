"""The virtual cluster: time, utilisation and order worked out by hand."""

import numpy as np
import pytest

from benchmarks import scale
from benchmarks.cluster import SIGMA, VirtualCluster, heavy_tailed
from benchmarks.scale import SearchOrder
from bqnn.evaluation.records import Candidate, Status
from bqnn.space.nsc import parse


def _candidate(flops: int, slot: int = 0) -> Candidate:
    block = parse("1,1,3,0,0")
    return Candidate(0, slot, block, str(slot), slot, 1, 1, 1, 1, flops)


def test_the_clock_goes_to_the_next_end() -> None:
    cluster = VirtualCluster(2, lambda c: float(c.network_flops), seed=0)
    for flops in (4, 1):
        cluster.submit(_candidate(flops))
    assert cluster.free() == 0
    ((candidate, _),) = cluster.collect()
    assert (candidate.network_flops, cluster.now, cluster.free()) == (1, 1.0, 1)
    cluster.submit(_candidate(1))
    cluster.collect()
    assert (cluster.now, cluster.utilisation()) == (2.0, 1.0)
    cluster.collect()
    # Four seconds of one worker, two of the other.
    assert (cluster.now, cluster.utilisation()) == (4.0, 6 / 8)
    with pytest.raises(LookupError):
        cluster.collect()


def test_attempts_go_wrong_in_every_way() -> None:
    cluster = VirtualCluster(1, lambda c: 1.0, seed=0)
    seen = set()
    for slot in range(2000):
        cluster.submit(_candidate(1, slot))
        seen.add(cluster.collect()[0][1].status)
    assert seen == {
        Status.OK,
        Status.WORKER_LOST,
        Status.OUT_OF_MEMORY,
        Status.TIMED_OUT,
        Status.DIVERGED,
    }


def test_training_times_are_heavy_tailed_and_foreseen() -> None:
    seconds_of = heavy_tailed(range(1, 2001))
    logs = np.log([seconds_of(_candidate(n, n)) for n in range(1, 2001)])
    assert np.std(logs) == pytest.approx(SIGMA, rel=0.05)
    assert np.corrcoef(logs, np.arange(2000))[0, 1] > 0.8


@pytest.mark.quick_compilation
def test_lag_and_arrival_keep_workers_busy() -> None:
    orders = (SearchOrder("slot", 0), SearchOrder("slot", 2), SearchOrder("arrival", 0))
    barrier, lagging, arrival = (
        scale.measure(order, 4, 0, iterations=16) for order in orders
    )
    assert barrier.utilisation < lagging.utilisation < arrival.utilisation
    assert arrival.utilisation > 0.99
