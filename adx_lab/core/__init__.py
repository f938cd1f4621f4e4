"""ADX Core: the reference service, small enough to be read and fast enough to be measured.

A request goes through the modules in this order:

1. ``server``: ``main`` starts the workers, ``app`` takes each request through shedding, token, the tenant's
   limit, permission and handler (``http``, ``problems``, ``routing``, ``gateway``, ``routes``);
2. the endpoints, by subject: ``auth``, ``users``, ``files``, ``workflows``, and in ``server`` those of the
   service itself (``health``, ``openapi``);
3. what they read comes from ``cache``, else from ``database`` (named queries in ``queries/``), in ``pages``
   or as a stream of ``rows``; ``clients`` are the pool and Valkey;
4. what happened is told by ``monitoring``: metrics, alerts, where a request's time went, and logs.

``service`` holds the parts that endpoints use. ``workflows.worker`` is a process of its own for durable work.
``database.dataset`` and ``sample`` make the data, ``bench`` measures one worker beside its peers.
Everything is started by ``python -m adx_lab.core`` with its settings in the environment (``settings``).

The rules, each with its module and its test in ``tests/core``. Each can be switched off by its id in
``ADX_CORE_RULES_OFF``, so that what it is worth can be measured::

==================  ===================  ============  ==================  ===================================
rule                what                 switched off  where               test
==================  ===================  ============  ==================  ===================================
db.indexes          indexes for queries  unique only   database.schema     test_rules::test_db_indexes
db.pagination       100 a page, cursors  OFFSET        database.pages      test_rules::test_db_pagination
db.prepared         prepared once        parsed anew   database.database   test_rules::test_db_prepared
db.slow_log         queries above 10 ms  silent        database.database   test_rules::test_db_slow_log
pool.config         100/10, time-outs    only five     database.database   test_rules::test_pool_config
pool.monitor        real figures         none          monitoring.monitor  test_rules::test_pool_monitor
cache.l1            300 s in process     skipped       cache.cache         test_rules::test_cache_l1
cache.l2            600 s in Valkey      skipped       cache.cache         test_rules::test_cache_l2
cache.invalidation  everywhere, at once  by time only  cache.cache         test_rules::test_cache_invalidation
cache.warming       hot ones, 15 min     cold          workflows.worker    test_workflows::test_cache_warming
async.bounded       ten at a time        all at once   users.batches       test_rules::test_async_bounded
async.streaming     server-side cursors  all fetched   database.rows       test_rules::test_async_streaming
json.streaming      NDJSON, as read      one array     database.rows       test_rules::test_json_streaming
files.chunked       constant memory      read whole    files.files         test_rules::test_files_chunked
metrics.http        by route and status  none          server.app          test_rules::test_metrics
metrics.db          by query and error   none          database.database   test_rules::test_metrics
metrics.memory      of every worker      none          monitoring.monitor  test_rules::test_metrics
alerts.thresholds   p95, memory, errors  none          server.main         test_alerts::test_thresholds
==================  ===================  ============  ==================  ===================================

Where the rules' own sketches have faults, the service keeps their intent: pages have cursors beside numbers;
the pool reports what it is doing and not what it was told; an invalidation costs the same however many keys
there are; metrics have the route's template and fractions of a millisecond; alerts look at the 95th
percentile and fire once; a batch gives a result for each item; what is warmed lasts until the next warming.
"""
