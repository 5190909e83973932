"""Directories that nobody else may write to: what is loaded from them is run."""

import contextlib
import os
import stat
from pathlib import Path

from bqnn.errors import ConfigError


def make(directory: Path) -> None:
    """Make a directory that its owner alone may enter, or check the one that is there.

    One that cannot be made is no error: nothing will be read from it.

    Raises:
      ConfigError: if somebody else than this user and root owns the directory, or may
        write to it.
    """
    with contextlib.suppress(OSError):
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
    try:
        found = directory.stat()
    except OSError:
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(
            f"{directory}, where compiled programs are kept, belongs to "
            f"another user (uid {found.st_uid}), whose code would run here: use a "
            "directory of your own (--program_cache or JAX_COMPILATION_CACHE_DIR)"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"{directory}, where compiled programs are kept, may be written by "
            "other users, whose code would run here: remove it, or use another "
            "(--program_cache or JAX_COMPILATION_CACHE_DIR)"
        )
