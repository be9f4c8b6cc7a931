# SPDX-License-Identifier: Apache-2.0
"""The program `python -m cen_model.cli`: `cen`, where its script is not installed."""

from __future__ import annotations

import sys

from cen_model.cli.cen import main

if __name__ == "__main__":
    sys.exit(main())
