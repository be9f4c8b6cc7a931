# SPDX-License-Identifier: Apache-2.0
"""The network: private layers and channel exchange, encoders, decoders, fusion baselines, and their assembly.

The modules here import `cen_model.config`, `cen_model.utils` and each other. They know nothing of data, training or
deployment, so that an engine depends on this folder and on `cen_model.deploy` alone.
"""
