"""Exports hold what the model is, and replace nothing unless they compute it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import bqnn
from bqnn.export import loaders
from bqnn.export.export import WRITERS, export
from bqnn.export.manifest import ExportError
from tests.helpers.networks import SPEC
from tests.helpers.trained_models import (
    ALL_LAYERS,
    MODELS,
    NAMES,
    SMALL,
    logits_of,
    make_model,
    noise,
)

pytestmark = pytest.mark.quick_compilation


WITHOUT_BQNN = """
import runpy, sys
sys.modules["bqnn"] = None
import jax, numpy, onnxruntime

for name in ("uniform", "native"):
    images = numpy.load(f"{name}/images.npy")
    exported = jax.export.deserialize(open(
        f"{name}/stablehlo/model.stablehlo", "rb").read())
    assert exported.platforms == ("cpu", "cuda", "tpu"), exported.platforms
    session = onnxruntime.InferenceSession(f"{name}/onnx/model.onnx")
    module = runpy.run_path(f"{name}/flax/model.py")
    numpy.savez(
        f"{name}/found.npz",
        stablehlo=exported.call(images),
        onnx=session.run(None, {"images": images})[0],
        flax=module["logits"](images),
    )
network, variables = module["load"]("native/flax")
assert set(variables) == {"params", "batch_stats"}
sys.argv = ["model.py", "uniform/image.png"]
runpy.run_path("uniform/flax/model.py", run_name="__main__")
"""


def test_exports_run_without_bqnn(exports: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_BQNN],
        cwd=exports,
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for name, model in MODELS.items():
        want = logits_of(model, np.load(exports / name / "images.npy"))
        with np.load(exports / name / "found.npz") as found:
            for format_name in WRITERS:
                got = found[format_name]
                assert got.dtype == np.float32
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
        if name == "uniform":
            best = NAMES[want[0].argmax()]
            assert done.stdout.startswith(f"uniform/image.png: {best} (")


def test_an_export_holds_its_files_and_says_what_it_is(exports: Path) -> None:
    files = {
        format_name: {
            path.name for path in (exports / "uniform" / format_name).iterdir()
        }
        for format_name in WRITERS
    }
    assert files == {
        "flax": {"model.json", "model.py", "weights.msgpack"},
        "onnx": {"model.json", "model.onnx"},
        "stablehlo": {"model.json", "model.stablehlo"},
    }
    text = (exports / "uniform" / "onnx" / "model.json").read_text(encoding="utf-8")
    values = json.loads(text)
    assert values == {
        "format": "onnx",
        "format_version": 1,
        "bqnn_version": bqnn.__version__,
        "file": "model.onnx",
        "class_names": list(NAMES),
        "image_shape": [32, 32, 3],
        "mean": [100, 115, 130],
        "std": [50, 65, 80],
        "dtype": "float32",
        "block": ALL_LAYERS,
        "network": {
            "stem": "small",
            "widths": [4, 6],
            "repeats": 1,
            "width": "uniform",
            "separable_repeats": 1,
            "wiring": "chain",
            "fit_params": None,
            "fit_flops": None,
        },
    }


def test_the_onnx_graph_is_valid(exports: Path) -> None:
    import onnx

    graph = onnx.load(exports / "uniform" / "onnx" / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)


@pytest.mark.parametrize("format_name", sorted(WRITERS))
def test_load(format_name: str, exports: Path) -> None:
    predictor = loaders.load(exports / "native" / format_name)
    assert predictor.class_names == NAMES
    assert predictor.image_shape == SPEC[:3]
    images = noise(SPEC, 3)
    want = logits_of(MODELS["native"], images)
    np.testing.assert_allclose(predictor.logits(images), want, rtol=0, atol=1e-4)
    for wrong in (images.astype(np.float32), images[:, :4], images[0]):
        with pytest.raises(ExportError, match=r"want uint8 of shape \(B, 8, 8, 1\)"):
            predictor.logits(wrong)


def test_bfloat16(tmp_path: Path) -> None:
    model = make_model(SMALL, SPEC, "uniform", "bfloat16", wiring="dense", repeats=2)
    assert 0 < export(model, "stablehlo", tmp_path / "stablehlo") < 2e-2
    # Computed in float32, and compared with that.
    assert export(model, "onnx", tmp_path / "onnx") < 1e-5
    written = json.loads((tmp_path / "onnx" / "model.json").read_text(encoding="utf-8"))
    assert written["dtype"] == "float32"


def _tree(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_an_export_that_differs_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = MODELS["native"]
    other = model._replace(variables=jax.tree.map(lambda x: x * 2, model.variables))
    export(model, "flax", tmp_path / "old")
    before = _tree(tmp_path)
    write = WRITERS["flax"]
    monkeypatch.setitem(WRITERS, "flax", lambda _, folder: write(other, folder))
    for name in ("old", "new"):
        with pytest.raises(ExportError, match="logits of the flax export differ"):
            export(model, "flax", tmp_path / name)
    assert _tree(tmp_path) == before
    assert os.listdir(tmp_path) == ["old"]
    # With the right writer again, the older export is replaced.
    monkeypatch.undo()
    export(other, "flax", tmp_path / "old")
    assert _tree(tmp_path) != before
    assert os.listdir(tmp_path) == ["old"]


def test_what_cannot_be_exported_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, file = MODELS["native"], tmp_path / "precious" / "file"
    file.parent.mkdir()
    file.write_text("", encoding="utf-8")
    (file.parent / "model.json").write_text("", encoding="utf-8")
    for folder in (file, file.parent):
        with pytest.raises(ExportError, match="exists and is no export"):
            export(model, "flax", folder)
    with pytest.raises(ExportError, match="cannot be written"):
        export(model, "flax", file / "below")
    diverged = model._replace(
        variables=jax.tree.map(lambda x: x * np.float32(np.nan), model.variables)
    )
    with pytest.raises(ExportError, match="not finite"):
        export(diverged, "flax", tmp_path / "new")
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(ExportError, match=r"pip install 'bqnn\[onnx\]'"):
        export(model, "onnx", tmp_path / "new")
    assert os.listdir(tmp_path) == ["precious"]
