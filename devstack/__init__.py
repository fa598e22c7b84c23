"""The whole system on one machine: embedded servers, simulators and every process, with one command.

`python -m devstack up` leaves it running, `python -m devstack demo` shows it at work, and
`devstack.system.System` is the same composition for tests. Not part of the wheel.
"""
