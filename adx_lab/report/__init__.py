"""Show what was measured: figures, notebooks, pages.

``judgement`` puts a stored run and the budgets before the analysis; ``figures`` draws; ``notebooks`` executes
the notebooks; ``pages`` writes the folder that a person opens. A report never measures again.
"""
