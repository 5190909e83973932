"""Compiled programs on disk, loaded without being traced again.

JAX's own compilation cache saves the compilation, but a program must be traced and
lowered before it can be looked up there: seconds for the units of a search. What is
stored here is looked up by what decides a program, so a second run starts at once. It
lies inside the directory of JAX's cache; where that is switched off, so is this.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable
from jax.stages import Compiled, Lowered

from bqnn import runtime

Programs = tuple[Compiled, ...]


# jaxlib serialises a program wrongly that it has itself read from a cache: "function
# not found" when it is called. This option changes nothing but JAX's cache key, and so
# keeps programs that are stored here from being read there.
_OPTIONS: dict[str, str | bool] = {"xla_cpu_enable_fast_math": False}


def load_or_compile(
    lower_all: Callable[[], Iterable[Lowered]], *decides: Any
) -> Programs:
    """Load programs, or compile and keep them.

    Several processes may do so at once: files appear whole or not at all. One that
    cannot be read is replaced; one that cannot be written is done without.

    Args:
      lower_all: traces and lowers them.
      decides: all that decides the programs besides code, versions and device; its
        `repr` is the key.
    """
    directory = jax.config.values["jax_compilation_cache_dir"]
    if not directory:
        return _compile(lower_all)
    path = Path(directory) / "bqnn" / _key(decides)
    try:
        return _loads(path.read_bytes())
    except Exception:
        # Missing or cut short: each is mended by compiling.
        programs = _compile(lower_all)
    with contextlib.suppress(OSError):
        _write(path, _dumps(programs))
    return programs


def _compile(lower_all: Callable[[], Iterable[Lowered]]) -> Programs:
    with runtime.unkept():
        return tuple(lowered.compile(_OPTIONS) for lowered in lower_all())


def _key(decides: tuple[Any, ...]) -> str:
    facts = (decides, runtime.versions(), runtime.device(), _code())
    return hashlib.sha256(repr(facts).encode()).hexdigest()


@functools.lru_cache(maxsize=1)
def _code() -> str:
    """Hash the code of this package: other code, other programs."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sha.update(path.read_bytes())
    return sha.hexdigest()


def _dumps(programs: Programs) -> bytes:
    return pickle.dumps([serialize_executable.serialize(p) for p in programs])


def _loads(data: bytes) -> Programs:
    load = serialize_executable.deserialize_and_load
    return tuple(load(*parts) for parts in pickle.loads(data))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            file.write(data)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
