"""Judge one run: its latencies, its budgets, its audit."""
