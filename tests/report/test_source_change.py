"""What differs between two variants is read from the service's own repository, wherever it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from adx_lab.report.duet.source_change import source_change


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_of_any_repository_and_only_of_the_service(tmp_path: Path) -> None:
    service = tmp_path / "services" / "billing"
    service.mkdir(parents=True)
    git(tmp_path, "init", "-q")
    (service / "web.py").write_text("def f():\n    return 1\n")
    (tmp_path / "other.py").write_text("x = 1\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Begin")
    (service / "web.py").write_text("def f():\n    return 2\n")
    (tmp_path / "other.py").write_text("x = 2\n")
    git(tmp_path, "commit", "-qam", "Return more")
    base, head = git(tmp_path, "rev-parse", "HEAD~1"), git(tmp_path, "rev-parse", "HEAD")
    variants = {"base": {"commit": base, "text": "HEAD~1"}, "head": {"commit": head, "text": "."}}
    change = source_change(variants, service)
    assert [line.partition(" ")[2] for line in change.commits] == ["Return more"]
    assert change.shown() == "+++ b/web.py\n-    return 1\n+    return 2"
    assert source_change(variants, service, ("elsewhere",)).lines == ""
