"""`launch.predict`: tables of the likeliest classes, and one line for what is wrong."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from tests.helpers.programs import answers, run
from tests.helpers.trained_models import MODELS, NAMES, logits_of, noise

pytestmark = pytest.mark.quick_compilation


def test_predict(tmp_path: Path, exports: Path) -> None:
    model, images = MODELS["uniform"], noise(MODELS["uniform"].images, 1)
    damaged, image = tmp_path / "damaged", str(tmp_path / "image.png")
    damaged.mkdir()
    (damaged / "model.json").write_text("{}", encoding="utf-8")
    Image.fromarray(images[0]).save(image)
    Image.fromarray(noise(MODELS["native"].images, 1).squeeze()).save(
        tmp_path / "grey.png"
    )
    np.save(tmp_path / "images.npy", images)
    os.mkfifo(tmp_path / "pipe.png")
    flag = f"--model={exports / 'uniform' / 'onnx'}"
    first = run("predict", flag, image, str(tmp_path / "grey.png"), "--top=2")
    others = answers(
        "predict",
        [
            (flag,),
            (flag, str(tmp_path / "images.npy")),
            (flag, str(tmp_path / "none.png")),
            (flag, str(tmp_path / "pipe.png")),
            (flag, image, "--top=0"),
            (f"--model={tmp_path / 'none'}", image),
            (f"--model={tmp_path}", image),
            (f"--model={damaged}", image),
            (image,),
        ],
    )
    assert (first.status, first.err) == (0, "")
    logits = logits_of(model, images)[0]
    probabilities = np.asarray(jax.nn.softmax(logits))
    for index in np.argsort(-logits)[:2]:
        row = next(line for line in first.out.splitlines() if NAMES[index] in line)
        assert f"{probabilities[index]:.1%}" in row
    want = [
        (2, "no image file given"),
        (1, "not a readable image"),
        (1, "No such file"),
        (1, "not a regular file"),
        (2, "--top=0: 0 is not a positive integer"),
        (1, "no such directory"),
        (1, "is no export, it has no model.json"),
        (1, "model.json: damaged (has no format)"),
        (2, "--model"),
    ]
    for found, (status, message) in zip(others, want, strict=True):
        assert (found.status, found.out, found.err.count("\n")) == (status, "", 1)
        assert message in found.err
