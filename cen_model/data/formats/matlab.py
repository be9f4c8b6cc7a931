# SPDX-License-Identifier: Apache-2.0
"""MATLAB's files, of both kinds; what reads them is optional."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

_NEEDS = "needs {package}: pip install 'cen_ros[datasets]'"


def load_mat(path: Path) -> dict[str, Any]:
    """Variables of a file of MATLAB before 7.3, structs as records.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is something else, or SciPy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ValueError(f"{path} {_NEEDS.format(package='SciPy')}") from error
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not there, and needed")
    try:
        return loadmat(path, squeeze_me=True)
    except (OSError, ValueError, NotImplementedError, TypeError) as error:
        raise ValueError(f"{path}: cannot be read as a MATLAB file: {error}") from error


class MatFile:
    """A file of MATLAB 7.3 (HDF5), opened in every process anew. Arrays have their axes the other way round."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None
        self._process = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_file": None, "_process": 0}

    def read(self, name: str, index: int) -> np.ndarray:
        """The part `index` of a variable; of a cell array, what the cell holds. Raises ValueError."""
        try:
            stored = self._opened()
            part = stored[name][index]
            return stored[part[0]][()] if part.dtype == object else part
        except (OSError, KeyError, IndexError) as error:
            raise ValueError(f"{self.path}: {name} {index + 1} cannot be read: {error}") from error

    def _opened(self) -> Any:
        if self._file is None or self._process != os.getpid():  # HDF5 does not survive a fork
            try:
                import h5py
            except ImportError as error:
                raise ValueError(f"{self.path} {_NEEDS.format(package='h5py')}") from error
            self._file, self._process = h5py.File(self.path, "r"), os.getpid()
        return self._file
