"""What was changed in the database is told apart: text, settings, dead rows, statistics, statements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adx_lab.analysis.duet.causes.attribution import Attribution
from adx_lab.analysis.duet.causes.remedies import with_remedies
from adx_lab.analysis.duet.causes.variant_traits import EndpointFacts, QueryFacts, VariantFacts
from adx_lab.analysis.finding import Finding
from adx_lab.analysis.plans.captures.matrix import Matrix
from tests.analysis.duet.test_attribution import FACTS, QUERIES, World, duet

SLOW = QueryFacts(
    "x1", ("Seq Scan on users",), frozenset(), 1.2, 900, 50, 6.0, 0.1, tables=frozenset({"users"})
)
TEXTS = {name: replace(facts, text=f"select {name}") for name, facts in QUERIES.items()}


def base_facts() -> VariantFacts:
    return replace(FACTS, queries=TEXTS, table_rows={"users": 10_000.0}, dead_rows={"users": 10.0})


def slower_page(**changed: object) -> World:
    """Return a head whose page of users takes 6 ms longer in the database, for a reason that is given."""
    page = replace(SLOW, text=changed.pop("text", TEXTS["users.page"].text))  # type: ignore[arg-type]
    facts = replace(base_facts(), queries=TEXTS | {"users.page": page}, **changed)  # type: ignore[arg-type]
    return World(query_ms=World().query_ms | {"users.page": 6.6}, facts=facts)


def judged(head: World, base: VariantFacts | None = None) -> Attribution:
    return duet(head, base=base or base_facts())


@pytest.mark.parametrize(
    ("head", "kind", "subject"),
    [
        (slower_page(text="select users.page where lower(email) > ''"), "query-text", "users.page"),
        (slower_page(database_settings={"enable_indexscan": "off"}), "setting", "enable_indexscan"),
        (slower_page(dead_rows={"users": 200_000.0}), "dead-rows", "users"),
        (slower_page(stale_tables=("users",)), "statistics", "users"),
        (slower_page(), "plan", "users.page"),
        (
            slower_page(indexes=frozenset({"users_pkey", "files_user", "roles_user"})),
            "index",
            "users_page",
        ),
    ],
)
def test_each_reason_is_one_finding_that_names_it(head: World, kind: str, subject: str) -> None:
    """A text, a setting, dead rows and statistics all change the plan: one of them is the cause."""
    found = judged(head).findings
    assert [(one.kind, one.subject) for one in found] == [(kind, subject)]
    assert (found[0].share or 0) > 0.9


def test_one_setting_that_changed_many_plans_is_one_finding() -> None:
    """What `enable_indexscan = off` does to four queries is one cause, not four."""
    slow = {name: replace(SLOW, text=facts.text, rows=facts.rows) for name, facts in TEXTS.items()}
    facts = replace(base_facts(), queries=slow, database_settings={"enable_indexscan": "off"})
    head = World(query_ms=dict.fromkeys(World().query_ms, 3.0), facts=facts)
    found, *rest = judged(head, replace(base_facts(), database_settings={"enable_indexscan": "on"})).findings
    assert not {one.kind for one in rest} & {"index", "plan", "query", "statistics"}
    assert (found.kind, found.subject) == ("setting", "enable_indexscan")
    assert found.cause.startswith("enable_indexscan is off instead of on")
    assert set(found.evidence["queries"]) == set(TEXTS)


def test_another_text_that_costs_the_same_is_no_cause() -> None:
    fine = TEXTS | {"users.page": replace(TEXTS["users.page"], text="select the same")}
    head = World(facts=replace(base_facts(), queries=fine))
    assert "query-text" not in {one.kind for one in judged(head).findings}


def test_statistics_of_tables_that_the_load_filled_are_no_cause_between_equals() -> None:
    """Autovacuum looks at the one clone and not at the other: another plan, as good as the first."""
    other = TEXTS | {"users.page": replace(TEXTS["users.page"], shape="as good")}
    facts = replace(base_facts(), queries=other, stale_tables=("sessions",))
    samples = duet(World(facts=facts), slower=(), base=base_facts())
    assert samples.findings == ()


def test_a_statement_before_each_query_is_named_and_claims_no_more_than_it_costs() -> None:
    """`SELECT 1` is sent before each query: a way to the database and back; the rest is computing."""
    asked = {"GET /users": EndpointFacts(unnamed={"SELECT $1": (1.0, 0.01)})}
    facts = replace(base_facts(), endpoints=asked, cpu_ms=0.4 + 0.25 * 2.0)
    own = {"GET /users": 0.5 + 0.25 + 2.0}
    first, second = judged(World(service=own, facts=facts), None).findings
    assert (first.kind, second.kind) == ("cpu", "statements")
    assert second.subject == "SELECT $1"
    assert second.evidence["calls_per_request"] == {"GET /users": [0.0, 1.0]}
    assert second.share == pytest.approx(0.12, abs=0.03)
    known = replace(base_facts(), endpoints=asked)
    assert "statements" not in {one.kind for one in judged(World(service=own, facts=facts), known).findings}


def test_findings_say_what_to_do_and_where_to_look() -> None:
    definition = "CREATE INDEX users_page ON public.users USING btree (tenant_id)"
    known = Matrix({}, indexes={"users_page": {"table": "users", "definition": definition}})
    said = Matrix({}, queries={"users.page": {"text": "select"}})
    told = {
        finding.kind: (finding.mend, finding.where)
        for finding in with_remedies(
            [
                Finding("index", "users_page", "", {"indexes": ["users_page"]}),
                Finding("statistics", "users", "", {"stale_tables": ["users"]}),
                Finding("dead-rows", "users", "", {"table": "users"}),
                Finding("setting", "jit", "", {"settings": {"jit": ["off", "on"]}}),
                Finding("query-text", "users.page", "", {}, endpoints=("GET /users",)),
                Finding("function", "work", "", {"file": "work.py", "line": 3}),
                Finding("failures", "GET /", "", {}, endpoints=("GET /",)),
                Finding("unjudged", "coverage", "", {}),
            ],
            known,
            said,
        )
    }
    assert told["index"] == (definition.replace("INDEX", "INDEX CONCURRENTLY", 1) + ";", "the table users")
    assert told["statistics"] == ("ANALYZE users;", "the table users")
    assert told["dead-rows"] == ("VACUUM (ANALYZE) users;", "the table users")
    assert told["setting"] == ("ALTER ROLE CURRENT_USER SET jit = off;", "the setting jit")
    assert told["query-text"][1] == "the query users.page, asked for by GET /users"
    assert told["function"][1] == "work.py:3"
    assert told["failures"][1] == "GET /"
    assert told["unjudged"] == (None, None)
