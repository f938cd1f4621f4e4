"""What about a plan will cost time: one rule a kind of finding."""
