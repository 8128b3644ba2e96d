"""Run simulations: ``python -m tests.simulation --seeds 1000``, or one of them: ``--seed 17 --verbose``."""

import argparse
import sys
import time

from tests.simulation.run import simulate


def main() -> int:
    """Run the seeds that the command line names; print those that fail, with the command that repeats them."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds to run (default: 200)")
    parser.add_argument("--start", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--seed", type=int, help="run this one only, and show what was decided in it")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failing seed")
    options = parser.parse_args()
    seeds = range(options.start, options.start + options.seeds) if options.seed is None else [options.seed]
    began = time.monotonic()
    count = failed = 0
    for seed in seeds:
        count += 1
        story = simulate(seed)
        if options.seed is not None:
            print("\n".join(story.log))
        if story.error is not None:
            failed += 1
            print(f"seed {seed} ({story.scenario}): {type(story.error).__name__}: {str(story.error)[:500]}")
            print(f"    repeat with: python -m tests.simulation --seed {seed}")
            if not options.keep_going:
                break
    print(f"{count} seeds in {time.monotonic() - began:.1f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
