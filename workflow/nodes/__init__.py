"""The steps of a job, one per file. Each logs its line, and raises to stop the job."""
