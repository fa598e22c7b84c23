"""Fast tests: one part at a time, with what it needs passed in; of servers only loopback ones."""
