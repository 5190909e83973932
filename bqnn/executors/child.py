"""Child: a process that calls functions for this one, and dies with it.

The module imports next to nothing: the process is tied to its master before it imports
what the functions need, which takes seconds. A worker that was still importing used to
outlive a killed master by 2 to 10 seconds.
"""

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from bqnn.executors.parent_death import end_with, skip_main_reimport


class ChildDiedError(Exception):
    """The process has ended.

    Attributes:
      code: its exit status, or the negative number of the signal that it died of.
    """

    def __init__(self, process: int, code: int) -> None:
        """Take the process's id, and how it ended."""
        super().__init__(f"process {process} ended with {exit_name(code)}")
        self.code = code


class Child:
    """A process that does one call after the other.

    Calls wait in its pipe, so there may be several; answers come in their order.
    """

    def __init__(self, name: str) -> None:
        """Start the process; `name` shows in lists of processes."""
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(os.getpid(), theirs), name=name
        )
        with skip_main_reimport():
            self._process.start()
        theirs.close()

    @property
    def process(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Ask for `function(*args)`; returns at once.

        If the process has died, `answer` says so.
        """
        with contextlib.suppress(OSError):
            self._connection.send((function, args))

    def answer(self) -> Any:
        """Take the next answer; blocks until there is one (`has_answer`).

        Raises:
          ChildDiedError: if the process has ended.
          Exception: what the function raised; a note has the traceback.
        """
        try:
            result, error = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            raise ChildDiedError(self.process, code or 0) from None
        if error is not None:
            raise error
        return result

    def has_answer(self) -> bool:
        """Tell whether there is an answer, or the process has died."""
        return self._connection.poll()

    def is_stopped(self) -> bool:
        """Tell whether somebody stopped the process (SIGSTOP), where that is known."""
        if not hasattr(os, "waitid"):
            return False
        look = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.process, look) is not None
        return False

    def kill(self) -> None:
        """Kill the process; it has nothing to save."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def wait_for_any(children: Sequence[Child], seconds: float) -> None:
    """Wait until one of the children has an answer or has died, or for `seconds`."""
    wait([child._connection for child in children], timeout=seconds)


def exit_name(code: int) -> str:
    """Name the signal that a process died of, or its exit status."""
    if code >= 0:
        return f"status {code}"
    with contextlib.suppress(ValueError):
        code_name = signal.Signals(-code).name
        hint = ", which the system sends when memory runs out" if code == -9 else ""
        return f"{code_name}{hint}"
    return f"signal {-code}"


def _serve(master: int, connection: Connection) -> None:
    """Call what the master sends, until it hangs up."""
    end_with(master)
    # Ctrl-C is for the master, which ends its children by itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            function, args = connection.recv()
        except EOFError:
            return
        except Exception as error:  # the call cannot be unpickled
            _send_error(connection, _noted(error))
            continue
        try:
            connection.send((function(*args), None))
        except Exception as error:
            _send_error(connection, _noted(error))


def _send_error(connection: Connection, error: Exception) -> None:
    try:
        connection.send((None, error))
    except Exception:  # the error cannot be pickled
        text = RuntimeError(f"{type(error).__name__}: {error}")
        connection.send((None, _noted(text)))


def _noted(error: Exception) -> Exception:
    """Keep the traceback, which does not travel, as a note."""
    error.add_note("".join(traceback.format_exception(error)))
    return error
