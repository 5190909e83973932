"""States of full trainings to test with."""

from bqnn.final.job import TrainingRun, make_setup
from bqnn.final.step import State, init_state


def first_state(run: TrainingRun) -> State:
    """The state of a training before its first step."""
    return init_state(make_setup(run, 1, lambda data, inputs: inputs))
