"""The real processes against the simulators; asserts on notes in tickets, rows, log lines and spans."""
