"""What `ai-agents signing-kit` prints, to be pasted beside or into a desk; `@URL@` and the like are filled in."""
