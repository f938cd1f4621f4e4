"""The history of a service: the commits between two, and what they touched."""
