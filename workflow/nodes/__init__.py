"""The steps of a job, one per file: each logs its line, and raises to stop."""
