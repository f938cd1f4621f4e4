"""Profiles: where the variants of a duet compute, sampled from outside and both alike."""
