"""Development system: servers, simulators and processes on one machine.

`python -m dev.stack up` leaves it running, `python -m dev.stack demo` shows it at work, and
`dev.stack.system.System` is the same composition for tests. Never shipped.
"""
