"""`launch.show`: a block as tables and drawings, and many malformed ones."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from bqnn.config import NetworkConfig
from bqnn.final.selection import read_front
from bqnn.networks.plan import ImageSpec, plan
from bqnn.report import draw
from bqnn.report.table import si
from bqnn.space import nsc
from bqnn.space.actions import legal_codes
from bqnn.space.nsc import parse
from launch import cli, show
from tests.helpers import programs
from tests.helpers.blocks import ALL_TYPES, random_block
from tests.helpers.searches import GrowingExecutor, search_table, tiny_config
from tests.helpers.thorough import times

EXAMPLE = "1,1,3,0,0;2,2,3,1,0;3,5,0,1,2;4,1,5,0,0;5,7,0,0,0"


def _show(*arguments: str) -> int:
    """Run the program in this process; returns its exit status."""
    flags.FLAGS.unparse_flags()
    try:
        cli.parse_flags(["show", *arguments])
        cli.guarded(show.main)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_show_prints_layers_costs_and_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert _show(f"--block={EXAMPLE}", "--network=cifar") == 0
    text = capsys.readouterr().out
    assert "Max pooling 3x3" in text
    assert "32x32x32" in text
    assert "density 7/6 = 1.167" in text
    assert nsc.canonical_hash(parse(EXAMPLE)) in text
    for network in ("quickstart", "cifar", "imagenet"):
        assert network in text
    # 3x3x32x32 x 1024 of layer 1, and with its normalisation 9,216 + 64 parameters.
    assert re.search(r"1 .*Convolution 3x3.*9\.28 k .*9\.44 M", text)


def test_a_known_block_is_shown_with_its_source_and_form(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "resnet.dot"
    assert _show("--block=resnet", f"--out={path}") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "NSC: 1,1,3,0,0;2,1,3,1,0;3,5,0,0,2;4,7,0,0,0" in text
    assert "known as resnet: He, Zhang, Ren and Sun, Identity mappings" in text
    assert "x + f(x), where f is two 3x3 convolutions." in text
    assert "3: Add" in path.read_text()
    assert _show("--block=1,1,3,0,0") == 0
    assert "known as" not in capsys.readouterr().out


def test_a_front_is_shown_and_its_block_within_a_limit(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    search_table(tmp_path, tiny_config(), GrowingExecutor())
    search, front = f"--search={tmp_path}", read_front(tmp_path)
    assert _show(search) == 0
    text = capsys.readouterr().out
    assert f"The front: {len(front.found)} blocks, none beaten in accuracy and" in text
    assert "hypervolume 0." in text and "NSC: " not in text
    second = front.found[1].candidate
    limit = f"--limit={second.network_flops}"
    assert _show(search, limit) == 0
    text = capsys.readouterr().out
    assert f"NSC: {second.block}" in text and "The front: 2 blocks" in text
    both = "--cost=flops", "--cost=params"
    assert _show(search, *both, limit, f"--limit={second.network_params}") == 0
    text = capsys.readouterr().out
    assert "none beaten in accuracy, flops and params" in text and "NSC: " in text
    assert _show(search, *both) == 0
    line = " ".join(capsys.readouterr().out.split())
    assert "within a limit on flops and one on params, on average over limits" in line
    mistakes = {
        (): "want --block=NSC or --search=DIR, one of them",
        (search, "--block=resnet"): "want --block=NSC or --search=DIR, one of them",
        (search, "--out=b.svg"): "--out has no effect with --search, without --limit",
        (search, limit, limit): "2 limits: want one for flops",
        (search, "--limit=1"): "no block has 1 flops or less: the least is ",
    }
    for arguments, message in mistakes.items():
        assert _show(*arguments) != 0
        assert message in capsys.readouterr().err


def test_it_runs_as_a_program() -> None:
    shown = programs.run("show", f"--block={EXAMPLE}")
    assert (shown.status, shown.err) == (0, "")
    assert nsc.canonical_hash(parse(EXAMPLE)) in shown.out


@pytest.mark.parametrize("suffix", ["svg", "png", "dot"])
def test_show_draws(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"block.{suffix}"
    assert _show(f"--block={EXAMPLE}", f"--out={path}") == 0
    data = path.read_bytes()
    if suffix == "png":
        assert data.startswith(b"\x89PNG")
        return
    text = data.decode()
    for label in ("Input", "1: Convolution 3x3", "3: Add", "Output (concat)"):
        assert label in text


def test_a_network_is_drawn_stage_by_stage(tmp_path: Path) -> None:
    path = tmp_path / "network.dot"
    arguments = "--network=imagenet", f"--network_out={path}"
    assert _show(f"--block={EXAMPLE}", *arguments) == 0
    labels = re.findall(r'label="(.*?)"', path.read_text())
    assert labels[:4] == [
        "Image 224x224x3",
        "Stem: conv 7x7 112x112x64",
        "Max pooling 3x3 56x56x64",
        "3 x block 56x56x64",
    ]
    assert [label for label in labels if "block" in label][-1] == "3 x block 7x7x512"
    assert labels[-1] == "Head: logits 1x1x1000"
    edges = re.findall(r"(\d+) -> (\d+);", path.read_text())
    assert edges == [(str(a), str(a + 1)) for a in range(len(labels) - 1)]


@pytest.mark.parametrize(
    ("wiring", "stage"),
    [
        # Stem 1; block 2, sum 3, ...; pooling 8.
        ("residual", "1-2 1-3 2-3 3-4 3-5 4-5 5-6 5-7 6-7 7-8"),
        # Stem 1; blocks 2 to 4; pooling 5.
        ("dense", "1-2 1-3 2-3 1-4 2-4 3-4 4-5"),
    ],
)
def test_wired_blocks_are_drawn_one_by_one(wiring: str, stage: str) -> None:
    images, few = ImageSpec(8, 8, 1, 10), NetworkConfig(repeats=3, wiring=wiring)
    edges = draw.network_drawing(plan(parse(EXAMPLE), few, images)).edges
    assert " ".join(f"{a}-{b}" for a, b in edges[1:]).startswith(stage)
    many = dataclasses.replace(few, repeats=7)
    boxes = draw.network_drawing(plan(parse(EXAMPLE), many, images)).boxes
    assert f"7 x block, {wiring}\n8x8x32" in [label for label, _ in boxes]


def test_show_knows_the_wiring(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "network.dot"
    arguments = "--network=cifar", "--wiring=residual", f"--network_out={path}"
    assert _show(f"--block={EXAMPLE}", *arguments) == 0
    out = capsys.readouterr().out
    row = r"wiring .*Add.*input, output.*32x32x32"
    assert re.search(row, out)
    assert re.search(r"cifar │ 4 │", out)
    assert path.read_text().count("Add 32x32x32") == 4


def test_show_chooses_the_blocks_per_stage_by_a_budget(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # 24,452 parameters outside the blocks, 193,984 in a block of each stage.
    assert _show("--block=1,1,3,0,0", "--network=cifar", "--fit_params=3000000") == 0
    assert re.search(r"cifar │ 15 │ +2.93 M │", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((f"--block={EXAMPLE}", "--out=block.jpg"), "ends in .svg, .png, .dot"),
        ((f"--block={EXAMPLE}", "--out=/nowhere/b.svg"), "cannot be written"),
        ((f"--block={EXAMPLE}", "--blok=1"), "Unknown command line flag 'blok'"),
        ((f"--block={EXAMPLE}", "--network=mnist"), "quickstart|cifar|imagenet"),
        ((EXAMPLE,), "is no flag: want --name=value"),
        (("--block=resnett",), "no known block 'resnett': want vgg, resnet, bottl"),
        ((f"--block={EXAMPLE}", "spare"), "'spare' is no flag"),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _show(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: ")
    assert message in error


def _is_block(text: str) -> bool:
    """Judge by the list of legal codes, not by the parser."""
    parts = [part.split(",") for part in text.split(";")]
    fields = [[field.strip() for field in part] for part in parts]
    if not all(re.fullmatch("[0-9]+", field) for part in fields for field in part):
        return False
    for index, part in enumerate(fields, 1):
        numbers = [int(field) for field in part]
        if len(numbers) == 5 and numbers[1] in (5, 6):
            numbers[3:] = sorted(numbers[3:])  # the mirror image reads as well
        if numbers[1:3] in ([7, 1], [7, 2]):
            numbers[2] = 0  # a Terminal may say how blocks are connected
        legal = [[c.index, c.type, c.kernel, c.pred1, c.pred2] for c in _codes(index)]
        if numbers not in legal:
            return False
        if numbers[1] == 7 and index < len(fields):
            return False
    return True


_CODES = {index: legal_codes(index, ALL_TYPES) for index in range(1, 30)}


def _codes(index: int) -> list[nsc.Layer]:
    return _CODES[index]


def _mutate(text: str, rng: np.random.Generator) -> str:
    """Break a text in one of the ways people and programs break it."""
    index = int(rng.integers(len(text)))
    match rng.integers(6):
        case 0:
            return text[:index] + text[index + 1 :]
        case 1:
            alphabet = "0123456789,;.-+ \n\teEx\u0663\u00e9'\"%{}[]"
            return text[:index] + alphabet[rng.integers(len(alphabet))] + text[index:]
        case 2:
            return text[:index] + str(rng.integers(10)) + text[index + 1 :]
        case 3:
            layers = text.split(";")
            del layers[rng.integers(len(layers))]
            return ";".join(layers)
        case 4:
            layers = text.split(";")
            a, b = rng.integers(len(layers), size=2)
            layers[a], layers[b] = layers[b], layers[a]
            return ";".join(layers)
        case _:
            return text[:index]


def test_malformed_blocks_give_one_line_and_status_2_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    while refused < times(1000, 200):
        text = nsc.format(random_block(rng, int(rng.integers(1, 24))))
        for _ in range(rng.integers(1, 4)):
            text = _mutate(text, rng) or ";"
        if _is_block(text):
            continue
        refused += 1
        assert _show(f"--block={text}") == 2, text
        out, error = capsys.readouterr()
        assert out == ""
        assert error.startswith("error: "), text
        assert error.count("\n") == 1, text
        assert len(error) < 300, text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1 k"), (36_864, "36.9 k"), (999_600, "1 M"),
     (2_500_000_000, "2.5 G"), (10**20, "1e+20"), (3 * 10**400, "3e+400")],
)  # fmt: skip
def test_counts_are_written_with_three_digits(value: int, text: str) -> None:
    assert si(value) == text
