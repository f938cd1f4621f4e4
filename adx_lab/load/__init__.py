"""Drive the service with Locust, and record every request so that the record can carry a verdict.

``spec`` is what the lab tells the Locust processes; ``arrivals`` makes schedules, ``users`` sends them,
``recorder`` writes down every request as it ends; ``runner`` starts Locust as a subprocess (gevent must never
reach a notebook's kernel) and ``collect`` turns what the processes wrote into the run's tables.
"""
