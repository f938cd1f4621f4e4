"""What the rooms hand to one another: a run's columns and its frozen record."""
