"""Given to Locust beside somebody's locustfile (``-f``): what the lab needs of the process that it starts."""
