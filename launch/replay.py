"""Replay a search from its journal, and check every step of it.

  python -m launch.replay --workdir=runs/first

Nothing is trained: the recorded evaluations are told to a new agent, which must ask the
same blocks and reach the same state, bit for bit, in every iteration. If one differs,
the program names the first such iteration and exits with status 1.
"""

from pathlib import Path

from absl import flags

from bqnn import runtime
from bqnn.search import journal
from bqnn.search.problem import make_problem
from bqnn.search.summary import Summary, update
from launch import cli

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the search.", required=True
)


def main() -> None:
    """Replay the search and print its size and last digest."""
    from bqnn.search.fold import fold

    runtime.use_host_only()
    with journal.open_readonly(Path(_WORKDIR.value)) as facts:
        run, history = facts.run(), facts.history()
    problem = make_problem(run.config, run.images)
    summary = Summary(problem.iterations, run.config.search.batch)
    for event in fold(problem, history):
        summary = update(summary, event)
    print(
        f"{summary.told} of {summary.iterations} iterations and {summary.done} "
        f"evaluations replayed, every digest equal"
    )
    print(f"last digest: {summary.digest or 'none: no iteration was told'}")


if __name__ == "__main__":
    cli.run(main)
