"""Run the generator as a command."""

import sys

from aihub_sync._generate import main

sys.exit(main(sys.argv[1:]))
