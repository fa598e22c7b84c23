"""Simulated ServiceDesk Plus and OpenAI endpoint as real HTTP servers.

They follow the vendors' documentation, record every request, and fail on demand (`/_sim/faults`). They import no module
of the product, so that a misread format cannot hide in its own test double.
"""
