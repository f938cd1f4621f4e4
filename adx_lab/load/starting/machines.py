"""How a load is spread over processes and machines, and where its master listens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace

from adx_lab.errors import UsageError
from adx_lab.ports import HOST

ANY_PORT = f"{HOST}:0"
JOIN_S = 600.0
"""How long a master waits for workers that somebody starts on other machines."""

_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Machines:
    """How the load is spread.

    Attributes
    ----------
    processes
        Locust processes on this machine, besides the master that more than one need.
    expect
        Workers that come from other machines; then this process is their master.
    bind
        Address and port at which the master listens; port 0 is a free one.
    """

    processes: int = 1
    expect: int = 0
    bind: str = ANY_PORT

    def words(self) -> Iterator[str]:
        """Yield Locust's options for it."""
        host, port = self.place()
        if self.expect:
            yield from ("--master", "--expect-workers", str(self.expect))
            yield from ("--expect-workers-max-wait", f"{JOIN_S:g}")
        elif self.processes > 1:
            yield from ("--processes", str(self.processes), "--master-host", HOST, "--master-port", port)
        else:
            yield from ("--processes", "0")  # whatever a locust.conf says
            return
        yield from ("--master-bind-host", host, "--master-bind-port", port)

    @property
    def alone(self) -> bool:
        """Whether one process makes the whole load."""
        return self.processes == 1 and not self.expect

    def settled(self) -> Machines:
        """Return the same with a port that is free now, where none was asked for.

        Raises
        ------
        UsageError
            The place is no HOST:PORT, or this machine can't listen there.
        """
        host, port = self.place()
        if int(port):
            return self
        try:
            with socket.socket() as probe:
                probe.bind((host, 0))
                return replace(self, bind=f"{host}:{probe.getsockname()[1]}")
        except OSError as error:
            raise UsageError(f"nothing can listen at --bind {self.bind}: {error.strerror}") from error

    def place(self) -> tuple[str, str]:
        """Return where the master listens.

        Raises
        ------
        UsageError
            That is no HOST:PORT.
        """
        host, _, port = self.bind.rpartition(":")
        if not host or not port.isdecimal() or int(port) > _LAST_PORT:
            raise UsageError(f"--bind {self.bind} is not HOST:PORT", mend=f"give one such as {HOST}:5557")
        return host, port
