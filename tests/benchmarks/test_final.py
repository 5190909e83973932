"""Full training in the bench: its rows, and a measurement of ours."""

from benchmarks import final
from benchmarks.setting import BLOCKS, SETTINGS


def test_a_rate_is_compared_block_by_block() -> None:
    # Ours takes 1 and 4 seconds a step, PyTorch 2 and 2: 2 and 0.5 times the rate.
    ours = [final.Sample(9.0, 1.0), final.Sample(7.0, 4.0)]
    rivals = [final.Sample(1.0, 2.0), final.Sample(1.0, 2.0)]
    row = final.summary(SETTINGS["cifar"], final.OURS, 2, ours, rivals)
    assert (row.ratio, row.slowest, row.fastest) == (1.25, 0.5, 2.0)
    assert (row.low, row.high) == (0.5, 2.0)
    assert row.images_per_second == (128 / 1 + 128 / 4) / 2
    assert row.first == 8.0


def test_our_training_is_measured_in_a_process() -> None:
    setting = SETTINGS["quickstart"]
    (row,) = final.measure(
        setting, [final.OURS], BLOCKS[:1], threads=1, steps=1, rounds=1
    )
    assert row.images_per_second > 0
    assert row.first > 0
    assert row.ratio is None
