"""Head of a Ray cluster, watched: Ray ends a process that has lost it, unasked."""

import socket
import time
from typing import NoReturn

from bqnn.errors import SearchError

# Seconds without an answer after which the head is given up. Ray waits for 60, and then
# ends this process, whatever it is doing.
_PATIENCE = 30.0

# Seconds that it may take to answer.
_ANSWER = 2.0


class Head:
    """The process that knows the nodes of a cluster.

    Attributes:
      lost: whether it was given up. Calls of Ray that need it then hang.
    """

    def __init__(self, address: str) -> None:
        """Take its `host:port`."""
        host, _, port = address.rpartition(":")
        self._address = (host.strip("[]"), int(port))
        self._answered = time.monotonic()
        self.lost = False

    def answers(self) -> bool:
        """Tell whether it answers now.

        Raises:
          SearchError: if it has not answered for long.
        """
        try:
            socket.create_connection(self._address, _ANSWER).close()
        except OSError as error:
            silent = time.monotonic() - self._answered
            if silent > _PATIENCE:
                self.give_up(f"no answer for {silent:.0f} s, {error}")
            return False
        self._answered = time.monotonic()
        return True

    def give_up(self, why: str) -> NoReturn:
        """Do without the cluster from now on.

        Raises:
          SearchError: always.
        """
        self.lost = True
        host, port = self._address
        raise SearchError(
            f"lost the head of the Ray cluster at {host}:{port} ({why}); what was "
            "recorded is safe: start the cluster and run the same command again"
        )
