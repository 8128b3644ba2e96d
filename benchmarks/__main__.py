"""Run one benchmark by name, or list them."""

import importlib
import pkgutil
import sys

import benchmarks

_HELPERS = frozenset({"__main__", "contestants", "measure", "plot", "record", "run_server", "serving", "sink"})


def names() -> list[str]:
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if name not in _HELPERS)


def main(argv: list[str]) -> int:
    if argv and argv[0] in names():
        module = importlib.import_module(f"benchmarks.{argv[0]}")
        code: int = module.main(argv[1:])
        return code
    print("usage: python -m benchmarks NAME [options]; NAME is one of")
    for name in names():
        print(f"  {name}")
    return 2 if argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
