"""Compiled programs on disk, loaded without being traced again.

JAX's own compilation cache saves the compilation, but a program must be traced and
lowered before it can be looked up there: seconds for the units of a search. What is
stored here is looked up by what decides a program, so a second run starts at once. It
lies inside the directory of JAX's cache; where that is switched off, so is this.

A program is code: it is loaded only from a directory that nobody else may write to
(`files.make_private`), and only if its checksum is right.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import msgpack
from jax.experimental import serialize_executable
from jax.stages import Compiled, Lowered
from jax.tree_util import PyTreeDef, default_registry

from bqnn import files, runtime
from bqnn.engines.program_key import code_hash

Programs = tuple[Compiled, ...]

_MAGIC = b"bqnn programs 2\n"
_DIGEST_SIZE = hashlib.sha256().digest_size

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
      lower_all: traces and lowers the programs; the code of its module, and of all that
        this imports, is part of the key.
      *decides: all else that decides the programs, besides versions and device; its
        `repr` is the key.

    Raises:
      ConfigError: if others may write to the directory.
    """
    directory = jax.config.values["jax_compilation_cache_dir"]
    if not directory:
        return _compile(lower_all)
    folder = Path(directory) / "bqnn"
    files.make_private(folder)
    path = folder / _key(lower_all, decides)
    try:
        return _loads(path.read_bytes())
    except Exception:
        # Missing, cut short or changed: each is mended by compiling.
        programs = _compile(lower_all)
    with contextlib.suppress(OSError):
        files.write_atomic(path, _dumps(programs), durable=False)
    return programs


def _compile(lower_all: Callable[[], Iterable[Lowered]]) -> Programs:
    with runtime.no_persistent_cache():
        return tuple(lowered.compile(_OPTIONS) for lowered in lower_all())


def _key(lower_all: Callable[[], Any], decides: tuple[Any, ...]) -> str:
    function = lower_all.func if isinstance(lower_all, functools.partial) else lower_all
    code = code_hash(function.__module__)
    facts = (decides, runtime.versions(), runtime.device(), code)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _dumps(programs: Programs) -> bytes:
    parts = []
    for program in programs:
        executable, *trees = serialize_executable.serialize(program)
        parts.append((executable, *(tree.serialize_using_proto() for tree in trees)))
    data: bytes = msgpack.packb(parts)
    return _MAGIC + hashlib.sha256(data).digest() + data


def _loads(entry: bytes) -> Programs:
    """Load programs from an entry whose checksum is right.

    Raises:
      ValueError: if it is not.
    """
    start = len(_MAGIC) + _DIGEST_SIZE
    data = entry[start:]
    if entry[:start] != _MAGIC + hashlib.sha256(data).digest():
        raise ValueError("not an entry, or a damaged one")
    return tuple(_load(*parts) for parts in msgpack.unpackb(data))


def _load(executable: bytes, *trees: bytes) -> Compiled:
    structures = (
        PyTreeDef.deserialize_using_proto(default_registry, tree) for tree in trees
    )
    return serialize_executable.deserialize_and_load(executable, *structures)
