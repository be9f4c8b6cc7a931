# SPDX-License-Identifier: Apache-2.0
"""The program `python -m cen_model.train`: the command `cen train`."""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    from cen_model.cli.cen import main

    sys.exit(main(["train", *sys.argv[1:]]))
