"""Named queries, lists and streams of rows, the schema, and the data set."""
