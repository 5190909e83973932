"""Flags that would be ignored are refused, in one line."""

import pytest

from tests.helpers.programs import answers

Command = tuple[str, ...]

TRAIN: Command = ("--config=digits_final", "--workdir=none")
SEARCH: Command = ("--config=quickstart", "--workdir=none")
TABLE: Command = ("--evaluator=table:none.csv", "--workdir=none")
ANY: Command = ("--space=table:none.csv", "--workdir=none")
GRAPH: Command = ("--evaluator=nasbench-graph", "--workdir=none")

CASES: dict[str, dict[Command, str]] = {
    "train": {
        (*TRAIN, "--search=s", "--top=2", flag): f"--{name} has no effect with --top"
        for name, flag in {
            "block": "--block=1,1,3,0,0",
            "rank": "--rank=1",
            "distributed": "--distributed",
            "coordinator": "--coordinator=h:1",
            "processes": "--processes=2",
            "process": "--process=0",
        }.items()
    }
    | {
        (*TRAIN, "--search=s", flag): f"--{name} has no effect without --top"
        for name, flag in {
            "executor": "--executor=process",
            "workers": "--workers=2",
            "worker_memory_gb": "--worker_memory_gb=1",
            "ray_address": "--ray_address=auto",
            "worker_resources": "--worker_resources=CPU=1",
            "rivals": "--rivals=resnet",
            "match": "--match=none",
            "seeds": "--seeds=2",
            "retrain": "--retrain",
        }.items()
    }
    | {
        (*TRAIN, "--search=s", "--top=2", flag): f"--{name} has no effect without --r"
        for name, flag in {"match": "--match=none", "seeds": "--seeds=2"}.items()
    }
    | {
        (
            *TRAIN,
            "--search=s",
            "--top=2",
            "--front",
        ): "--front has no effect with",
        (*TRAIN, "--search=s", "--top=2", "--limit=9"): "--limit has no effect with",
        (
            *TRAIN,
            "--search=s",
            "--front",
            "--rank=2",
        ): "--rank has no effect with --top",
        (*TRAIN, "--block=1,1,3,0,0", "--rank=2"): "--rank has no effect with --block",
        (*TRAIN, "--search=s", "--process=1"): "--process has no effect without --coo",
    },
    "calibrate": {
        ("--search=s", "--workdir=none", "--trained=t", flag): (
            f"--{flag[2:].partition('=')[0]} has no effect with --trained"
        )
        for flag in ("--config=digits_final", "--blocks=9", "--workers=2")
    },
    "search": {
        (*SEARCH, "--ray_address=auto"): "--ray_address has no effect with --executor=",
        (*SEARCH, "--worker_resources=CPU=1"): "--worker_resources has no effect with",
        (*SEARCH, "--executor=inline", "--workers=2"): "--workers has no effect with",
        (*SEARCH, "--executor=inline", "--worker_memory_gb=1"): "--worker_memory_gb ha",
        (
            *SEARCH,
            "--workers=2",
            "--workers_per_device=2",
        ): "--workers_per_device has no effect with --workers",
        (
            *SEARCH,
            "--executor=ray",
            "--workers_per_device=2",
        ): "--workers_per_device has no effect with --executor=ray",
        **{
            (
                *SEARCH,
                "--estimate",
                flag,
            ): f"{flag.partition('=')[0]} has no effect with --estimate"
            for flag in (
                "--max_candidates=9",
                "--max_failures_in_a_row=9",
                "--evaluations=d",
                "--learn_from=d",
                "--try_first=f",
                "--tensorboard",
            )
        },
        (
            *SEARCH,
            "--estimate",
            "--ray_address=auto",
        ): "--ray_address has no effect wit",
        (*SEARCH, "--estimate", "--executor=inline", "--workers=2"): "--workers has no",
    },
    "compare": {
        (*TABLE, "--config.train.rungs=(1,)"): "train.rungs has no effect with",
        (*TABLE, "--dataset=cifar10"): "--dataset has no effect without --space=",
        (*TABLE, "--told=x"): "--told has no effect without --space=table:FILE",
        (*ANY, "--evaluator=train"): "--evaluator has no effect with --space=table:FI",
        (*ANY, "--dataset=cora"): "--dataset has no effect with --space=table:FILE",
        (*ANY, "--told=x", "--workers=2"): "--workers has no effect with --space=tabl",
        (*GRAPH, "--space=nsc"): "--space has no effect with --evaluator=nasbench-gra",
        (*GRAPH, "--workers=2"): "--workers has no effect with --evaluator=nasbench-g",
        (*TABLE, "--evaluations=d"): "--evaluations has no effect with --evaluator=tab",
        (*TABLE, "--workers=2"): "--workers has no effect with --evaluator=table",
    },
    "show": {
        ("--block=resnet", "--limit=9"): "--limit has no effect without --search",
        ("--block=resnet", "--cost=params"): "--cost has no effect without --search",
    },
    "bench": {
        ("--scale", "--parts=agent"): "--parts has no effect with --scale",
        ("--scale", "--soak=99"): "--soak has no effect without --parts=memory",
        ("--parts=agent", "--random=2"): "--random has no effect without --parts=",
        ("--parts=agent", "--draws=2"): "--draws has no effect without --parts=models",
    },
}


@pytest.mark.parametrize("program", CASES)
def test_a_flag_without_effect_is_refused(program: str) -> None:
    cases = CASES[program]
    for answer, want in zip(answers(program, [*cases]), cases.values(), strict=True):
        assert answer.status == 2
        assert answer.err.startswith(f"error: {want}")
        assert answer.err.endswith("leave it out\n") and answer.err.count("\n") == 1
