"""A search whose workers go wrong, as a program that can be killed.

python -m tests.helpers.disturbed WORKDIR ORDER FAULTS

FAULTS is JSON: canonical hash to fault.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from bqnn import runtime
from bqnn.config import Config
from bqnn.executors.executor import Options
from bqnn.executors.process import ProcessExecutor
from bqnn.search.events import Event, Told
from bqnn.search.state import ask_batch, first_state
from tests.helpers.faults import slow
from tests.helpers.searches import problem_of, run_search, tiny_config
from tests.helpers.thorough import times

# Of a candidate, most of it rest. The more kills, the longer it must last.
SECONDS = times(90, 40) / 100


def config(order: str) -> Config:
    """A search of 16 candidates; of 32, a second each, in `make thorough`."""
    return tiny_config(
        agent={"schedule": f"1.0:1,0.3:{times(3, 1)}"},
        search={"batch": 8, "order": order},
        budget={"timeout": 7},
    )


def first_hashes() -> list[str]:
    """Return the hashes of the blocks that the search asks for first."""
    work = problem_of(config("slot"))
    asked = ask_batch(work, first_state(work, ()), 0, 0)
    return list(dict.fromkeys(candidate.hash for candidate in asked.candidates))


def run(workdir: Path, order: str, faults: Mapping[str, str]) -> list[Event]:
    """Search with two workers of two gigabytes."""
    options = Options(
        cache_dir=runtime.default_cache_dir(),
        workers=2,
        memory=2 * 10**9,
        make_worker=slow(SECONDS, faults),
    )
    executor = ProcessExecutor(config(order), options)
    return run_search(workdir, config(order), executor)


if __name__ == "__main__":
    runtime.configure_process(1, runtime.default_cache_dir())
    for event in run(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])):
        if isinstance(event, Told):
            print(event.number, event.digest)
