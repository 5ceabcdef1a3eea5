"""`python -m classicnets` is the command `classicnets`."""

from classicnets.cli import main

main()
