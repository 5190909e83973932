"""Exports that others made to do harm: no code of them is run, nothing is believed."""

import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bqnn.config import NetworkConfig
from bqnn.export import loaders
from bqnn.export.manifest import ExportError
from bqnn.report.foreign import foreign
from tests.helpers.fuzzing import attempt, changed_json, printed
from tests.helpers.thorough import times
from tests.helpers.trained_models import MODELS

pytestmark = [pytest.mark.quick_compilation, pytest.mark.usefixtures("no_hang")]

MODEL = MODELS["native"]
IMAGES = np.zeros((2, 8, 8, 1), np.uint8)


@pytest.fixture(scope="module")
def exports(exports: Path) -> Path:
    """The model in every format."""
    return exports / "native"


@pytest.fixture
def flax(exports: Path, tmp_path: Path) -> Path:
    """A flax export to do harm to."""
    return shutil.copytree(exports / "flax", tmp_path / "flax")


def _refused(folder: Path, message: str) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        loaders.load(folder).logits(IMAGES)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_code_of_an_export_is_not_run(flax: Path, exports: Path) -> None:
    want = loaders.load(exports / "stablehlo").logits(IMAGES)
    (flax / "model.py").write_text("raise SystemExit('it ran')\n")
    for _ in range(2):
        found = loaders.load(flax).logits(IMAGES)
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-4)
        (flax / "model.py").unlink(missing_ok=True)


def _weights(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        values = serialization.msgpack_restore(path.read_bytes())
        values = jax.tree.map(np.array, values)
        path.write_bytes(serialization.msgpack_serialize(change(values) or values))

    return write


def _head(change: Callable[[np.ndarray], Any]) -> Callable[[dict[str, Any]], None]:
    def write(values: dict[str, Any]) -> None:
        dense = values["params"]["head"]["dense"]
        dense["bias"] = change(dense["bias"])

    return write


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


class _Code:
    """Ends the process when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.exit, ("it ran",)


WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another shape": (
        _weights(_head(lambda x: x[:-1])),
        r"bias is float32 of shape \(9",
    ),
    "another dtype": (
        _weights(_head(lambda x: x.astype(int))),
        "bias is int64 of shape",
    ),
    "no array": (_weights(_head(lambda x: 10**12)), "bias is 'int', want float32"),
    "text": (_weights(_head(lambda x: "\x1b]0;x\x07")), "bias is 'str', want float32"),
    "too few": (_weights(lambda v: {"params": v["params"]}), "is not there, want"),
    "one more": (
        _weights(lambda v: {**v, "\x1b[2J": {"x": np.zeros(3)}}),
        r"\\x1b\[2J/x is float64 of shape \(3,\), want not there",
    ),
    "a list": (_weights(lambda v: [1, 2]), "damaged"),
    "numbers as names": (_weights(lambda v: {"params": {"0": {}}}), "is not there"),
    "not finite": (
        _weights(lambda v: jax.tree.map(lambda x: x * np.nan, v)),
        "float64|not finite",
    ),
    "pickled": (lambda path: path.write_bytes(pickle.dumps(_Code())), "damaged"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "damaged"),
    "nothing": (lambda path: path.write_bytes(b""), "damaged"),
    "nesting": (lambda path: path.write_bytes(b"\x91" * 9999 + b"\x90"), "damaged"),
    "too large": (lambda path: os.truncate(path, 2**40), "1,099,511,627,776 bytes"),
    "a pipe": (_pipe, "not a regular file"),
    "missing": (lambda path: path.unlink(), "No such file"),
}


@pytest.mark.parametrize("fault", WEIGHTS)
def test_weights_are_not_believed(fault: str, flax: Path) -> None:
    harm, message = WEIGHTS[fault]
    harm(flax / "weights.msgpack")
    _refused(flax, message)


LONG = "1,1,3,0,0;" * 500
MANIFEST: dict[str, tuple[dict[str, Any], str]] = {
    "another format": ({"format": ["flax"]}, r"format \['flax'\] of version 1: this"),
    "a newer version": ({"format_version": 10**12}, "of version 1000000000000: this"),
    "no name": ({"class_names": []}, r"class_names is \[\]: want names"),
    "fewer names": ({"class_names": ["a", "b"]}, "of shape .* want float32 of shape"),
    "a name of numbers": ({"class_names": [7] * 10}, "class_names is 7: want text"),
    "a long name": ({"class_names": ["x" * 1001] * 10}, "at most 1000 characters"),
    "a name of half a sign": ({"class_names": ["\ud800"] * 10}, r"is '\\ud800': want"),
    "many names": ({"class_names": ["x"] * 30_001}, "class_names is"),
    "no height": ({"image_shape": [0, 8, 1]}, "image_shape is 0: want an integer"),
    "a vast image": ({"image_shape": [65_536, 65_536, 1]}, "the network needs"),
    "two sides": ({"image_shape": [8, 8]}, "want three integers"),
    "another mean": ({"mean": [1, 2]}, "mean and std have 2 and 1 numbers"),
    "no mean": ({"mean": [float("nan")]}, "mean is nan: want a number from 0 to 255"),
    "no deviation": ({"std": [0]}, "std is 0: want a number"),
    "another dtype": ({"dtype": "object"}, "dtype is 'object': want float32"),
    "no block": ({"block": 7}, "block is 7: want text"),
    "a long block": ({"block": LONG}, "has 5,000 characters: want 4,096 at most"),
    "wide": (
        {"network": {"widths": [10_000] * 10, "repeats": 10}},
        "the network needs",
    ),
    "endless": ({"network": {"repeats": 10**12}}, "network.repeats is 1000000000000"),
    "a list": ({"network": []}, r"network is \[\]: want fields by name"),
    "an unknown field": ({"network": {"depth": 1}}, "network.depth"),
}


@pytest.mark.parametrize("fault", MANIFEST)
def test_the_manifest_is_not_believed(fault: str, flax: Path) -> None:
    changes, message = MANIFEST[fault]
    path = flax / "model.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, **changes}))
    _refused(flax, message)


def test_a_network_that_doubles_in_every_layer_is_refused(flax: Path) -> None:
    layers = ["1,1,3,0,0"] + [f"{i},6,0,{i - 2},{i - 1}" for i in range(2, 61)]
    network = NetworkConfig("small", (10_000,) * 10, 10, "native")
    path = flax / "model.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    values |= {"block": ";".join(layers), "network": network.__dict__}
    path.write_text(json.dumps(values))
    _refused(flax, "the network needs countless")


def test_a_graph_cannot_read_other_files(exports: Path, tmp_path: Path) -> None:
    import onnx
    from onnx import external_data_helper

    folder = shutil.copytree(exports / "onnx", tmp_path / "onnx")
    graph = onnx.load(folder / "model.onnx")
    external_data_helper.convert_model_to_external_data(
        graph, location="secret.bin", size_threshold=0
    )
    onnx.save(graph, folder / "model.onnx")
    assert (folder / "secret.bin").stat().st_size > 1000
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _refused(folder, "damaged")


def test_a_program_with_foreign_functions_is_refused(
    exports: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exports / "stablehlo", tmp_path / "stablehlo")
    result = jax.ShapeDtypeStruct((1, 10), jnp.float32)

    def harm(images: jax.Array) -> Any:
        return jax.ffi.ffi_call("harm", result)(images)

    allowed = [jax.export.DisabledSafetyCheck.custom_call("harm")]
    exported = jax.export.export(jax.jit(harm), disabled_checks=allowed)
    images = jax.ShapeDtypeStruct((1, 8, 8, 1), jnp.uint8)
    (folder / "model.stablehlo").write_bytes(exported(images).serialize())
    _refused(folder, "has a custom_call, which may run anything")


@pytest.mark.parametrize("name", ["onnx", "stablehlo"])
def test_a_file_of_another_network_is_refused(
    name: str, exports: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exports / name, tmp_path / name)
    path = folder / "model.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**values, "class_names": ["a", "b"]}))
    _refused(folder, r"logits are float32 of shape \(2, 10\): want float32 of shape")
    next(folder.glob("model.[os]*")).write_bytes(b"nothing")
    _refused(folder, "damaged")


@settings(
    max_examples=times(2000, 100),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_a_changed_manifest(flax: Path, data: st.DataObject) -> None:
    path = flax.parent / "model.json"
    if not path.exists():
        shutil.copy(flax / "model.json", path)
    values = json.loads(path.read_text(encoding="utf-8"))
    text = changed_json(data.draw, values)
    if data.draw(st.integers(0, 9)) == 0:
        cut = data.draw(st.integers(0, len(text)))
        text = text[:cut] + data.draw(st.text(max_size=3)) + text[cut + 1 :]
    (flax / "model.json").write_text(text, "utf-8", "surrogatepass")

    def program() -> str:
        predictor = loaders.load(flax)
        predictor.logits(np.zeros((1, *predictor.image_shape), np.uint8))
        return printed(foreign(" ".join(predictor.class_names)))

    attempt(program)
