"""A pilot on one machine: `ai-agents init` and `up`, and its embedded servers."""
