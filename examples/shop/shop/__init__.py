"""A small shop, as many are: FastAPI, SQLAlchemy, PostgreSQL."""
