"""Exports compute what the model does where there is no bqnn; `launch.predict`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax import traverse_util
from PIL import Image

import bqnn
from bqnn.export import loaders, standalone
from bqnn.export.export import WRITERS, export
from bqnn.export.manifest import ExportError
from bqnn.final.model import Model, logits_function
from bqnn.networks.network import init_variables
from bqnn.networks.plan import ImageSpec, plan
from bqnn.space import nsc
from tests.helpers.networks import SPEC, small
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.usefixtures("quick_compilation")

# Every type of layer, both poolings with and without a window, and two sinks.
ALL_LAYERS = (
    "1,1,3,0,0;2,2,3,1,0;3,3,3,0,0;4,5,0,1,2;5,6,0,3,4;6,4,0,5,0;7,3,1,6,0;8,2,1,0,0;"
    "9,1,5,8,0;10,7,0,0,0"
)
SMALL = "1,1,3,0,0;2,2,3,0,0;3,3,3,2,0;4,7,0,0,0"
NAMES = ("zéro", "[one]", 'two"', *(f"class {place}" for place in range(3, 10)))


def _model(
    nsc_text: str, spec: ImageSpec, width: str, dtype: str = "float32", seed: int = 0
) -> Model:
    """A network as if trained: nothing in it is zero or one."""
    block, network = nsc.parse(nsc_text), small(width, widths=(4, 6))
    rng = np.random.default_rng(seed)

    def disturb(path: tuple[str, ...], x: np.ndarray) -> np.ndarray:
        moved = x + rng.normal(0, 0.2, x.shape).astype(np.float32)
        return np.abs(moved) if path[-1] == "var" else moved

    flat = traverse_util.flatten_dict(init_variables(plan(block, network, spec), seed))
    variables = traverse_util.unflatten_dict(
        {k: disturb(k, x) for k, x in flat.items()}
    )
    mean, std = (
        np.linspace(low, low + 30, spec.channels, dtype=np.float32) for low in (100, 50)
    )
    return Model(block, network, spec, NAMES, mean, std, variables, dtype)


MODELS = {
    "uniform": _model(ALL_LAYERS, ImageSpec(32, 32, 3, 10), "uniform"),
    "native": _model(SMALL, SPEC, "native"),
}


def _images(spec: ImageSpec, count: int) -> np.ndarray:
    shape = (count, *spec[:3])
    return np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)


def _logits(model: Model, images: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(logits_function(model))(model.variables, images))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory, quick_compilation: None) -> Path:
    """Every model in every format: MODEL/FORMAT; and images to try them with."""
    folder = tmp_path_factory.mktemp("exports")
    for name, model in MODELS.items():
        for format_name in WRITERS:
            assert export(model, format_name, folder / name / format_name) < 1e-5
        images = _images(model.images, 5)
        np.save(folder / name / "images.npy", images)
        Image.fromarray(images[0].squeeze()).save(folder / name / "image.png")
    return folder


def _python(code: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    text = _python(WITHOUT_BQNN, cwd=exports)
    for name, model in MODELS.items():
        want = _logits(model, np.load(exports / name / "images.npy"))
        with np.load(exports / name / "found.npz") as found:
            for format_name in WRITERS:
                got = found[format_name]
                assert got.dtype == np.float32
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
        if name == "uniform":
            assert text.startswith(f"uniform/image.png: {NAMES[want[0].argmax()]} (")


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
    images = _images(SPEC, 3)
    want = _logits(MODELS["native"], images)
    np.testing.assert_allclose(predictor.logits(images), want, rtol=0, atol=1e-4)
    for wrong in (images.astype(np.float32), images[:, :4], images[0]):
        with pytest.raises(ExportError, match=r"want uint8 of shape \(B, 8, 8, 1\)"):
            predictor.logits(wrong)


def test_bfloat16(tmp_path: Path) -> None:
    model = _model(SMALL, SPEC, "uniform", "bfloat16")
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
    model, other = MODELS["native"], _model(SMALL, SPEC, "native", seed=1)
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


def test_an_image_file_is_read_as_the_network_wants_it(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    pixels = _images(ImageSpec(8, 8, 3, 10), 1)[0]
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(standalone.read_image(path, (8, 8, 3)), pixels)
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_array_equal(
        standalone.read_image(path, (8, 8, 1)), grey[..., None]
    )
    # Only the middle square of a wide image is seen.
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = pixels
    Image.fromarray(wide).save(path)
    np.testing.assert_array_equal(standalone.read_image(path, (8, 8, 3)), pixels)


# Runs `main` of a program on several command lines; prints statuses and outputs.
PROGRAM = """
import contextlib, importlib, io, json, sys
from absl import flags
from launch import cli

def call(program, arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            flags.FLAGS.unparse_flags()
            files = program.__name__ == "launch.predict"
            rest = cli.parse_flags(["program", *arguments], files=files)
            given = (rest[1:],) if files else ()
            cli.guarded(lambda: program.main(*given))
        except SystemExit as stop:
            return stop.code, out.getvalue()
    return 0, out.getvalue()

program = importlib.import_module(f"launch.{sys.argv[1]}")
exec(sys.argv[3])
print(json.dumps([call(program, line) for line in json.loads(sys.argv[2])]))
"""


def _call(
    program: str, *lines: tuple[str, ...], setup: str = ""
) -> list[tuple[int, str]]:
    arguments = program, json.dumps(lines), setup
    found: list[Any] = json.loads(_python(PROGRAM, *arguments, cwd=ROOT))
    return [(status, text) for status, text in found]


def test_predict(exports: Path) -> None:
    model, folder = MODELS["uniform"], exports / "uniform"
    damaged = folder / "damaged"
    damaged.mkdir()
    (damaged / "model.json").write_text("{}", encoding="utf-8")
    os.mkfifo(folder / "pipe.png")
    flag, image = f"--model={folder / 'onnx'}", str(folder / "image.png")
    results = _call(
        "predict",
        (flag, image, str(exports / "native" / "image.png"), "--top=2"),
        (flag,),
        (flag, str(folder / "images.npy")),
        (flag, str(folder / "none.png")),
        (flag, str(folder / "pipe.png")),
        (flag, image, "--top=0"),
        (f"--model={folder / 'none'}", image),
        (f"--model={folder}", image),
        (f"--model={damaged}", image),
        (image,),
    )
    status, text = results.pop(0)
    assert status == 0
    logits = _logits(model, np.load(folder / "images.npy")[:1])[0]
    probabilities = np.asarray(jax.nn.softmax(logits))
    first, second = np.argsort(-logits)[:2]
    for place in (first, second):
        row = next(line for line in text.splitlines() if NAMES[place] in line)
        assert f"{probabilities[place]:.1%}" in row
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
    for (status, text), (code, message) in zip(results, want, strict=True):
        assert (status, text.count("\n")) == (code, 1), text
        assert message in text


def test_export_program(tmp_path: Path) -> None:
    results = _call(
        "export",
        (f"--workdir={tmp_path / 'none'}", "--format=flax"),
        (f"--workdir={tmp_path}", "--format=tflite"),
        (f"--workdir={tmp_path}", "--format=flax", "--checkpoint=first"),
        ("--format=flax",),
    )
    assert [status for status, _ in results] == [1, 2, 2, 2]
    want = ("no training", "flax|onnx|stablehlo", "last|best", "--workdir")
    for (_, text), message in zip(results, want, strict=True):
        assert text.count("\n") == 1
        assert message in text


# In the place of a training.
TRAINED = """
from tests.export.test_export import MODELS
program.load_model = lambda workdir, checkpoint: MODELS["native"]
"""


def test_export_program_writes_where_it_is_told(tmp_path: Path) -> None:
    other = tmp_path / "other"
    results = _call(
        "export",
        (f"--workdir={tmp_path}", "--format=flax"),
        (f"--workdir={tmp_path}", "--format=stablehlo", f"--out={other}"),
        setup=TRAINED,
    )
    folders = (tmp_path / "export" / "flax", other)
    for (status, text), folder in zip(results, folders, strict=True):
        assert (status, text.count("\n")) == (0, 1), text
        assert text.startswith(f"exported: {folder} (logits differ by ")
        assert (folder / "model.json").is_file()
