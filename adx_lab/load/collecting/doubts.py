"""Reasons to doubt a load's record, and the one reason for which there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from adx_lab.errors import AdxLabError, MeasurementError, UsageError
from adx_lab.load.collecting.processes import Process, told
from adx_lab.load.collecting.tables import WARM_UP, Tables
from adx_lab.load.recording.rows import ON_START, ON_STOP
from adx_lab.load.schedules.schedule import ENDED_BY_SCHEDULE
from adx_lab.records.run import Caveat

_MANY_ENDPOINTS = 300
_SHOWN = 3
_EARLY_S = 1.0


def doubts(
    processes: list[Process], tables: Tables, ends: dict[str, Any], users: tuple[tuple[float, int], ...]
) -> Iterator[Caveat]:
    """Yield every reason to doubt the record."""
    yield from _doubt_processes(processes, tables)
    yield from _doubt_values(processes)
    if tables.odd_times:
        yield Caveat("odd_times", f"{tables.odd_times} times of requests were no numbers (NaN or infinite)")
    if any(told(processes, "strangers")):
        yield Caveat("strangers", "somebody without the secret of the run tried to join it, and was refused")
    yield from _doubt_options(processes)
    yield from _doubt_count(processes, tables)
    if ends["ended_early_s"] > 0:
        yield Caveat(
            "ended_early",
            f"the load was to last {ends['planned_s']:g} s and ended after {ends['lasted_s']:.1f} s:"
            f" {ends['ended_by']} ended it",
        )
    elif ends["ended_by"] != ENDED_BY_SCHEDULE and ends["planned_s"] is not None and not ends["climbs"]:
        yield Caveat("ended_by", f"{ends['ended_by']} ended the load")
    yield from _doubt_users(users, ends)
    if tables.unanswered:
        yield Caveat(
            "unanswered",
            f"{tables.unanswered} requests had no answer by the end: their times are lower bounds",
        )
    if tables.exceptions:
        raised = sum(tables.exceptions.values())
        (place, words), most = tables.exceptions.most_common(1)[0]
        yield Caveat(
            "task_exceptions", f"{raised} exceptions were raised in tasks, {most} of them {words} in {place}"
        )
    for kind in (ON_START, ON_STOP):
        failed = Counter({key[1:]: count for key, count in tables.beside_failures.items() if key[0] == kind})
        if failed:
            (endpoint, _, words), _ = failed.most_common(1)[0]
            count = sum(failed.values())
            yield Caveat(
                "failures_beside", f"{count} requests of {kind} failed, most often {endpoint}: {words}"
            )
    if len(tables.endpoints) > _MANY_ENDPOINTS:
        yield Caveat(
            "many_endpoints",
            f"{len(tables.endpoints):,} names for {tables.requests:,} requests: give those that mean the same"
            " endpoint one name (name= of the client, or a route template)",
        )


def no_request(processes: list[Process], tables: Tables, ends: dict[str, Any]) -> AdxLabError:
    """Return which of the reasons it was that nothing was measured."""
    raised = tables.exceptions.most_common(1)
    beside = ", ".join(f"{count} of {kind.replace('_', ' ')}" for kind, count in tables.beside.items())
    others = f" ({beside})" if beside else ""
    if raised and "No tasks defined" in raised[0][0][1]:
        return UsageError(f"no request was made: {raised[0][0][1].removeprefix('Exception: ')}")
    if raised:
        (place, words), count = raised[0]
        return MeasurementError(
            f"no request was measured{others}: {words} was raised in {place}, {count} times",
            mend="mend the locustfile, or what it is answered",
        )
    return _unmeasured(tables, ends, others) if tables.beside else _unsent(processes, ends)


def _unmeasured(tables: Tables, ends: dict[str, Any], others: str) -> AdxLabError:
    if ends["lasted_s"] <= 0:
        return MeasurementError(
            f"no request was measured{others}: {ends['ended_by']} ended the load before its warm-up was over",
            mend="give a shorter --warmup, or a longer run time",
        )
    if tables.beside[WARM_UP]:
        return MeasurementError(
            f"no request was measured{others}: all were made before the warm-up was over",
            mend="make the load longer or faster",
        )
    return MeasurementError(
        f"no request was measured{others}", mend="see that the users' tasks send requests"
    )


def _unsent(processes: list[Process], ends: dict[str, Any]) -> AdxLabError:
    if told(processes, "lost"):
        return MeasurementError(f"no request could be written down: {told(processes, 'reason')[0]}")
    if ends["lasted_s"] <= 0:
        return MeasurementError(
            f"no request was made: {ends['ended_by']} ended the load before its warm-up was over"
        )
    if not any(told(processes, "users")):
        return MeasurementError(
            "no request was made: no user was running", mend="give --users, or see why users stop"
        )
    return MeasurementError(
        "no request was made: the users' tasks sent none, or what they sent fires no request event",
        mend="fire environment.events.request for a protocol of your own",
    )


def _doubt_processes(processes: list[Process], tables: Tables) -> Iterator[Caveat]:
    for process in processes:
        if _cut_short(process):
            share = ""
            if len(tables.workers) > 1 and process.name.startswith("worker-"):
                place = sorted(other.name for other in processes if other.name != "master").index(
                    process.name
                )
                share = (
                    f"; it sent {tables.workers[place] / sum(tables.workers.values()):.0%} of all requests"
                )
            yield Caveat(
                "killed", f"{process.name} did not end its record: its last second may be missing{share}"
            )
        for words in process.values("beat_failed"):
            yield Caveat("beat_failed", f"{process.name} could not hand on a second of its record: {words}")
        for words in process.values("watcher_failed"):
            yield Caveat("watcher_failed", f"what looks on at {process.name} failed: {words}")


def _doubt_options(processes: list[Process]) -> Iterator[Caveat]:
    unheeded = sorted({name for names in told(processes, "unheeded") for name in names})
    if unheeded:
        yield Caveat("unheeded", f"{', '.join(unheeded)}: not heeded, the lab decides on that")
    hung = told(processes, "hung")
    if hung:
        places = sorted({place for places in told(processes, "hung_in") for place in places})
        yield Caveat(
            "hung", f"{sum(hung)} users did not end when they were to and were left: {', '.join(places)}"
        )


def _doubt_values(processes: list[Process]) -> Iterator[Caveat]:
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for misfits in told(processes, "misfits"):
        for column, words, count in misfits:
            counts[column] += count
            examples.setdefault(column, words)
    for column, count in counts.items():
        yield Caveat("odd_values", f"{count} values of {column} did not fit, such as {examples[column]}")


def _doubt_count(processes: list[Process], tables: Tables) -> Iterator[Caveat]:
    counted = told(processes, "locust_requests")
    lost = told(processes, "lost")
    if lost:
        yield Caveat(
            "lost", f"{sum(lost)} requests could not be written down: {told(processes, 'reason')[0]}"
        )
    if counted and sum(counted) != tables.answered:
        more = tables.answered - sum(counted)
        why = ""
        if more > 0:
            # What a worker has counted it tells its master every three seconds.
            killed = any(_cut_short(process) for process in processes)
            why = (
                ": what the killed one had not told its master yet"
                if killed
                else ": a listener of the locustfile ends some events before Locust counts them"
            )
        words = "more" if more > 0 else "fewer"
        yield Caveat(
            "count_differs",
            f"Locust itself counted {sum(counted)} requests, {abs(more)} {words} are recorded{why}",
        )


def _cut_short(process: Process) -> bool:
    """Tell whether a process that sent requests did not live to close its record."""
    return bool(process.facts) and not process.values("closed") and process.name != "master"


def _doubt_users(users: tuple[tuple[float, int], ...], ends: dict[str, Any]) -> Iterator[Caveat]:
    if not users or ends["kind"] == "open":
        return
    most = max(count for _, count in users)
    if ends["users"] and most < ends["users"] and ends["kind"] != "open":
        yield Caveat(
            "fewer_users", f"{ends['users']} users were asked for, {most} is the most that there were"
        )
    at_s, left = users[-1]
    if left == 0 and 0 < at_s < ends["lasted_s"] - _EARLY_S:
        yield Caveat("users_gone", f"all users had stopped by themselves {at_s:g} s after the load began")
