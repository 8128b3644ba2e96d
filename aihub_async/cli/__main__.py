"""`python -m aihub_async.cli`."""

from aihub_async.cli import main

main()
