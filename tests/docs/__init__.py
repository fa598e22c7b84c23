"""Documents against the code: what a reader is told is so."""
