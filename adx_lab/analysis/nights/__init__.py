"""Judge the nights: when the ratios to the baseline changed."""
