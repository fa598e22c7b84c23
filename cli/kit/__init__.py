"""Templates of `ai-agents signing-kit`; `@URL@` and the like are filled in."""
