"""The flag `--config`: a configuration that ships or a file, and its fields as flags.

`--config=quickstart --config.agent.alpha=0.05`; `--list_config` prints all fields.
"""

import shutil
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from absl import flags
from ml_collections import config_flags

from bqnn.config import dictionary
from bqnn.errors import ConfigError, quote
from launch import configs, fields

C = TypeVar("C")


class _ShippedOrFile(flags.ArgumentParser[Any]):
    """Parser of the name of a configuration that ships, or of a file."""

    def __init__(self, files: flags.ArgumentParser[Any]) -> None:
        """Take the parser of files."""
        self._files = files

    def flag_type(self) -> str:
        """Name the type of the flag, for `--help`."""
        return self._files.flag_type()

    def parse(self, path: str) -> Any:
        """Read a configuration.

        Raises:
          ValueError: if there is no such name or file, or if the file raises an error.
        """
        name, colon, argument = path.partition(":")
        if name in configs.names():
            name = str(configs.path(name))
        elif not Path(name).exists():
            raise ValueError(
                "there is no such file: want one, or a configuration that ships: "
                + ", ".join(configs.names())
            )
        try:
            return self._files.parse(f"{name}{colon}{argument}")
        except Exception as error:
            # ml_collections wraps some errors in another one that holds a traceback.
            cause = error.__context__ or error
            raise ValueError(f"{type(cause).__name__}: {cause}") from error


def define(
    what: str, default: str | None = None, required: bool = True
) -> flags.FlagHolder[Any]:
    """Define `--config` and `--list_config`.

    Args:
      what: the configuration is of, for `--help`.
      default: the name of one that ships.
      required: whether the flag must be given, if there is no default.
    """
    holder = config_flags.DEFINE_config_file(
        "config",
        default and str(configs.path(default)),
        f"Configuration of the {what}: one that ships ({', '.join(configs.names())}), "
        "or a Python file with a get_config like theirs. --config.SECTION.FIELD=VALUE "
        "sets one field; --list_config prints all.",
    )
    given = flags.FLAGS["config"]
    given.parser = _ShippedOrFile(given.parser)
    flags.DEFINE_boolean(
        "list_config",
        False,
        "Print the fields of the configuration with value and meaning, and end.",
    )
    if default is None and required:
        flags.mark_flag_as_required("config")
    return holder


def config_of(flag: flags.FlagHolder[Any], config_class: type[C]) -> C:
    """Turn the value of `--config` into a validated configuration.

    Raises:
      ConfigError: if the file cannot be read, or a value is out of its range.
    """
    return _built(flag.value, config_class)


def wants_list() -> bool:
    """Tell whether `--list_config` was given, once flags are parsed."""
    values = flags.FLAGS
    return values.is_parsed() and "list_config" in values and values.list_config


def print_list(config_class: type) -> None:
    """Print the fields of `--config`, or of the defaults if it was not given."""
    default, given = config_class(), flags.FLAGS["config"].value
    config = default if given is None else _built(given, config_class)
    width = min(shutil.get_terminal_size().columns, 100)
    print(*fields.described(config, default, width), sep="\n")


def check_names(argv: Sequence[str], config_class: type) -> None:
    """Reject an unknown `--config.section.field` with the names that exist."""
    for argument in argv:
        name = argument.lstrip("-").partition("=")[0]
        if argument.startswith("--") and name.startswith("config."):
            _check_name(name, name.split(".")[1:], config_class)


def _built(value: Any, config_class: type[C]) -> C:
    try:
        values = value.to_dict()
    except Exception as error:
        # ml_collections reads the file late, when its values are used.
        raise ConfigError(
            f"--config: cannot read the configuration file: {error}"
        ) from error
    return dictionary.from_dict(values, config_class)


def _check_name(name: str, path: Sequence[str], section: Any) -> None:
    where = "the configuration"
    for part in path:
        known = typing.get_type_hints(section)
        if part not in known:
            raise ConfigError(
                f"--{name}: {where} has no field {quote(part)}, only {', '.join(known)}"
            )
        where, section = part, known[part]
