"""Child processes that call functions: waiting for what they answer."""

from typing import Any

from bqnn.executors.child import Child, wait_for_any


def answer_of(child: Child) -> Any:
    """Wait for the answer to the oldest call, and return it."""
    while not child.has_answer():
        wait_for_any([child], 60)
    return child.answer()
