"""Style that a machine can hold."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from adx_lab.cli import VERBS
from adx_lab.sql import load_queries

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "adx_lab"
MODULES = sorted(PACKAGE.rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINES_MAX = 420


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        return [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    binary = {".png", ".parquet", ".ico", ".xz"}
    return [(path, path.read_text(encoding="utf-8")) for path in tracked() if path.suffix not in binary]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is_and_stays_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "no docstring"
    assert len(text.splitlines()) <= LINES_MAX
    assert path.stem not in {"utils", "helpers", "common", "misc"}


FILES_MAX = 12


def test_no_folder_shows_more_than_a_person_takes_in() -> None:
    full = {
        str(folder.relative_to(ROOT)): len(files)
        for folder in {path.parent for path in MODULES}
        if len(files := [path for path in folder.iterdir() if path.is_file()]) > FILES_MAX
    }
    assert not full, "cut it by subject"


def test_no_sql_stands_in_the_labs_python() -> None:
    # The core's data set and sampler speak SQL of their own tables; the lab speaks it in .sql files only.
    statement = re.compile(r"\b(SELECT .+ FROM|INSERT INTO|DELETE FROM|UPDATE \w+ SET)\b", re.DOTALL)
    for folder in ("stack", "load", "capture", "store", "report", "conduct", "cli"):
        for path in (PACKAGE / folder).rglob("*.py"):
            assert not statement.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("folder", sorted({path.parent for path in PACKAGE.rglob("*.sql")}), ids=str)
def test_every_named_query_exists_and_is_used(folder: Path) -> None:
    names = set(load_queries(folder))
    source = folder if folder.name != "queries" else folder.parent
    code = "\n".join(path.read_text(encoding="utf-8") for path in source.rglob("*.py"))
    strings = set(re.findall(r"[\"']([\w.{}]+)[\"']", code))
    # A family of queries is called by its stem: f"{stem}.first".
    suffixes = {word.rsplit("}.", 1)[1] for word in strings if "}." in word}
    used = {
        name
        for name in names
        if name in strings or (name.rpartition(".")[0] in strings and name.rpartition(".")[2] in suffixes)
    }
    assert names == used, f"never used: {sorted(names - used)}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_thin_and_clean(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code), "has outputs"
    assert sum("parameters" in cell["metadata"].get("tags", ()) for cell in code) == 1
    for cell in code:
        tree = ast.parse("".join(cell["source"]))
        banned = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While)
        assert not any(isinstance(node, banned) for node in ast.walk(tree)), "".join(cell["source"])
        imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        imported += [
            name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
        ]
        assert all(name.split(".")[0] == "adx_lab" for name in imported), imported
        assert not re.search(r"\bSELECT\b", "".join(cell["source"]), re.IGNORECASE)


def test_the_lock_has_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z0-9][\w.\[\]-]*==", lock, re.MULTILINE)
    assert len(pins) > 100
    assert "://" not in lock
    assert lock.count("--hash=sha256:") >= len(pins)


def test_nothing_of_one_machine_is_committed() -> None:
    paths = re.compile(r"(?<![\w.])/(?:root|home/\w+|work)/")
    for path, text in texts():
        if path.suffix in {".py", ".md", ".toml", ".sql", ".ipynb", ".j2", ".css", ""} and path != Path(
            __file__
        ):
            assert not paths.search(text), path


def test_the_readme_names_every_target_and_verb() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert not [target for target in targets if f"make {target}" not in readme]
    assert not [verb for verb in VERBS if f"adx-lab {verb}" not in readme]


def test_every_verb_has_a_file() -> None:
    for verb, (where, _) in VERBS.items():
        assert (PACKAGE / "cli" / f"{where.split(':')[0].replace('.', '/')}.py").is_file(), verb


def test_locust_stays_in_its_own_processes() -> None:
    """Importing it patches sockets and threads of whoever does: a conductor or a notebook would hang."""
    said = "import sys, adx_lab, adx_lab.cli, adx_lab.conduct.nights.night; print('gevent' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
