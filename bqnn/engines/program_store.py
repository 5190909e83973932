"""Program store: compiled programs on disk, loaded without tracing them again.

JAX's own compilation cache saves the compilation, but a program must be traced and
lowered before it can be looked up there: 6 s for the 111 programs of the quickstart,
1 s from here. The key of this store is what decides a program: its code, versions,
device and arguments. The store lies inside the directory of JAX's cache; where that is
switched off, so is the store. JAX's own cache keeps all other programs but whole
candidates, which are kept in neither.

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

# jaxlib cannot serialise a program that it has read from JAX's cache: the copy fails
# with "function not found" when it is called. This option changes nothing but JAX's
# cache key, so that programs of this store are never read from there.
_OPTIONS: dict[str, str | bool] = {"xla_cpu_enable_fast_math": False}


def load_or_compile(
    lower_all: Callable[[], Iterable[Lowered]], *decides: Any
) -> Programs:
    """Load programs, or compile and keep them.

    Several processes may do so at once: files appear whole or not at all. A file that
    cannot be read is replaced. If a file cannot be written, nothing is kept.

    Args:
      lower_all: traces and lowers the programs. The code of its module, and of all
        modules that this imports, is part of the key.
      *decides: everything else that decides the programs, besides versions and device.
        Its `repr` is part of the key.

    Raises:
      ConfigError: if others may write to the directory.
    """
    path = _path(lower_all, decides)
    if path is None:
        return _compile(lower_all)
    files.make_private(path.parent)
    try:
        return _loads(path.read_bytes())
    except Exception:
        # The file is missing, truncated or changed.
        programs = _compile(lower_all)
    with contextlib.suppress(OSError):
        files.write_atomic(path, _dumps(programs), durable=False)
    return programs


def is_kept(lower_all: Callable[[], Iterable[Lowered]], *decides: Any) -> bool:
    """Tell whether programs are on disk; arguments as of `load_or_compile`."""
    path = _path(lower_all, decides)
    return path is not None and path.is_file()


def _path(lower_all: Callable[[], Any], decides: tuple[Any, ...]) -> Path | None:
    """Name the file of programs; None if nothing is kept."""
    directory = jax.config.values["jax_compilation_cache_dir"]
    return Path(directory) / "bqnn" / _key(lower_all, decides) if directory else None


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
    """Load programs from an entry.

    Raises:
      ValueError: if its checksum is wrong.
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
