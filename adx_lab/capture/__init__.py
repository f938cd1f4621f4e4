"""Look at the stack while it is under load; each module captures one facet of a run.

``resources`` reads the processes, ``cache`` the service's own counters, ``database`` the statement
statistics, ``plans`` how PostgreSQL executes each named query. ``sampler`` runs those that repeat beside the
load.
"""
