"""How often tests that kill repeat: a few times for every change, more for a release.

`make thorough` sets BQNN_THOROUGH.
"""

import os


def times(thorough: int, usual: int) -> int:
    """Choose how often to repeat."""
    return thorough if os.environ.get("BQNN_THOROUGH") else usual
