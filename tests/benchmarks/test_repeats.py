"""Repeats: searches over trainings of a table."""

import dataclasses

import pytest

from benchmarks import repeats

pytestmark = pytest.mark.quick_compilation


def test_a_search_is_told_means_and_judged_by_what_it_never_saw() -> None:
    table = repeats.read()
    assert len(table) == 894
    once, twice = (repeats._config(16, count, seed=1) for count in (1, 2))
    random = dataclasses.replace(once.agent, name="random")  # compiles in no time
    once, twice = (dataclasses.replace(c, agent=random) for c in (once, twice))
    trained, told, unseen = repeats.play(table, once)
    again, told_mean, _ = repeats.play(table, twice)
    assert trained < again <= 2 * trained
    trainings = [values for values in table.values() if told in values]
    assert trainings and any(unseen in values for values in trainings)
    means = [sum(pair) / 2 for v in table.values() for pair in (v[:2], v[1:], v[::2])]
    assert any(told_mean == pytest.approx(mean) for mean in means)
