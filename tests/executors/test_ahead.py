"""What workers prepare ahead, and how accelerators are divided among them."""

import threading

import pytest

from bqnn import machine
from bqnn.data import load
from bqnn.errors import ConfigError
from bqnn.evaluation.records import Candidate, Evaluation, Status
from bqnn.executors import process
from bqnn.executors.executor import Options
from bqnn.executors.lane import candidates_ahead
from bqnn.executors.worker import Worker
from bqnn.search.problem import make_candidate, make_problem
from bqnn.space.nsc import parse
from tests.helpers.searches import tiny_config

CONFIG = tiny_config()
DATA = load(CONFIG.data)
PROBLEM = make_problem(CONFIG, DATA.spec)
CANDIDATES = [
    make_candidate(PROBLEM, parse("1,1,3,0,0"), slot=slot) for slot in range(6)
]


class Preparing(Worker):
    """Trains nothing, and does not end a preparation before it may."""

    def __init__(self) -> None:
        """Begin with nothing prepared."""
        super().__init__(CONFIG, DATA)
        self.begun: list[int] = []
        self.may_end, self.all_began = threading.Event(), threading.Event()

    def _prepare(self, candidate: Candidate) -> Evaluation:
        self.begun.append(candidate.slot)
        if len(self.begun) == 4:
            self.all_began.set()
        if candidate.slot:
            self.may_end.wait()
        return Evaluation(Status.OVER_BUDGET, error=str(candidate.slot))


def test_following_candidates_are_prepared_at_once_and_each_once() -> None:
    worker, (first, *others) = Preparing(), CANDIDATES
    assert worker.run(first, others[:3]).error == "0"
    assert worker.all_began.wait(60)  # three together: none of them has ended
    worker.may_end.set()
    assert worker.run(others[0], others[1:4]).error == "1"
    assert worker.run(others[3]).error == "4"
    assert sorted(worker.begun) == [0, 1, 2, 3, 4]


def test_cores_and_memory_bound_what_is_prepared_ahead() -> None:
    assert candidates_ahead(cores=4, memory=64 * 10**9) == 4
    assert candidates_ahead(cores=64, memory=10**12) == 8
    assert candidates_ahead(cores=16, memory=6 * 10**9) == 3
    assert candidates_ahead(cores=0, memory=10**9) == 1


@pytest.mark.parametrize(
    ("devices", "options", "visible", "share"),
    [
        (1, Options(), ["0", "1", "2", "3"], "0.900"),
        (1, Options(per_device=2), ["0", "1", "2", "3"] * 2, "0.450"),
        (1, Options(workers=6), ["0", "1", "2", "3", "0", "1"], "0.450"),
        (2, Options(), ["0,1", "2,3"], "0.900"),
    ],
)
def test_workers_divide_the_gpus_of_a_machine(
    devices: int,
    options: Options,
    visible: list[str],
    share: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    train = {"devices": devices, "batch": 64, "engine": "step"}
    executor = process.ProcessExecutor(tiny_config(train=train), options)
    found = machine.Accelerators("cuda", 4)
    count = executor._count(found)
    made = [executor._settings(n, count, found).environment for n in range(count)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in made] == visible
    assert {one["XLA_PYTHON_CLIENT_MEM_FRACTION"] for one in made} == {share}
    executor.close()


@pytest.mark.parametrize(
    ("found", "devices", "options", "message"),
    [
        (machine.Accelerators("cpu", 0), 1, Options(per_device=2), "no accelerator"),
        (machine.Accelerators("cuda", 1), 2, Options(), "this machine has 1"),
        (machine.Accelerators("tpu", 4), 1, Options(workers=5), "at most 4 workers"),
        (machine.Accelerators("tpu", 4), 2, Options(), "inline"),
    ],
)
def test_accelerators_that_cannot_be_divided_are_refused(
    found: machine.Accelerators, devices: int, options: Options, message: str
) -> None:
    train = {"devices": devices, "batch": 64, "engine": "step"}
    executor = process.ProcessExecutor(tiny_config(train=train), options)
    with pytest.raises(ConfigError, match=message):
        executor._count(found)
    executor.close()
