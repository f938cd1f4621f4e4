"""The blocks of a page: an endpoint each, a query each."""
