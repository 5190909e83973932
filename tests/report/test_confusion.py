"""The picture of a confusion matrix."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from bqnn.errors import ConfigError
from bqnn.report.confusion import draw_confusion, save_confusion


def test_few_classes_have_names_and_counts() -> None:
    axes = Figure().add_subplot()
    confusion = np.array([[3, 1, 0], [0, 0, 0], [0, 2, 2]])
    image = draw_confusion(axes, confusion, ("cat", "$x$", "a class of a long name"))
    assert [text.get_text() for text in axes.texts] == ["3", "1", "2", "2"]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["cat", r"\$x\$", "a class of a long n…"]
    want = np.array([[0.75, 0.25, 0], [0, 0, 0], [0, 0.5, 0.5]])
    np.testing.assert_allclose(np.asarray(image.get_array()), want)


def test_many_classes_have_neither(tmp_path: Path) -> None:
    axes, confusion = Figure().add_subplot(), np.eye(100, dtype=np.int64)
    names = [f"class {index}" for index in range(100)]
    draw_confusion(axes, confusion, names)
    assert not axes.texts
    assert len(axes.get_yticks()) < 15
    save_confusion(confusion, names, "100 % of $", tmp_path / "many.png")
    with pytest.raises(ConfigError, match="cannot be written"):
        save_confusion(confusion, names, "", tmp_path / "none" / "many.png")
