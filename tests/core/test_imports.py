"""The core can be read from the bottom up."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp


def test_no_module_of_the_core_imports_one_that_needs_it() -> None:
    # Imports for types count: whoever reads a module reads them too.
    graph = grimp.build_graph("adx_lab", include_external_packages=False)
    core = {module for module in graph.modules if module.startswith("adx_lab.core.")}
    needs = {module: graph.find_modules_directly_imported_by(module) & core for module in core}
    TopologicalSorter(needs).prepare()
