"""All programs as one command: `bqnn search ...` is `python -m launch.search ...`."""

import ast
import runpy
import sys
from pathlib import Path

from bqnn.errors import quote

PROGRAMS = (
    "search",
    "watch",
    "report",
    "replay",
    "calibrate",
    "rescore",
    "show",
    "train",
    "evaluate",
    "export",
    "predict",
    "compare",
    "oracle",
    "latency",
    "bench",
)


def main() -> None:
    """Run the program that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in ("--help", "-h", "-help"):
        print(_usage())
    elif name in PROGRAMS:
        del sys.argv[1]
        # As `python -m` does, so that whatever asks for the main module finds it.
        runpy.run_module(f"launch.{name}", run_name="__main__", alter_sys=True)
    else:
        what = f"there is no program {quote(name)}" if name else "no program given"
        known = ", ".join(PROGRAMS)
        print(f"error: {what}: want one of {known} (see --help)", file=sys.stderr)
        sys.exit(2)


def _usage() -> str:
    lines = [f"  bqnn {name:<10}{_purpose(name)}" for name in PROGRAMS]
    return "\n".join(["Each takes --help.", "", *lines])


def _purpose(program: str) -> str:
    """Read the first line of a program: importing it would take seconds."""
    source = Path(__file__).with_name(f"{program}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


if __name__ == "__main__":
    main()
