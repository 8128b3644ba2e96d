"""Run many cases: ``python -m tests.fuzz --cases 1000000``."""

import argparse
import resource
import sys
import time
import traceback

from tests.fuzz.targets import run_case


def main() -> int:
    """Run the cases; print each that fails, with the number that repeats it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000, help="how many (default: 100000)")
    parser.add_argument("--start", type=int, default=0, help="number of the first case (default: 0)")
    options = parser.parse_args()
    began, failed = time.monotonic(), 0
    for seed in range(options.start, options.start + options.cases):
        try:
            run_case(seed)
        except Exception:  # noqa: BLE001 - every exception is a finding
            failed += 1
            print(f"case {seed}:\n{traceback.format_exc(limit=-4)[-1500:]}\n    repeat: --start {seed} --cases 1")
            if failed == 10:
                break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{options.cases} cases in {time.monotonic() - began:.0f} s, {failed} failed, peak memory {peak} MiB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
