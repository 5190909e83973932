"""Processes that end when the one that started them does.

Imports next to nothing, so that it is the first thing that such a process runs.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time


def end_with(master: int) -> None:
    """Have this process die when its master does, however that happens.

    Args:
      master: its process id.
    """
    set_death_signal = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
    if os.getppid() != master:
        os._exit(1)

    def watch() -> None:
        # Where there is no such signal.
        while os.getppid() == master:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="watch the master", daemon=True).start()


def skip_main_reimport() -> None:
    """Have processes that this one spawns not import its program again.

    They run functions of packages, which they import by name. The program would be
    imported before anything can tie them to their master, and that takes seconds.
    """
    main = sys.modules["__main__"]
    main.__spec__ = None
    if hasattr(main, "__file__"):
        del main.__file__
