# SPDX-License-Identifier: Apache-2.0
"""Datasets as frames of NumPy arrays, derived modalities, transforms, samples and batches.

`formats/` reads one layout of files each, `tools/` checks and converts. The modules here import `cen_model.modalities`,
`cen_model.classes`, `cen_model.depth` and `cen_model.utils`; `catalog`, which opens a dataset by its name, imports
`cen_model.scenes` too.
"""
