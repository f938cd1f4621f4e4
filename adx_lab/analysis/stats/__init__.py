"""The statistics that every judgement shares: quantiles, sign flips, the design of looks."""
