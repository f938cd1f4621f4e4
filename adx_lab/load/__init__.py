"""Drive the service with Locust, and record every request so that the record can carry a verdict.

`adx_lab.load.order` is what the lab tells the Locust processes; ``starting`` starts them (always as processes
of their own: gevent must never reach a notebook's kernel), ``plugin`` is what makes any locustfile record.
Within them ``schedules`` decides when requests leave, ``users`` send them, ``process`` begins and ends the
test, ``recording`` writes down every request as it ends, ``web`` shows it live; ``collecting`` makes the
run's tables.
"""
