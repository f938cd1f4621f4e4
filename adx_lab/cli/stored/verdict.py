"""``adx-lab verdict RUN``."""

from __future__ import annotations

from adx_lab.cli.console import ConsoleProgress, print_json
from adx_lab.errors import MeasurementError
from adx_lab.records.documents import to_plain
from adx_lab.settings import read_settings


def run(run_id: str = "latest", /, *, json: bool = False) -> int:
    """Compute the verdict of a stored duet again from its samples; nothing is measured.

    Parameters
    ----------
    run_id
        The run's id, an unambiguous beginning of it, or ``latest``: the latest duet.
    json
        Print the verdict as one JSON document.
    """
    from adx_lab.cli.duet_text import print_duet
    from adx_lab.conduct.duet.judge import judge_duet
    from adx_lab.conduct.duet.stored import read_evidence
    from adx_lab.store.shared import find_run

    settings = read_settings()
    stored = find_run(settings, run_id, "duet")
    answer = judge_duet(read_evidence(stored))
    verdict = answer.verdict
    given = stored.verdict()
    if given is not None and given != to_plain(verdict.to_json()):
        raise MeasurementError(
            f"the samples of {stored.record.run_id} do not give the verdict that was stored with them",
            mend="the folder was changed, or another version of ADX Lab judged it",
        )
    ConsoleProgress().step("the same as when it was measured" if given else "no verdict was stored with it")
    if json:
        page = settings.reports_dir / stored.record.run_id / "index.html"
        print_json(verdict.to_json() | ({"report": str(page)} if page.is_file() else {}))
    else:
        print_duet(answer, stored.record.caveats)
    return verdict.exit_code
