"""Sample what processes compute: py-spy for Python, a command of the service's own for other languages.

py-spy reads the stacks from outside and does not stop the process for it: on a process that computes all the
time, 1,000 samples a second left its CPU a call as it was, within 3% of noise, and cost 5% of another
processor. What was torn while it was read is counted, and thrown away.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from adx_lab.analysis.functions.stacks import Stack, StackProfile, read_folded
from adx_lab.capture.profiles.permission import why_not
from adx_lab.errors import MeasurementError, UsageError

RATE_PER_S = 1_000
_WORDS = re.compile(r"Samples: (\d+) Errors: (\d+)")
_STOP_S = 20.0
_IDLE = 0.02
_BEGIN_S, _LOOK_EVERY_S = 5.0, 0.005
_BEGUN = b"Sampling process"
_SPY_WORDS = ("--full-filenames", "--nonblocking", "--output")


@dataclass(frozen=True)
class Sampled:
    """What was sampled of one variant.

    Attributes
    ----------
    stacks
        Samples by stack.
    cpu_us
        What its processes computed meanwhile.
    seconds
        How long that was.
    errors
        Samples that were torn, and thrown away.
    sampler_cpu_us
        What sampling cost the machine.
    idle
        The processes that computed next to nothing, or are none of this language.
    rate_per_s
        At which each thread that runs was sampled; 0 where only the sampler knows.
    """

    stacks: Mapping[Stack, int]
    cpu_us: float
    seconds: float
    errors: int = 0
    sampler_cpu_us: float = 0.0
    idle: frozenset[int] = frozenset()
    rate_per_s: float = 0.0

    @property
    def spent_us(self) -> float:
        """What all samples together stand for.

        At a known rate each stands for a part of a second. By their share of the processor's time it would be
        less than was spent: a server's thread that waits for the next request often passes for one that runs.
        """
        return sum(self.stacks.values()) / self.rate_per_s * 1e6 if self.rate_per_s else self.cpu_us

    def profile(self, requests: int, root: Path | None = None) -> StackProfile:
        """Return it as a profile of so many requests."""
        return StackProfile(self.stacks, self.spent_us, requests, "" if root is None else str(root))


@dataclass
class _Watch:
    """One process under a sampler."""

    pid: int
    sampler: subprocess.Popen[bytes]
    out: Path
    cpu_us: float


@dataclass
class Sampler:
    """Samples processes by variant, from `start` to `stop`.

    Attributes
    ----------
    command
        Prints folded stacks of ``{pid}`` until it is told to stop (SIGINT), or for ``{seconds}``; None is
        py-spy. ``{rate}`` is the rate.
    rate_per_s
        Of samples.
    waiting
        Whether threads that wait are sampled as well: where a service sleeps, and not where it computes.
    """

    command: str | None = None
    rate_per_s: int = RATE_PER_S
    waiting: bool = False
    _watches: dict[str, list[_Watch]] = field(default_factory=dict)
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _began: float = 0.0

    def start(self, pids: Mapping[str, Sequence[int]], *, seconds: float) -> None:
        """Begin to sample; all variants at once.

        Parameters
        ----------
        pids
            Of each variant.
        seconds
            For a command that wants to know beforehand how long.

        Raises
        ------
        MeasurementError
            This machine does not let processes be sampled.
        UsageError
            The command can't be started.
        """
        if self.command is None and (reason := why_not()) is not None:
            raise MeasurementError(reason)
        self._folder = tempfile.TemporaryDirectory(prefix="adx-lab-profile-")
        for variant, own in pids.items():
            self._watches[variant] = []
            for pid in own:
                self._watches[variant].append(self._watch(pid, Path(self._folder.name), seconds))
        watches = [one for own in self._watches.values() for one in own]
        if self.command is None:
            _await_samples(watches)
        self._began = time.monotonic()
        for watch in watches:
            watch.cpu_us = cpu_us_of(watch.pid)

    def _watch(self, pid: int, folder: Path, seconds: float) -> _Watch:
        out, log = folder / f"{pid}.folded", folder / f"{pid}.log"
        words = self._command(pid, out, seconds)
        try:
            with log.open("wb") as errors, out.open("wb") as folded:
                sampler = subprocess.Popen(words, stdout=folded if self.command else errors, stderr=errors)
        except OSError as error:
            raise UsageError(
                f"the command of service.profile can't be started: {error.strerror}: {words[0]}",
                mend="name a program that is installed",
            ) from error
        return _Watch(pid, sampler, out, cpu_us_of(pid))

    def _command(self, pid: int, out: Path, seconds: float) -> list[str]:
        if self.command is not None:
            told = {"pid": pid, "seconds": f"{seconds:g}", "rate": self.rate_per_s}
            return [word.format(**told) for word in shlex.split(self.command)]
        spy = Path(sys.executable).parent / "py-spy"
        words = [str(spy), "record", "--pid", str(pid), "--rate", str(self.rate_per_s), "--format", "raw"]
        return [*words, *(["--idle"] if self.waiting else []), *_SPY_WORDS, str(out)]

    def stop(self) -> dict[str, Sampled]:
        """End sampling and return what was seen, by variant; waits for the samplers to write it.

        Raises
        ------
        MeasurementError
            A sampler failed, or printed what are no folded stacks.
        """
        seconds = time.monotonic() - self._began
        found: dict[str, Sampled] = {}
        spent = {
            watch.pid: cpu_us_of(watch.pid) - watch.cpu_us for own in self._watches.values() for watch in own
        }
        for watch in (one for own in self._watches.values() for one in own):
            if watch.sampler.poll() is None:
                watch.sampler.send_signal(signal.SIGINT)
        try:
            for variant, own in self._watches.items():
                found[variant] = self._gather(own, spent, seconds)
        finally:
            self.close()
        return found

    def _gather(self, own: Sequence[_Watch], spent: Mapping[int, float], seconds: float) -> Sampled:
        """Put the processes of one variant together.

        One that can't be sampled and computes next to nothing, as a shell, does not count. Where what was not
        sampled computed more than what was, the stacks are not the variant's.
        """
        stacks: Counter[Stack] = Counter()
        cpu_us, unseen_us, cost_us, errors, failed = 0.0, 0.0, 0.0, 0, list[MeasurementError]()
        for watch in own:
            try:
                part, torn, own_us = self._end(watch)
            except MeasurementError as error:
                failed.append(error)
                unseen_us += max(0.0, spent[watch.pid])
                continue
            stacks.update(part)
            cpu_us += max(0.0, spent[watch.pid])
            cost_us += own_us
            errors += torn
        if failed and unseen_us >= cpu_us:
            raise failed[0]
        idle = {watch.pid for watch in own if spent[watch.pid] < _IDLE * sum(spent[one.pid] for one in own)}
        rate_per_s = 0.0 if self.command else self.rate_per_s
        return Sampled(dict(stacks), cpu_us, seconds, errors, cost_us, frozenset(idle), rate_per_s)

    def close(self) -> None:
        """Leave no sampler behind."""
        for watch in (one for own in self._watches.values() for one in own):
            if watch.sampler.poll() is None:
                watch.sampler.kill()
                watch.sampler.wait()
        self._watches = {}
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _end(self, watch: _Watch) -> tuple[Mapping[Stack, int], int, float]:
        """Wait for a sampler to write what it has; return its stacks, its errors and its own CPU."""
        cost_us = cpu_us_of(watch.sampler.pid)
        try:
            watch.sampler.wait(_STOP_S)
        except subprocess.TimeoutExpired as error:
            raise MeasurementError(f"the sampler of process {watch.pid} does not end") from error
        said = watch.out.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
        text = watch.out.read_text(encoding="utf-8", errors="replace")
        if not text and watch.sampler.returncode not in {0, -signal.SIGINT}:
            raise MeasurementError(f"process {watch.pid} can't be sampled: {_reason(said)}")
        try:
            stacks = read_folded(text)
        except ValueError as error:
            raise MeasurementError(str(error), mend="service.profile must print folded stacks") from error
        counted = _WORDS.search(said)
        return stacks, int(counted[2]) if counted else 0, cost_us


def _await_samples(watches: Sequence[_Watch]) -> None:
    """Wait until every sampler has found its way into its process, or has given up: tenths of a second."""
    deadline = time.monotonic() + _BEGIN_S
    for watch in watches:
        log = watch.out.with_suffix(".log")
        while watch.sampler.poll() is None and time.monotonic() < deadline:
            if _BEGUN in log.read_bytes():
                break
            time.sleep(_LOOK_EVERY_S)


def _reason(said: str) -> str:
    """Return the line of a sampler's words that tells why it failed."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next(
        (line for line in lines if line.startswith("Error")), lines[0] if lines else "it says nothing"
    )


def cpu_us_of(pid: int) -> float:
    """Return what a process has computed, all threads, in microseconds; 0 for one that is gone.

    The kernel counts nanoseconds for each thread (``schedstat``); where it does not, hundredths of seconds.
    """
    total = 0.0
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text(encoding="ascii").split()[0]) / 1e3
            except (FileNotFoundError, ProcessLookupError):
                continue  # a thread that has just ended
    except OSError:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system) * 1e6
    return total
