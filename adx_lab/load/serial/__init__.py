"""The serial movement of a duet: one request at a time, the two variants in turn, endpoint by endpoint.

Nothing queues, so that it tells what the code costs: ten times better than pairs in an open loop do.
``movement`` has the order, and knows nothing of how a request is sent: whoever can perform a way to ask on
behalf of a variant can be measured by it. ``wire`` sends over a bare connection, ``core_ways`` are all the
ways to ask ADX Core, and ``burst`` keeps a few connections busy, to see what only a crowd shows.
"""
