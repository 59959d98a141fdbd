"""Runs the command line with something done to the product: what, the first arguments say.

``python launch.py --at claimed=kill up …`` kills the process where deliveries have been claimed,
``--at claimed=stop`` stops it there, ``--clock -3600`` has its wall clock go wrong, and ``--mutant
sign_once`` breaks a promise. The product itself has no switch for any of it: what is named here is
replaced in memory before the command line is run.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

# Behind everything else, so that the product is the one that is installed.
sys.path.append(str(Path(__file__).parents[3]))

from notification_entrypoints.cli import main
from tests.faults.tampering import clock, mutants, points

_TAMPERING = {"--at": points.arm, "--clock": clock.shift, "--mutant": mutants.mutate}


def run(arguments: Sequence[str]) -> int:
    """Do what the first arguments say, and run the others."""
    words = list(arguments)
    while words[0] in _TAMPERING:
        tamper, how = _TAMPERING[words.pop(0)], words.pop(0)
        tamper(how)
    return main(words)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
