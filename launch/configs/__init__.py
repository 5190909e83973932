"""Configurations that ship: `--config=NAME`, from any directory."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """List the names of the configurations."""
    return sorted(path.stem for path in _FOLDER.glob("[a-z]*.py"))


def path(name: str) -> Path:
    """Return the file of a configuration."""
    return _FOLDER / f"{name}.py"
