"""Replay a search from its journal, and check every step of it.

  python -m launch.replay --workdir=runs/first

Nothing is trained: the recorded evaluations are told to a new agent, which must ask the
same blocks and reach the same state, bit for bit, in every iteration. Status 1, and the
first iteration that differs, if it does not.
"""

from pathlib import Path

from absl import flags

from bqnn import runtime
from bqnn.search import journal
from bqnn.search import summary as summary_lib
from bqnn.search.fold import fold
from bqnn.search.problem import make_problem
from bqnn.search.summary import Summary
from launch import cli

_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Directory of the search.", required=True
)


def main() -> None:
    """Replay the search and print what it comes to."""
    runtime.use_host_only()
    with journal.open_readonly(Path(_WORKDIR.value)) as facts:
        run, history = facts.run(), facts.history()
    work = make_problem(run.config, run.images)
    summary = Summary(work.iterations, run.config.search.batch)
    for event in fold(work, history):
        summary = summary_lib.update(summary, event)
    print(
        f"{summary.told} of {summary.iterations} iterations and {summary.done} "
        f"evaluations replayed, every digest equal"
    )
    print(f"last digest: {summary.digest or 'none: no iteration was told'}")


if __name__ == "__main__":
    cli.run(main)
