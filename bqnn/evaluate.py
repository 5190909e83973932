"""What a compute node runs: candidate in, evaluation out (the paper, section 4.1)."""

import functools
from collections.abc import Callable

import jax

from bqnn import cost, runtime
from bqnn.config import Config, DataConfig
from bqnn.data import Dataset, load
from bqnn.engines import ENGINES, engine_name
from bqnn.fit import fit
from bqnn.plan import plan
from bqnn.records import Candidate, Evaluation, Status


def evaluate(
    candidate: Candidate, config: Config, on_step: Callable[[], None] = lambda: None
) -> Evaluation:
    """Build, train and measure a candidate; a pure function of its two arguments.

    Pure on one kind of machine with `config.train.threads` threads: the same arguments
    give the same accuracies to the last bit, in any process.

    Args:
      candidate: the block, and the seed of its training.
      config: of the whole search.
      on_step: called before every training step; may raise to end the evaluation.

    Returns:
      An evaluation whose status is `ok`, `over_budget` or `diverged`.
    """
    dataset = load(config.data)
    network = plan(candidate.block, config.network, dataset.spec)
    train = config.train
    excess = cost.over_budget(
        cost.network_cost(network), train.batch, train.dtype, config.budget
    )
    if excess:
        return Evaluation(Status.OVER_BUDGET, error=excess)
    make_engine = ENGINES[engine_name(train, config.network)]
    engine = make_engine(network, train, _on_device(config.data), candidate.seed)
    result = fit(engine, train, dataset, candidate.seed, on_step)
    return Evaluation(
        status=Status.OK if result.finite else Status.DIVERGED,
        accuracy=result.accuracy,
        restarts=result.restarts,
        seconds=result.seconds,
        device=runtime.device(),
        error="" if result.finite else "the loss is not finite",
    )


@functools.lru_cache(maxsize=1)
def _on_device(data: DataConfig) -> Dataset:
    """Keep the images of a search on the device, for all its candidates."""
    dataset = load(data)
    train, validation = jax.device_put((dataset.train, dataset.validation))
    return dataset._replace(train=train, validation=validation)
