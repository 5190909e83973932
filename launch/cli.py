"""Parts of every program: flags, one-line errors, exit statuses.

Status 0: done. 1: it could not be done. 2: the command is wrong. 130: Ctrl-C.
"""

import functools
import io
import logging
import os
import shlex
import shutil
import signal
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags
from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder
from rich.console import Console

from bqnn.config import Config, dictionary
from bqnn.errors import BqnnError, ConfigError, NscError, one_line, quote
from bqnn.own_layers import load_layers
from bqnn.report.foreign import PlainConsole
from launch import config_flag

flags.DEFINE_list(
    "layers",
    [],
    "Modules that register layers of your own (bqnn.register_layer), joined by commas; "
    "found from this directory.",
)


def run(main: Callable[[], None], config_class: type = Config) -> NoReturn:
    """Parse the flags, call `main`, and exit.

    Args:
      main: the program.
      config_class: of `--config`, where there is one.
    """
    parse = functools.partial(parse_flags, config_class=config_class)
    app.run(lambda _: guarded(main), flags_parser=parse)
    raise AssertionError("app.run does not return")


def run_on_files(main: Callable[[Sequence[str]], None]) -> NoReturn:
    """As `run`, for a program whose arguments besides flags are files, given to it."""
    parse = functools.partial(parse_flags, files=True)
    app.run(lambda argv: guarded(lambda: main(argv[1:])), flags_parser=parse)
    raise AssertionError("app.run does not return")


def parse_flags(
    argv: Sequence[str], config_class: type = Config, files: bool = False
) -> list[str]:
    """Parse flags; on a mistake print one line and exit with status 2.

    Args:
      argv: the command line.
      config_class: of `--config`, where there is one.
      files: whether arguments that are no flags are allowed; flags may follow them.

    Returns:
      The program's name, and the arguments that are no flags.
    """
    flags.FLAGS.set_gnu_getopt(files)
    if {"--help", "-h", "-help"} & set(argv):
        _show_help()
        sys.exit(0)
    try:
        config_flag.check_names(argv, config_class)
        rest = _parsed(argv)
        layers = flags.FLAGS["layers"].value or []
        if layers:
            sys.path.insert(0, os.getcwd())
        load_layers(layers)
        if config_flag.wants_list():
            config_flag.print_list(config_class)
            sys.exit(0)
    except BqnnError as error:
        fail(str(error), 2)
    except Exception as error:
        # A configuration file, or ml_collections, may raise anything.
        fail(f"{error} (see --help)", 2)
    if len(rest) > 1 and not files:
        fail(f"{quote(rest[1])} is no flag: want --name=value (see --help)", 2)
    return rest


def config_dict(config: Any) -> ConfigDict:
    """Turn a configuration into what `get_config` of a configuration file returns."""
    values = ConfigDict(dictionary.to_dict(config))
    # A field that may be None still has a type, which ml_collections must be told.
    with values.ignore_type():
        _put_placeholders(values, config)
    return values


def _put_placeholders(values: ConfigDict, config: Any) -> None:
    hints = typing.get_type_hints(type(config))
    for name, value in values.items():
        if isinstance(value, ConfigDict):
            _put_placeholders(value, getattr(config, name))
        elif value is None:
            values[name] = placeholder(typing.get_args(hints[name])[0])


def console() -> Console:
    """Make the console of a program, 120 columns wide where it is no terminal."""
    return PlainConsole(width=None if sys.stdout.isatty() else 120)


def progress(
    console: Console, what: str, jobs: int | None
) -> Iterator[Callable[[], None]]:
    """Yield once what advances a progress bar of `jobs` steps."""
    from rich.progress import Progress  # slow

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=jobs)
        yield lambda: bar.advance(task)


def command(program: str) -> str:
    """Write how to start a program from this directory, as this one was started."""
    layers = flags.FLAGS["layers"].value
    flag = shlex.join([f"--layers={','.join(layers)}"]) if layers else ""
    script = sys.orig_argv[1]
    if Path(script).name == "bqnn":
        return f"{_typed(script)} {program} {flag}".rstrip()
    return f"{_typed(sys.executable)} -m launch.{program} {flag}".rstrip()


def refuse(names: Sequence[str], why: str) -> None:
    """Refuse flags that would have no effect.

    Args:
      names: of flags.
      why: they would have none, as in "with --top".

    Raises:
      ConfigError: if one of them was given.
    """
    for name in names:
        if flags.FLAGS[name].present:
            raise ConfigError(f"--{name} has no effect {why}: leave it out")


class Interrupt:
    """Ctrl-C and SIGTERM as a question: call it to learn whether one came.

    A signal that raises anywhere, as inside a callback of XLA, can be swallowed or
    crash the process: one of twelve interrupted searches did. So work asks between its
    steps. A second signal raises at once.
    """

    def __init__(self) -> None:
        """Take over both signals."""
        self._came = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def __call__(self) -> bool:
        """Tell whether a signal came."""
        return self._came

    def _handle(self, *_: object) -> None:
        if self._came:
            raise KeyboardInterrupt
        self._came = True


def _unraisable(found: "sys.UnraisableHookArgs") -> None:
    """Show an error that nobody could catch, unless it follows from one reported.

    TensorStore's threads call back the event loop that asked for a write. After another
    write failed, that loop may be closed.
    """
    if str(found.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(found)


def _show_help() -> None:
    # Of itself, absl shows the flags that the program's own module defines.
    for module, defined in flags.FLAGS.flags_by_module_dict().items():
        for flag in defined if module.startswith("launch.") else ():
            flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.usage(shorthelp=True, writeto_stdout=True)


def _parsed(argv: Sequence[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.IllegalFlagValueError:
        # --list_config needs no required flag.
        if config_flag.wants_list():
            return []
        raise


def _typed(path: str) -> str:
    """Shorten the path of a command to what a user in this directory would type."""
    file = Path(path).absolute()
    found = shutil.which(file.name)
    if found and Path(found).absolute() == file:
        return file.name
    if file.is_relative_to(Path.cwd()):
        return shlex.quote(str(file.relative_to(Path.cwd())))
    return shlex.quote(str(file))


def fail(message: str, status: int) -> NoReturn:
    """Print one line to standard error and exit with `status`."""
    print(f"error: {one_line(message)}", file=sys.stderr)
    sys.exit(status)


def guarded(main: Callable[[], None]) -> None:
    """Call `main`; turn what it raises into one line and an exit status."""
    # Names of files may hold what is no Unicode.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    # jax tells of every backend that this machine lacks.
    logging.getLogger("jax").setLevel(logging.WARNING)
    # Orbax tells of every file, and logs pages about an error that it raises too.
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    # Matplotlib says that its first figure on a machine may take a moment.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    sys.unraisablehook = _unraisable
    try:
        main()
    except (NscError, ConfigError) as error:
        fail(str(error), 2)
    except BqnnError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        sys.exit(130)
