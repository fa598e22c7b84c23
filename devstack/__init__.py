"""Development system: servers, simulators and processes on one machine.

`python -m devstack up` leaves it running, `python -m devstack demo` shows it at work, and `devstack.system.System` is
the same composition for tests. Not part of the wheel.
"""
