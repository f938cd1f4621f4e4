"""Plans of any database: statements' texts, values that occur, generic and custom plans."""
