"""A process that calls functions for this one."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from bqnn.executors.child import Child, ChildDiedError, wait_for_any
from tests.helpers.children import answer_of


@pytest.fixture
def child() -> Iterator[Child]:
    """A process that has nothing to do."""
    child = Child("child")
    yield child
    child.kill()


def _unlike_any() -> object:
    return threading.Lock()


def _fail() -> None:
    raise LookupError("on purpose")


def test_answers_come_in_the_order_of_the_calls(child: Child) -> None:
    child.call(divmod, 7, 2)
    child.call(os.getppid)
    assert answer_of(child) == (3, 1)
    assert answer_of(child) == os.getpid()
    assert not child.has_answer()


def test_an_error_travels_with_its_traceback_and_the_child_goes_on(
    child: Child,
) -> None:
    child.call(_fail)
    with pytest.raises(LookupError, match="on purpose") as raised:
        answer_of(child)
    assert "in _fail" in raised.value.__notes__[0]
    child.call(_unlike_any)
    with pytest.raises(TypeError, match="pickle"):
        answer_of(child)
    child.call(len, "abc")
    assert answer_of(child) == 3


@pytest.mark.parametrize(
    ("function", "argument", "how"),
    [(os._exit, 3, "status 3"), (signal.raise_signal, signal.SIGSEGV, "SIGSEGV")],
)
def test_its_death_is_an_answer(
    child: Child, function: object, argument: int, how: str
) -> None:
    child.call(function, argument)  # type: ignore[arg-type]
    with pytest.raises(ChildDiedError, match=f"ended with {how}") as raised:
        answer_of(child)
    assert raised.value.code in (3, -signal.SIGSEGV)
    # Whoever calls it before he has heard of that hears of it then.
    child.call(len, "abc")
    with pytest.raises(ChildDiedError):
        answer_of(child)


def test_one_of_several_is_waited_for(child: Child) -> None:
    other = Child("other")
    try:
        other.call(signal.pause)
        child.call(len, "abc")
        wait_for_any([other, child], 60)
        assert (child.has_answer(), other.has_answer()) == (True, False)
    finally:
        other.kill()


def test_it_is_known_whether_it_was_stopped(child: Child) -> None:
    for number, stopped in ((signal.SIGSTOP, True), (signal.SIGCONT, False)) * 2:
        os.kill(child.process, number)
        while child.is_stopped() != stopped:
            wait_for_any([child], 0.01)
    child.call(len, "abc")
    assert answer_of(child) == 3
    child.kill()
    assert not child.is_stopped()
