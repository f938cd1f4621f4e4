"""Write down every request while the load runs: rows in memory, then on disk or at the master."""
