"""What is measured: how a service is described, built, started on its own data, and stopped.

``variants`` reads what a person types, ``sources`` finds the tree, ``templates`` the data; ``running`` holds
the stack with its service and keeps the state that ``up``, ``status`` and ``down`` share; ``servers`` gives
variants somewhere to run; ``doctor`` looks at the machine.
"""
