"""Parent death: a child process ends when its master does.

The module imports next to nothing, so that a child can call it first.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any


def end_with(master: int) -> None:
    """Have this process die when its master dies, of whatever cause.

    Args:
      master: its process id.
    """
    set_death_signal = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
    if os.getppid() != master:
        os._exit(1)

    def watch() -> None:
        # For systems without such a signal.
        while os.getppid() == master:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="watch the master", daemon=True).start()


@contextlib.contextmanager
def skip_main_reimport() -> Iterator[None]:
    """Keep processes that are spawned meanwhile from importing the main program again.

    They run functions of packages, which they import by name. The main program would
    be imported first, for seconds, before anything can tie them to their master; and a
    script without a `__main__` guard would start itself again.
    """
    main: dict[str, Any] = sys.modules["__main__"].__dict__
    before: dict[str, Any] = {
        name: main[name] for name in ("__spec__", "__file__") if name in main
    }
    main["__spec__"] = None
    main.pop("__file__", None)
    try:
        yield
    finally:
        main.update(before)
