"""The servers under a service: PostgreSQL with its databases and clones, Valkey, and JupyterLab beside them.

``accounts`` finds out who may run a server and where its files can lie; ``locks`` lets one process hold a
stack.
"""
