"""Measure a trained network on the test split, and how fast it is.

  python -m launch.evaluate --workdir=runs/final

prints accuracy, loss, calibration and speed, and a table of the classes, and writes
runs/final/evaluation/metrics.json, with all numbers, and confusion.png. Of a streamed
data set whose test split has no labels, the validation split is the test split.
"""

from pathlib import Path

from absl import flags

from bqnn import machine, runtime
from launch import cli

_WORKDIR = flags.DEFINE_string("workdir", None, "Of the training.", required=True)
_CHECKPOINT = flags.DEFINE_enum(
    "checkpoint", "last", ["last", "best"], "Weights to measure."
)
_OUT = flags.DEFINE_string("out", None, "Into this directory, not WORKDIR/evaluation.")
_BATCH = flags.DEFINE_integer(
    "batch", None, "Images of a batch; by default as in training.", lower_bound=1
)


def main() -> None:
    """Load the network, measure it, print and write what was found."""
    from bqnn.final.measure import measure, to_json
    from bqnn.final.workdir import load_model, read_run, write_json
    from bqnn.report.confusion import save_confusion
    from bqnn.report.final_tables import class_table, measured_summary

    workdir, checkpoint = Path(_WORKDIR.value), _CHECKPOINT.value
    folder = Path(_OUT.value) if _OUT.value else workdir / "evaluation"
    run = read_run(workdir)
    threads = run.config.train.threads or machine.cores()
    runtime.configure_process(threads, runtime.default_cache_dir())
    model = load_model(workdir, checkpoint)
    found = measure(model, run, _BATCH.value or run.config.train.step_batch)
    name, accuracy = run.config.data.name, found.metrics.top1
    values = {
        "data": name,
        "checkpoint": checkpoint,
        "block": str(run.block),
        "device": runtime.device(),
        "versions": runtime.versions(),
        "class_names": run.class_names,
        **to_json(found),
    }
    write_json(folder / "metrics.json", values)
    save_confusion(
        found.metrics.confusion,
        run.class_names,
        f"{name}, test split: {accuracy:.2%} correct",
        folder / "confusion.png",
    )
    console = cli.console()
    title = f"{name}, test split; {checkpoint} checkpoint of {workdir}"
    console.print(measured_summary(found, title))
    console.print(class_table(found.metrics.classes, run.class_names))
    console.print(f"written: {folder}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    cli.run(main)
