"""Start, await and stop what is measured: PostgreSQL, Valkey, the core.

``accounts`` finds out who may run a server and where its files can lie; ``locks`` lets one process hold a
stack; ``postgres``, ``valkey`` and ``core_server`` each know one server; ``lifecycle`` puts them together and
keeps the state that ``up``, ``status`` and ``down`` share; ``doctor`` looks at the machine.
"""
