"""Worker: a process that trains candidates for one contender.

`python -m benchmarks.worker CONTENDER SETTING CORE` reads a JSON object from every line
of its input and answers each with one: the timings of a `block` with a `seed`, the rate
of matrix products for `rate`, an empty object after the warm-up for `warm`.
"""

import json
import resource
import sys

import psutil

from benchmarks import contenders, matmul
from benchmarks.setting import SETTINGS
from bqnn import machine
from bqnn.space.nsc import parse


def main(contender: str, setting_name: str, core: str) -> None:
    """Answer until the input ends."""
    if core != "any":
        machine.pin(int(core))
    setting = SETTINGS[setting_name]
    contenders.prepare_process(contender, setting.train.threads)
    dataset = setting.dataset()
    if contender != "PyTorch":
        import jax

        train, validation = jax.device_put((dataset.train, dataset.validation))
        dataset = dataset._replace(train=train, validation=validation)
    run = contenders.CONTENDERS[contender]
    for line in sys.stdin:
        job = json.loads(line)
        if "block" in job:
            timing = run(setting, dataset, parse(job["block"]), job["seed"])
            answer = {**timing._asdict(), "memory": memory()}
        elif "rate" in job:
            answer = {"rate": matmul.rate()}
        else:
            contenders.warm_up(contender, setting, dataset)
            answer = {}
        print(json.dumps(answer), flush=True)


def memory() -> dict[str, int]:
    """Return the current and the largest resident memory of this process, in bytes."""
    resident = psutil.Process().memory_info().rss
    # In KiB, except on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"resident": resident, "peak": peak}


if __name__ == "__main__":
    main(*sys.argv[1:])
