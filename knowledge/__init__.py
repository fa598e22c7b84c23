"""Text analysis and similarity: wrapping, language, terms and strength."""
