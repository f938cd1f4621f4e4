"""Ask a service's Python processes where their memory was allocated."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from adx_lab.analysis.functions.growth import Place
from adx_lab.errors import MeasurementError
from adx_lab.settings import ServiceSettings

HOOK = Path(__file__).with_name("hook")
_FOLDER = "ADX_LAB_ALLOCATIONS"
_PATH = "PYTHONPATH"
_ANSWER_S = 30.0
_LOOK_EVERY_S = 0.05


def counted(service: ServiceSettings, folder: Path) -> ServiceSettings:
    """Return how a service is started so that its Python processes count what they allocate."""
    env = service.start.env
    path = env.get(_PATH, "{source}:{source}/src")
    told = {**env, _PATH: f"{HOOK}:{path}", _FOLDER: str(folder)}
    return msgspec.structs.replace(service, start=msgspec.structs.replace(service.start, env=told))


@dataclass
class Allocations:
    """One variant's processes, which look into a folder for what is asked."""

    folder: Path
    _asked: int = field(default=0)

    def read(self) -> Mapping[Place, int]:
        """Return the bytes that are allocated now, by place, of all its processes.

        Raises
        ------
        MeasurementError
            None of its processes is one of Python, or one does not answer.
        """
        self._asked += 1
        ask = self.folder / f"{self._asked}.ask"
        ask.touch()
        try:
            return self._await()
        finally:
            ask.unlink()
            # Not before: a process whose answer is gone while it is still asked answers once more.
            for answer in self.folder.glob(f"{self._asked}.*.json"):
                answer.unlink()

    def _await(self) -> Mapping[Place, int]:
        here = [int(one.stem) for one in self.folder.glob("*.here") if psutil.pid_exists(int(one.stem))]
        if not here:
            raise MeasurementError("none of the service's processes is one of Python: none tells its memory")
        total: Counter[Place] = Counter()
        deadline = time.monotonic() + _ANSWER_S
        for pid in here:
            answer = self.folder / f"{self._asked}.{pid}.json"
            while not answer.exists() and psutil.pid_exists(pid):
                if time.monotonic() > deadline:
                    raise MeasurementError(f"process {pid} does not tell where its memory is")
                time.sleep(_LOOK_EVERY_S)
            if answer.exists():
                for size, frames in json.loads(answer.read_text(encoding="utf-8")):
                    total[tuple((str(file), int(line)) for file, line in frames)] += int(size)
        return total
