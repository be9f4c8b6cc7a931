# SPDX-License-Identifier: Apache-2.0
"""Pictures, and JPEG, PNG and WebP files of them that Pillow or hands wrote."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: pip install '.[sim]'")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
H, W = 24, 40
RAMP = np.linspace(0, 255, W).astype(np.uint8)
RGB = np.stack([np.tile(RAMP, (H, 1)), np.full((H, W), 40, np.uint8), np.tile(RAMP[::-1] // 2, (H, 1))], axis=2)
MM = np.random.default_rng(3).integers(0, 65536, (H, W)).astype(np.uint16)
LABELS = np.random.default_rng(4).integers(0, 256, (H, W)).astype(np.uint8)


def coded(pixels, codec, **options):
    file = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, codec, **options)
    return file.getvalue()


def png(width, height, bits, color_type, rows=b"", chunks=b""):
    head = tag(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0))
    return PNG_SIGNATURE + head + chunks + tag(b"IDAT", zlib.compress(rows)) + tag(b"IEND", b"")


def png_rows(pixels):
    return b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels)


def tag(name, data):
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
