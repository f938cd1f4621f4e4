"""Lets the lab start itself: ``python -m adx_lab.cli``."""

from adx_lab.cli import main

main()
