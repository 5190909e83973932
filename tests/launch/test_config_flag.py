"""`--config`: names, files, and the list of its fields."""

import dataclasses
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bqnn.config import Config, dictionary
from bqnn.final.config import FinalConfig
from launch import configs, fields
from tests.helpers.programs import answers


def _names(config: Any, prefix: str = "") -> Iterator[str]:
    for name, value in vars(config).items():
        if dataclasses.is_dataclass(value):
            yield from _names(value, f"{prefix}{name}.")
        else:
            yield prefix + name


@pytest.mark.parametrize("config", [Config(), FinalConfig()])
def test_every_field_has_a_meaning(config: Any) -> None:
    found = list(fields.fields(config, config))
    assert {field.name for field in found} == {*_names(config)}
    assert [field.name for field in found if len(field.meaning) < 5] == []
    meanings = {field.name: field.meaning for field in found}
    # What lies over two lines is whole; what a subclass says anew goes before.
    assert meanings["network.repeats"] == "N, blocks per stage."
    ending = {Config: "(how much is ours).", FinalConfig: "0 trains on all of it."}
    assert meanings["data.validation"].endswith(ending[type(config)])


@pytest.mark.parametrize("name", configs.names())
def test_what_ships_is_a_configuration(name: str) -> None:
    values = importlib.import_module(f"launch.configs.{name}").get_config().to_dict()
    kinds = [Config, FinalConfig]
    assert any(_fits(values, kind) for kind in kinds)


def _fits(values: Any, kind: type) -> bool:
    try:
        dictionary.from_dict(values, kind)
    except ValueError:
        return False
    return True


def test_fields_are_listed_with_the_values_of_the_configuration(tmp_path: Path) -> None:
    listing = "--list_config", "--config=quickstart", "--config.agent.gamma=0.5"
    whole, usual = answers("search", [listing, ["--list_config"]], tmp_path)
    assert (whole.status, whole.err) == (usual.status, usual.err) == (0, "")
    for name in _names(Config()):
        assert f"--config.{name}" in whole.out
        assert f"--config.{name}" in usual.out
    assert "--config.agent.gamma=0.5\n    discount. (The default: 1.0.)\n" in whole.out
    assert "--config.network.widths='(8, 16, 32)'\n" in whole.out
    assert "--config.data.data_dir\n" in whole.out
    assert "The default" not in usual.out


def test_a_configuration_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def get_config():\n    raise TypeError('oh')\n")
    (tmp_path / "bare.py").write_text("def get_config():\n    return {}\n")
    names = "none", "none.py", "mine.py", "bare.py"
    tried = [[f"--config={name}", "--workdir=none"] for name in names]
    none, file, mine, bare = answers("search", tried, tmp_path)
    for answer in (none, file, mine, bare):
        assert answer.status == 2
        assert answer.err.startswith("error: ") and answer.err.count("\n") == 1
    for answer in (none, file):
        assert "there is no such file" in answer.err
        assert ", ".join(configs.names()) in answer.err
    assert "--config=mine.py: TypeError: oh" in mine.err
    assert "Traceback" not in mine.err
    assert "cannot read the configuration file" in bare.err
