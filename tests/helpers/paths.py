"""Paths of the files that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "tests" / "assets"
SHARED = ROOT.parent / "shared"
"""Real data beside the repository; tests that read it are skipped where it is not."""
