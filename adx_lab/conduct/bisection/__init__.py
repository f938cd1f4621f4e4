"""A bisection: duets of the good commit against those in between, until one is to blame."""
