"""The Python API, for notebooks and scripts: ``from adx_lab import Lab``.

``lab`` has the verbs, ``results`` what they return (each shows itself, and has a data frame), ``background``
the thread in which a stack lives beside a notebook's own event loop, and ``magic`` the cell magic
``%%explain``.
"""
