"""Program key: a hash of the code of a module and of all modules that it imports."""

import ast
import functools
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]

# Programs are compiled in threads, and `ast.parse` of Python 3.11 fails in two at once
# ("AST constructor recursion depth mismatch").
_parsing = threading.Lock()


def code_hash(module: str) -> str:
    """Hash the text of a module of this package and of those that it imports.

    The modules are found from the import statements, in functions too. A list written
    by hand would miss one some day, and programs of old code would be loaded.

    Args:
      module: its full name, such as `bqnn.engines.unit_programs`.

    Returns:
      64 hexadecimal digits; for a module of another package, the hash of no text.
    """
    with _parsing:
        return _code_hash(module)


@functools.cache
def _code_hash(module: str) -> str:
    sha = hashlib.sha256()
    for path in sorted(deciding_files(module)):
        sha.update(path.read_bytes())
    return sha.hexdigest()


def deciding_files(module: str) -> set[Path]:
    """List the files of `module` and of what it imports, directly and indirectly."""
    found: set[Path] = set()
    waiting = [_file_of(module)]
    while waiting:
        path = waiting.pop()
        if path is not None and path not in found:
            found.add(path)
            waiting += map(_file_of, _imports(path))
    return found


def _imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, but for those only type checkers see."""
    tree = ast.parse(path.read_bytes())
    seen_by_checkers = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in seen_by_checkers:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                # A module that is imported by name does not depend on its package.
                yield name if _file_of(name) else node.module


def _file_of(module: str) -> Path | None:
    """Find the file of a module of this package; None if there is none."""
    package, *names = module.split(".")
    if package != _PACKAGE.name:
        return None
    path = _PACKAGE.joinpath(*names)
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return file
    return None
