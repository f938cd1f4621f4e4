"""Files: descriptions in the database, contents in a store."""
