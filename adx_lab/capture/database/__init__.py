"""What the database was asked and did: statements, waits, counts by endpoint, its log."""
