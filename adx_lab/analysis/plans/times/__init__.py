"""Where a plan's time and pages went, node by node, and the proof that they add up."""
