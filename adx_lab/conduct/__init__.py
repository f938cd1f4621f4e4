"""The conductors: a run, a duet, a calibration, the switches, a night.

Each reads as prose; the rooms below do the work.
"""
