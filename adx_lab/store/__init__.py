"""Keep runs: an immutable folder each (``folders``) and a row each in the run store (``rows``)."""
