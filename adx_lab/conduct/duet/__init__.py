"""The duet: two variants up at once, the same requests to both, block by block, and a verdict that is sealed.

``bench`` starts both variants for one block and loads them; ``conduct`` goes from block to block and stores
the run; ``evidence`` judges a stored run, and gives the same answer again, bit for bit; ``calibrate`` finds
out what such a verdict is worth on this machine, and ``baseline`` and ``nights`` look at more than one.
``rules`` plays the core against itself with one performance rule off at a time, over what shows that rule.
"""
