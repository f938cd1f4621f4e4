"""Commits are ranked by whether they touch the function, the query or the setting of a finding."""

from __future__ import annotations

from adx_lab.analysis.bisection.blame import Suspect, blame, read_patch, targets_of
from adx_lab.analysis.finding import Finding

ELSEWHERE = """diff --git a/shop/app.py b/shop/app.py
--- a/shop/app.py
+++ b/shop/app.py
@@ -3,0 +4 @@ import os
+import json
"""
IN_FUNCTION = """diff --git a/shop/orders.py b/shop/orders.py
--- a/shop/orders.py
+++ b/shop/orders.py
@@ -10 +10 @@ def total(order):
-    return sum(order)
+    return sum(sorted(order))
@@ -40,0 +41 @@ def other():
+    pass
"""
SAME_FILE = IN_FUNCTION.replace("def total(order):", "def another():")
IN_QUERY = """diff --git a/shop/users.sql b/shop/users.sql
--- a/shop/users.sql
+++ b/shop/users.sql
@@ -8 +8 @@ -- name: users.list
-SELECT id FROM users LIMIT 10
+SELECT id FROM users
"""
GONE = """diff --git a/shop/old.py b/shop/old.py
--- a/shop/old.py
+++ /dev/null
@@ -1,2 +0,0 @@
-def total(order):
-    return 0
"""
PATCHES = tuple(
    read_patch(sha, text)
    for sha, text in (("a", ELSEWHERE), ("b", SAME_FILE), ("c", IN_FUNCTION), ("d", IN_QUERY), ("e", ""))
)


def test_a_commit_within_the_function_is_the_likeliest() -> None:
    ranked = blame(PATCHES, [Suspect("function", "total", "shop/orders.py")])
    assert [one.sha for one in ranked][:2] == ["c", "b"]
    assert ranked[0].share > 0.7
    assert ranked[0].touches == "function total"
    assert ranked[0].hunks[0].lines[1] == "+    return sum(sorted(order))"
    assert ranked[-1].share == 0  # it changed nothing of the service


def test_a_query_is_found_by_the_heading_of_its_hunk() -> None:
    ranked = blame(PATCHES, [Suspect("query", "users.list")])
    assert ranked[0].sha == "d"
    assert ranked[0].touches == "query users.list"
    # `users.list.page` is another query.
    assert blame(PATCHES, [Suspect("query", "users.list.page")])[0].touches == "other parts of the service"


def test_without_anything_to_look_for_all_are_alike() -> None:
    ranked = blame(PATCHES, ())
    assert {one.share for one in ranked} == {0.25, 0.0}


def test_a_deleted_file_keeps_its_name() -> None:
    (hunk,) = read_patch("g", GONE).hunks
    assert hunk.file == "shop/old.py"
    assert hunk.lines == ("-def total(order):", "-    return 0")


def test_targets_come_from_what_findings_say() -> None:
    found = (
        Finding("function", "get_user", "", {"function": "get_user", "file": "shop/users.py"}),
        Finding("limit", "users.list", "", {}),
        Finding("pool", "pool", "", {"settings": {"pool.max": "5 -> 1"}}),
    )
    assert targets_of(found) == (
        Suspect("function", "get_user", "shop/users.py"),
        Suspect("query", "users.list"),
        Suspect("setting", "pool.max"),
    )
