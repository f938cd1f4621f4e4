"""ADX Core: the reference service, small enough to be read and fast enough to be measured.

A request goes through the modules in this order:

1. ``server`` starts the workers, ``app`` takes each request through shedding, token, tenant's limit,
   permission and handler (``http``, ``routing``, ``routes``, ``gateway``, ``tokens``);
2. handlers: ``auth``, ``users``, ``batches``, ``files``, ``events``, ``tenants``, ``workflows``, ``health``,
   ``openapi``;
3. what they read comes from ``cache`` (``l1``, ``valkey``, ``invalidation``), else from ``database``
   (``pool``, ``sql``, ``queries/``), in pages (``pages``) or as a stream (``streams``);
4. what happened is told by ``metrics``, ``monitor``, ``alerts``, ``timing``, ``trace`` and ``logs``.

``worker`` is a process of its own for durable workflows (``runs``, ``tallies``, ``warming``,
``purging``, ``waking``). ``dataset``, ``schema`` and ``sample`` make the data, ``bench`` measures. Everything
is started by ``python -m adx_lab.core`` with its settings in the environment (``settings``).

The rules, each with its module and its test in ``tests/core``. Each can be switched off by its id in
``ADX_CORE_RULES_OFF``, so that what it is worth can be measured::

==================  =======================  ==============  ========  ======================================
rule                what                     switched off    where     test
==================  =======================  ==============  ========  ======================================
db.indexes          an index for each query  unique only     schema    test_rules.py::test_db_indexes
db.pagination       100 a page, cursors      OFFSET, no cap  pages     test_rules.py::test_db_pagination
db.prepared         prepared once            parsed anew     database  test_rules.py::test_db_prepared
db.slow_log         queries above 10 ms      silent          database  test_rules.py::test_db_slow_log
pool.config         100/10, real time-outs   only five       database  test_rules.py::test_pool_config
pool.monitor        real figures, pressure   none            monitor   test_rules.py::test_pool_monitor
cache.l1            300 s in the process     skipped         cache     test_rules.py::test_cache_l1
cache.l2            600 s in Valkey          skipped         cache     test_rules.py::test_cache_l2
cache.invalidation  every replica, at once   by time only    cache     test_rules.py::test_cache_invalidation
cache.warming       hot ones every 15 min    cold            worker    test_workflows.py::test_cache_warming
async.bounded       ten at a time            all at once     batches   test_rules.py::test_async_bounded
async.streaming     server-side cursors      fetched whole   streams   test_rules.py::test_async_streaming
json.streaming      NDJSON as it is read     one document    streams   test_rules.py::test_json_streaming
files.chunked       constant memory          read whole      files     test_rules.py::test_files_chunked
metrics.http        by route and status      none            app       test_rules.py::test_metrics
metrics.db          by query, with errors    none            database  test_rules.py::test_metrics
metrics.memory      of every worker          none            monitor   test_rules.py::test_metrics
alerts.thresholds   p95, memory, errors      none            server    test_alerts.py::test_thresholds
==================  =======================  ==============  ========  ======================================

Where the rules' own sketches have faults, the service keeps their intent: pages have cursors beside numbers;
the pool reports what it is doing and not what it was told; an invalidation costs the same however many keys
there are; metrics have the route's template and fractions of a millisecond; alerts look at the 95th
percentile and fire once; a batch gives a result for each item; what is warmed lasts until the next warming.
"""
