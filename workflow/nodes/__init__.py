"""The steps of a job, one a file. Each prints its line, and raises what stops the job."""
