"""Make the tables of a run from what the Locust processes wrote."""
