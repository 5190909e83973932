"""The early-stop recipe: learning, restarts, divergence, determinism."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from bqnn.config import TrainConfig
from bqnn.data import Images
from bqnn.data.batches import all_batches, epoch_batches
from bqnn.engines.engine import Engine
from bqnn.engines.registry import ENGINES
from bqnn.engines.walk import WalkEngine
from bqnn.evaluation.fit import Fit, fit
from bqnn.evaluation.records import Rung
from bqnn.networks.plan import ImageSpec, plan
from bqnn.space.nsc import parse
from tests.helpers.networks import random_dataset, small

pytestmark = pytest.mark.quick_compilation

BLOCK = parse("1,1,3,0,0;2,2,3,1,0;3,5,0,1,2")
CONFIG = TrainConfig(epochs=3, batch=16, learning_rate=0.02, engine="walk")
SPEC = ImageSpec(8, 8, 1, num_classes=4)
DATA = random_dataset(train=160, validation=50, spec=SPEC)


def _fit(config: TrainConfig, data: Any = DATA, seed: int = 0) -> Fit:
    engine = _engine(config, data)
    return fit(engine, engine.init(seed), config, data, seed)


def _engine(config: TrainConfig, data: Any = DATA) -> Engine:
    network = plan(BLOCK, small(widths=(6, 6)), SPEC)
    return ENGINES[config.engine](network, config, data)


def test_training_learns_and_measures_every_epoch() -> None:
    result = _fit(CONFIG)
    assert len(result.accuracy) == 3
    assert result.accuracy[-1] > 0.6
    assert result.finite
    assert set(result.seconds) == {"prepare", "compile", "train", "evaluate"}
    assert all(spent > 0 for spent in result.seconds.values())


def test_the_same_seed_gives_the_same_accuracies_and_another_one_others() -> None:
    one, same, other = _fit(CONFIG), _fit(CONFIG), _fit(CONFIG, seed=1)
    assert one.accuracy == same.accuracy
    assert one.accuracy != other.accuracy


def test_the_last_partial_batch_of_validation_counts_once() -> None:
    # 50 images in batches of 16: a multiple of 1/50, and no more than 1.
    accuracy = _fit(CONFIG).accuracy[-1]
    assert round(accuracy * 50) == pytest.approx(accuracy * 50)
    data = DATA._replace(
        validation=Images(DATA.validation.images[:1], DATA.validation.labels[:1])
    )
    assert _fit(CONFIG, data).accuracy[-1] in (0.0, 1.0)


def test_fewer_images_than_a_batch_are_one_batch() -> None:
    config = dataclasses.replace(CONFIG, batch=10_000)
    assert len(_fit(config).accuracy) == 3


def _rates(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the learning rate of every epoch begun."""
    seen = []
    train = WalkEngine.train

    def spy(self: Any, state: Any, batches: Any, rate: float, on_step: Any) -> Any:
        seen.append(rate)
        return train(self, state, batches, rate, on_step)

    monkeypatch.setattr(WalkEngine, "train", spy)
    return seen


def test_the_learning_rate_falls_every_few_epochs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = _rates(monkeypatch)
    _fit(dataclasses.replace(CONFIG, epochs=5, decay=0.5, decay_epochs=2))
    assert seen == [0.02, 0.02, 0.01, 0.01, 0.005]


def test_a_first_epoch_worse_than_a_guess_starts_again_three_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The validation part has the wrong labels: whoever learns is worse than a guess.
    wrong = DATA.validation._replace(labels=(DATA.validation.labels + 1) % 4)
    seen = _rates(monkeypatch)
    result = _fit(CONFIG, DATA._replace(validation=wrong))
    assert result.restarts == 3
    # Four first epochs; the last of them is followed by the second and the third.
    assert seen == pytest.approx([0.02, 0.008, 0.0032, 0.00128, 0.00128, 0.00128])
    assert len(result.accuracy) == 3


def test_a_good_first_epoch_does_not_start_again() -> None:
    assert _fit(CONFIG).restarts == 0


def test_an_infinite_loss_starts_again_and_then_diverges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = _rates(monkeypatch)
    result = _fit(dataclasses.replace(CONFIG, learning_rate=1e38))
    assert not result.finite
    assert result.restarts == 3
    assert result.accuracy == ()
    assert len(seen) == 4


@pytest.mark.parametrize("engine", ["walk", "step"])
def test_on_step_is_called_before_every_step_and_may_end_the_training(
    engine: str,
) -> None:
    calls = []

    def on_step() -> None:
        calls.append(1)
        if len(calls) == 15:
            raise TimeoutError

    config = dataclasses.replace(CONFIG, engine=engine)
    with pytest.raises(TimeoutError):
        trainer = _engine(config)
        fit(trainer, trainer.init(0), config, DATA, 0, on_step)
    # Ten steps in the first epoch, so the fifteenth call is in the second.
    assert len(calls) == 15


def test_every_training_image_is_drawn_once_an_epoch() -> None:
    first, second, other = (
        epoch_batches(163, 16, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))
    )
    assert first.indices.shape == (10, 16)
    assert len(np.unique(first.indices)) == 160
    assert first.indices.min() >= 0 and first.indices.max() < 163
    assert (first.indices != second.indices).any()
    assert (first.indices != other.indices).any()


def test_every_validation_image_counts_once() -> None:
    indices, mask = all_batches(50, 16)
    assert indices.shape == (4, 16)
    assert indices[mask].tolist() == list(range(50))
    assert indices.max() == 49


def test_a_training_that_passes_its_rungs_is_as_without_them() -> None:
    def run(*rungs: Rung) -> Fit:
        engine = _engine(CONFIG)
        return fit(engine, engine.init(0), CONFIG, DATA, 0, rungs=rungs)

    whole = run()
    first, second, _ = whole.accuracy
    passed = run(Rung(1, first, 0.0), Rung(2, second, 0.0))
    assert passed.accuracy == whole.accuracy
    stopped = run(Rung(1, first, 0.0), Rung(2, second + 0.01, 0.0))
    assert stopped.accuracy == whole.accuracy[:2]
    assert stopped.finite
