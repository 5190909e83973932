"""`launch.export`: writes an export where it is told, and says in one line what not."""

import shutil
from pathlib import Path

from tests.helpers.programs import answers, run


def test_what_cannot_be_exported_is_one_line(tmp_path: Path) -> None:
    results = answers(
        "export",
        [
            (f"--workdir={tmp_path / 'none'}", "--format=flax"),
            (f"--workdir={tmp_path}", "--format=tflite"),
            (f"--workdir={tmp_path}", "--format=flax", "--checkpoint=first"),
            ("--format=flax",),
        ],
    )
    assert [found.status for found in results] == [1, 2, 2, 2]
    want = ("no training", "flax|onnx|stablehlo", "last|best", "--workdir")
    for found, message in zip(results, want, strict=True):
        assert (found.out, found.err.count("\n")) == ("", 1)
        assert message in found.err


def test_an_export_is_written_where_it_is_told(trained: Path, tmp_path: Path) -> None:
    workdir, other = shutil.copytree(trained, tmp_path / "run"), tmp_path / "other"
    commands = {
        workdir / "export" / "flax": ("--format=flax",),
        other: ("--format=stablehlo", f"--out={other}"),
    }
    for folder, flags in commands.items():
        found = run("export", f"--workdir={workdir}", *flags)
        assert (found.status, found.err, found.out.count("\n")) == (0, "", 1)
        assert found.out.startswith(f"exported: {folder} (logits differ by ")
        assert (folder / "model.json").is_file()
