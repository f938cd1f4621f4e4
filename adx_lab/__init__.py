"""ADX Lab says whether the service got slower, where, and which plan, cache layer or change did it.

The folders are the stages of the pipeline, and `adx_lab.experiment` conducts them::

    stack    start PostgreSQL, Valkey and the core
    load     drive it with Locust and record every request
    capture  look at it meanwhile: plans, statements, cache counters, resources
    store    keep the run: an immutable folder and a row
    analysis judge it: samples and plans in, frozen results out
    report   show it: figures, notebooks, pages
    duet     two variants at once, block by block, and a verdict that is sealed; its own conductor
    cli      one file a verb

Imports go down only: cli, duet, experiment, report, then those five, which never import one another, then
records, settings, sql and errors. `adx_lab.core`, the service under test, stands apart and runs as its own
process.
"""
