"""Facts: every column of a journal, with a check of its values.

A journal may come from somebody else, and SQLite keeps any value in any column. So
every value goes through `read` before it is used.
"""

import json
from collections.abc import Sequence
from typing import Any

from bqnn.config import Config, dictionary
from bqnn.errors import quote
from bqnn.evaluation.records import (
    MOST_DRAWS,
    Candidate,
    Evaluation,
    Rung,
    Status,
)
from bqnn.networks.plan import ImageSpec
from bqnn.schema import (
    LARGEST_SIDE,
    MOST_CLASSES,
    NAME,
    TEXT,
    TIME,
    Convert,
    digits,
    fields,
    integer,
    listed,
    mapped,
    number,
    parsed,
    read_at,
    text,
)
from bqnn.search.calibration import from_json
from bqnn.space import nsc


def _block(value: Any) -> nsc.Block:
    return nsc.parse(TEXT(value))


_EPOCH = integer(1, 100_000)
_RUNG = listed(lambda value: value, "an epoch and two numbers", 3, 3)


def _rung(value: Any) -> Rung:
    epoch, cutoff, gain = _RUNG(value)
    return Rung(_EPOCH(epoch), number(0, 1)(cutoff), number(-1, 1)(gain))


def _images(value: Any) -> ImageSpec:
    return ImageSpec(**fields(IMAGES)(value))


HASH = text("[0-9a-f]{1,64}", "hexadecimal digits")
CHANGES = ":changes"
"""Ends a digest that does not cover the whole state (`bqnn.search.digests`)."""

DIGEST = text(
    f"[0-9a-f]{{1,64}}({CHANGES})?", f"hexadecimal digits, with {CHANGES} or without"
)
STATUS = text("|".join(Status), f"one of {', '.join(Status)}")
PHASE = text("[a-z_]{1,40}", "the name of a phase")

# Flags of XLA are part of it, and pods set many.
DEVICE = text(r"[^\ud800-\udfff]{0,100000}", "text of at most 100,000 characters")

INDEX = integer(0, 1_000_000)
ID = listed(INDEX, "an iteration and a slot", 2, 2)

IMAGES: dict[str, Convert] = {
    "height": integer(1, LARGEST_SIDE),
    "width": integer(1, LARGEST_SIDE),
    "channels": integer(1, LARGEST_SIDE),
    "num_classes": integer(1, MOST_CLASSES),
}

CANDIDATE: dict[str, Convert] = {
    "iteration": INDEX,
    "slot": INDEX,
    "block": _block,
    "hash": HASH,
    "seed": integer(0, 2**31 - 1),
    # Of one block, whose logarithm the reward takes.
    "flops": digits(100),
    # A block has up to 60 layers of two predecessors, and input and output.
    "edges": integer(1, 200),
    "nodes": integer(3, 62),
    # With native widths, a network can exceed what fits in a float.
    "params": digits(4000),
    "network_flops": digits(4000),
}
_ACCURACY, _NANOSECONDS = number(0, 1), integer(0, 10**18)
_LATENCY = parsed(lambda value: None if value is None else _NANOSECONDS(value))

COLUMNS: dict[str, dict[str, Convert]] = {
    "run": {
        "config": parsed(lambda value: dictionary.from_dict(value, Config)),
        "images": parsed(_images),
        "fingerprint": NAME,
        "versions": parsed(mapped(NAME, NAME, "versions by name")),
    },
    "asks": {
        "iteration": INDEX,
        "told": INDEX,
        "epsilon": number(0, 1),
        "rungs": parsed(listed(_rung, "a list of rungs", 0, 100)),
        "repeat_from": parsed(
            lambda value: None if value is None else _ACCURACY(value)
        ),
    },
    "candidates": {
        **CANDIDATE,
        "latency": _LATENCY,
        "draw": parsed(integer(0, MOST_DRAWS - 1)),
    },
    "evaluations": {
        "iteration": INDEX,
        "slot": INDEX,
        "attempt": integer(1, 1000),
        "status": lambda value: Status(STATUS(value)),
        "accuracy": parsed(listed(_ACCURACY, "a list of fractions")),
        "restarts": INDEX,
        "seconds": parsed(mapped(PHASE, number(0, 1e9), "seconds by phase")),
        "device": DEVICE,
        "worker": NAME,
        "error": TEXT,
        "source": TEXT,
        "repeats": parsed(listed(_ACCURACY, "a list of fractions", 0, 99)),
        "time": TIME,
    },
    "tells": {
        "number": INDEX,
        "places": parsed(listed(ID, "a list of candidates", 1)),
        "digest": DIGEST,
        "evidence": HASH,
    },
    "rounds": {
        "number": INDEX,
        "told": INDEX,
    },
    "fits": {
        "number": INDEX,
        "fit": parsed(lambda value: None if value is None else from_json(value)),
        "digest": HASH,
    },
    "learnt": {
        "number": INDEX,
        "workdir": TEXT,
        **CANDIDATE,
        "accuracy": parsed(listed(_ACCURACY, "a list of one fraction or more", 1)),
        "latency": _LATENCY,
    },
    "tried_first": {
        "number": INDEX,
        "block": _block,
    },
    "warm_start": {
        "digest": HASH,
        "evidence": HASH,
    },
}
"""The columns of each table, in the order in which they are read."""

NEW_TABLES = {"learnt": 3, "tried_first": 3, "warm_start": 3, "rounds": 4, "fits": 4}
"""The schema version that has added a table; it is empty in journals of before."""

NEW_COLUMNS = {
    ("evaluations", "source"): (3, "''"),
    ("asks", "rungs"): (4, "'[]'"),
    ("asks", "repeat_from"): (5, "'null'"),
    ("evaluations", "repeats"): (5, "'[]'"),
    ("candidates", "latency"): (5, "'null'"),
    ("learnt", "latency"): (5, "'null'"),
    ("candidates", "draw"): (6, "'0'"),
}
"""The schema version that has added a column, and what journals of before read as."""

KEYS: dict[str, tuple[str, ...]] = {
    "run": (),
    "asks": ("iteration",),
    "candidates": ("iteration", "slot"),
    "evaluations": ("iteration", "slot", "attempt"),
    "tells": ("number",),
    "rounds": ("number",),
    "fits": ("number",),
    "learnt": ("number",),
    "tried_first": ("number",),
    "warm_start": (),
}
"""The columns that name a row, the first of each table."""


def read(table: str, names: Sequence[str], row: Sequence[Any]) -> list[Any]:
    """Check a row, and turn it into Python values.

    Args:
      table: of the row.
      names: of the columns read.
      row: their values, as SQLite has them.

    Raises:
      FactError: names table, row and column.
    """
    columns, where = COLUMNS[table], row_name(table, row)
    return [
        read_at(f"{where}, column {name}", columns[name], value)
        for name, value in zip(names, row, strict=True)
    ]


def row_name(table: str, row: Sequence[Any]) -> str:
    """Name a row of a table by its key, the first of its columns."""
    key = zip(KEYS[table], row, strict=False)
    parts = ", ".join(f"{name} {quote(value)}" for name, value in key)
    return f"table {table}, row {parts}" if parts else f"table {table}"


def candidate_row(candidate: Candidate) -> tuple[Any, ...]:
    """Turn a candidate into its row."""
    return (
        *candidate.id,
        nsc.format(candidate.block),
        candidate.hash,
        candidate.seed,
        # SQLite's integers end at 2**63; with native widths a block can exceed that.
        str(candidate.block_flops),
        candidate.edges,
        candidate.nodes,
        str(candidate.network_params),
        str(candidate.network_flops),
    )


def asked_row(candidate: Candidate) -> tuple[Any, ...]:
    """Turn a candidate that was asked into its row, with latency and draw."""
    later = candidate.latency, candidate.draw
    return *candidate_row(candidate), *map(json.dumps, later)


def evaluation_row(
    candidate: Candidate, attempt: int, evaluation: Evaluation
) -> tuple[Any, ...]:
    """Turn an attempt at a candidate into its row, but for the time."""
    texts = evaluation.device, evaluation.worker, evaluation.error
    return (
        *candidate.id,
        attempt,
        evaluation.status.value,
        json.dumps(evaluation.accuracy),
        evaluation.restarts,
        json.dumps(evaluation.seconds),
        *map(storable, texts),
    )


def storable(text: str) -> str:
    """Write as escapes what UTF-8 cannot hold: names of files may have any bytes."""
    return text.encode(errors="backslashreplace").decode()
