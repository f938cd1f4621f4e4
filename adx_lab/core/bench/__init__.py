"""How much one worker answers, beside its peers: ``python -m adx_lab.core.bench --help``.

Closed loop, a few connections that are always busy: figures for comparing servers and for profiling, not for
budgets. Each request has a user and a token of its own, so that single flight shares nothing.
"""

from adx_lab.core.bench.client import Result, measure

__all__ = ["Result", "measure"]
