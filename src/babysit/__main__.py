"""`python -m babysit` is the same as `babysit`."""

from babysit.cli.app import main

main()
