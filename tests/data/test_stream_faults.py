"""Streams that cannot be opened or read: one clear line for what is wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bqnn.errors import DataError
from tests.helpers.tfds_sets import jpeg, jpeg_examples, open_tiny, write_jpegs


def _damaged(tmp: Path) -> None:
    broken = {"image": jpeg(0)[:200], "label": 0}
    write_jpegs(tmp, train=[broken] * 4)


FAULTS: dict[str, tuple[Callable[[Path], None], dict[str, object], str]] = {
    "no resolution": (
        lambda tmp: None,
        {"resolution": None, "streaming": False},
        "set data.resolution",
    ),
    "arrays": (lambda tmp: None, {"name": "npz:x.npz"}, "cannot be streamed"),
    "unknown": (lambda tmp: None, {}, "'tiny' is unknown"),
    "not prepared": (lambda tmp: None, {"name": "cifar10"}, "is not prepared in"),
    "no training split": (
        lambda tmp: write_jpegs(tmp, test=jpeg_examples(1)),
        {},
        "no train split, only test",
    ),
    "none to learn from": (
        lambda tmp: write_jpegs(tmp, train=jpeg_examples(1)),
        {"validation": 0.5},
        "no images to learn from",
    ),
    "no test split": (
        lambda tmp: write_jpegs(tmp, train=jpeg_examples(4)),
        {},
        "neither a test nor a validation split",
    ),
    "not an image": (_damaged, {}, r"tiny train: image \d cannot be read"),
    "bad label": (
        lambda tmp: write_jpegs(tmp, train=jpeg_examples(4, label=-1)),
        {},
        "the label of image . is -1, want 0 to 25",
    ),
    "other format": (
        lambda tmp: _foreign(tmp),
        {},
        "must be prepared with file_format='array_record'",
    ),
}


def _foreign(tmp: Path) -> None:
    write_jpegs(tmp, train=jpeg_examples(4))
    path = tmp / "tiny" / "1.0.0" / "dataset_info.json"
    path.write_text(path.read_text().replace("array_record", "tfrecord"))


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_in_one_line(fault: str, tmp_path: Path) -> None:
    make, changes, message = FAULTS[fault]
    make(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        streams = open_tiny(tmp_path, **changes)
        list(streams.evaluation("test", 2, 0, 1)) if fault == "no test split" else (
            list(streams.train(2, 0, 0, 0, 0, 1))
        )
    assert "\n" not in str(caught.value)
