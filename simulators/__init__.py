"""Simulated outside world: a ServiceDesk Plus and an OpenAI endpoint as real HTTP servers.

They behave like the real ones as far as `docs` of the vendors tell, remember everything they receive,
and misbehave on demand (`/_sim/faults`). They import nothing from the product, so that a mistake in the
product's reading of a format cannot hide in its own test double.
"""
