"""Findings on plans as they are designed for one rule each."""

from __future__ import annotations

from adx_lab.analysis.plans import Context, PlanAnalysis, PlanFinding, TableFacts, analyse, read_plans
from adx_lab.analysis.plans.advice.indexes import Existing
from adx_lab.analysis.plans.rules.context import ForeignKey

JOIN = """Nested Loop  (cost=0.00..91527.00 rows=15 width=8) (actual time=5.000..1200.000 rows=14 loops=1)
  Join Filter: (o.id = i.order_id)
  Rows Removed by Join Filter: {removed}
  ->  Seq Scan on orders o  (cost=0.00..17.00 rows=10 width=4) (actual time=0.100..0.200 rows=10 loops=1)
  ->  Seq Scan on items i  (cost=0..49 rows={rows} width=8) (actual time=0.01..90.00 rows={rows} loops=10)
Execution Time: 1200.000 ms
"""


def explained(text: str) -> PlanAnalysis:
    return analyse(read_plans(text)[0])


def found(text: str, kind: str) -> PlanFinding | None:
    return next((item for item in explained(text).findings if item.kind == kind), None)


def test_partners_that_are_looked_for_one_by_one_want_an_index() -> None:
    finding = found(JOIN.format(rows=300_000, removed=2_999_986), "join_filter")
    assert finding is not None
    assert finding.evidence["indexes"] == ("CREATE INDEX ON items (order_id)",)
    few = found(JOIN.format(rows=500, removed=4_986), "join_filter")
    assert few is not None
    assert few.evidence["indexes"] == (), "a small table is read as quickly"


def scan(condition: str, *, planned: int, rows: int) -> str:
    return f"""Seq Scan on orders  (cost=0..17 rows={planned} width=4) (actual time=0..9 rows={rows} loops=1)
  Filter: {condition}
  Rows Removed by Filter: {200_000 - rows}
Execution Time: 9.000 ms
"""


def test_an_estimate_of_the_only_scan_decides_how_it_reads() -> None:
    depending = found(scan("((city = 42) AND (country = 0))", planned=10, rows=200), "misestimate")
    assert depending is not None
    assert "CREATE STATISTICS" in depending.mend
    assert found(scan("(city = 42)", planned=150, rows=200), "misestimate") is None
    alone = "Result  (cost=0.00..17.00 rows=9 width=4) (actual time=0.1..9.0 rows=9000 loops=1)\n"
    assert found(alone, "misestimate") is None, "nothing depends on it"


def test_what_statistics_can_not_mend_has_another_mend() -> None:
    cast = found(scan("((customer_id)::text = '42'::text)", planned=1000, rows=10), "misestimate")
    assert cast is not None
    assert "SET STATISTICS" not in cast.mend
    assert "own type" in cast.mend
    for asked in ("(InitPlan 1).col1", "$0"):
        text = scan(f"(amount > {asked})", planned=66_667, rows=1000)
        text = text.replace(
            "Execution", "  InitPlan 1 (returns $0)\n    ->  Result (actual rows=1 loops=1)\nExecution"
        )
        subquery = found(text, "misestimate")
        assert subquery is not None
        assert "subquery" in subquery.mend
    assert found(scan("(amount > $1)", planned=66_667, rows=1000), "misestimate") is None, "generic"


def test_an_index_holds_no_more_where_each_loop_fetches_one_row() -> None:
    text = """Nested Loop (actual time=1.0..90.0 rows=5000 loops=1)
  ->  Seq Scan on items i (actual time=1.0..9.0 rows=5000 loops=1)
  ->  Index Scan using p_key on products p (cost=0..8 rows=1 width=14) (actual rows={rows} loops={loops})
        Output: p.id, p.name
        Index Cond: (p.id = i.product_id)
        Buffers: shared hit=15000
Execution Time: 90.000 ms
"""
    assert found(text.format(rows=1, loops=5000), "covering") is None
    assert found(text.format(rows=500, loops=10), "covering") is not None


DELETE = """Delete on public.orders  (cost=0.42..8.44 rows=0 width=0){ran}
  ->  Index Scan using orders_pkey on public.orders  (cost=0.42..8.44 rows=1 width=6){ran}
        Index Cond: (orders.id = 7)
"""
RAN = "(actual time=0.050..0.050 rows=1 loops=1)"
SLOW = "Trigger for constraint items_order_fk: time=44.000 calls=1\nExecution Time: 44.200 ms\n"
KEY = ForeignKey("items_order_fk", "shop.items", ("order id",), "orders")
INDEX = 'CREATE INDEX ON shop.items ("order id")'


def deleting(*definitions: str, rows: float = 400_000, ran: bool = False) -> tuple[PlanFinding, ...]:
    existing = {"shop.items": [Existing("there", definition) for definition in definitions]}
    context = Context({"shop.items": TableFacts(rows, 3000)}, indexes=existing, foreign_keys=(KEY,))
    text = DELETE.format(ran=f" {RAN}") + SLOW if ran else DELETE.format(ran="")
    return analyse(read_plans(text)[0], context).findings


def test_a_foreign_key_without_an_index_is_found_by_its_trigger_and_without_executing_anything() -> None:
    for ran, kind in ((True, "trigger"), (False, "foreign_key")):
        (finding,) = deleting(ran=ran)
        assert finding.kind == kind
        assert finding.mend == 'CREATE INDEX CONCURRENTLY ON shop.items ("order id");'
        assert finding.evidence["indexes"] == (INDEX,)
        assert finding.evidence["referring"] == {"table": "shop.items", "columns": ('"order id"',)}
    assert deleting(rows=900) == (), "so few that they are searched as quickly"


def test_a_foreign_key_is_served_by_what_leads_to_its_columns() -> None:
    using = "CREATE INDEX there ON shop.items USING"
    for served in ('btree ("order id")', 'btree ("order id", at)', 'hash ("order id")'):
        assert deleting(f"{using} {served}") == ()
    assert deleting(f'{using} btree ("order id") WHERE ("order id" IS NOT NULL)') == ()
    for other in ('btree (at, "order id")', 'brin ("order id")', 'btree ("order id") WHERE (at > 5)'):
        assert [finding.kind for finding in deleting(f"{using} {other}")] == ["foreign_key"]


def test_a_trigger_alone_says_where_to_look() -> None:
    plan = DELETE.format(ran=f" {RAN}")
    referred = found(plan + SLOW, "trigger")
    assert referred is not None
    assert "conname = 'items_order_fk'" in referred.mend
    checked = found(plan.replace("Delete on", "Insert on") + SLOW, "trigger")
    assert checked is not None
    assert "lock" in checked.mend
    own = found(plan + SLOW.replace("for constraint ", ""), "trigger")
    assert own is not None
    assert "its function" in own.mend


def test_what_only_the_database_knows_is_not_called_impossible() -> None:
    for condition, said in (
        ("(my_code(note) = 'x'::text)", "an index on (my_code(note)) serves it where"),
        ("(CASE WHEN (a > 1) THEN b ELSE c END = 5)", "index what is compared as it is written"),
        ("(my.code(note) = 'x'::text)", "IMMUTABLE"),
    ):
        finding = found(scan(condition, planned=100, rows=10), "seq_scan")
        assert finding is not None
        assert said in finding.mend
        assert finding.evidence["indexes"] == ()


def test_words_that_sql_has_for_functions_are_read() -> None:
    for condition, key in (
        ("(TRIM(BOTH FROM code) = 'x'::text)", "TRIM(BOTH FROM code)"),
        ("(TRIM(LEADING '0'::text FROM o.code) = 'x'::text)", "TRIM(LEADING '0'::text FROM code)"),
        ("(SUBSTRING(note FROM 3 FOR 4) = 'x'::text)", "SUBSTRING(note FROM 3 FOR 4)"),
        ("(POSITION(('a'::text) IN (note)) = 3)", "POSITION('a'::text IN note)"),
        ("(EXTRACT(year FROM at) = '2026'::numeric)", None),
    ):
        finding = found(scan(condition.replace("o.", ""), planned=100, rows=10), "seq_scan")
        assert finding is not None
        wanted = () if key is None else (f"CREATE INDEX ON orders ({key})",)
        assert finding.evidence["indexes"] == wanted, finding
