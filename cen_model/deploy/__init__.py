# SPDX-License-Identifier: Apache-2.0
"""From a network to an engine: export, exact rewriting, compilation by a backend, and the cache of engines.

`passes/` holds the rewriting, `backends/` the compilers. The modules here import `cen_model.nn`, `cen_model.models` and
`cen_model.utils`. An engine depends on these modules alone, so that its key in the cache can be narrow.
"""
