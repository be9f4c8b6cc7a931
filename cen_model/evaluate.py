# SPDX-License-Identifier: Apache-2.0
"""The program `python -m cen_model.evaluate`: the command `cen evaluate`."""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    from cen_model.cli.cen import main

    sys.exit(main(["evaluate", *sys.argv[1:]]))
