"""Query plans: read from any text, settled to the last microsecond, judged, and compared.

`read_plans` finds the explained statements in a text; `analyse` gives each node its own time and pages,
proves that they add up, fingerprints the shape and says what will cost time and how to mend it.
"""

from adx_lab.analysis.plans.analyse import analyse
from adx_lab.analysis.plans.reading.scan import Reading, read_plans, scan_plans
from adx_lab.analysis.plans.records import Certificate, PlanAnalysis, PlanDocument, PlanFinding, PlanNode
from adx_lab.analysis.plans.rules.context import Context, TableFacts, Thresholds
from adx_lab.analysis.plans.shape import shape_of

__all__ = [
    "Certificate",
    "Context",
    "PlanAnalysis",
    "PlanDocument",
    "PlanFinding",
    "PlanNode",
    "Reading",
    "TableFacts",
    "Thresholds",
    "analyse",
    "read_plans",
    "scan_plans",
    "shape_of",
]
