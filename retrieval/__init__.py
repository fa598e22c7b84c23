"""Text analysis and similarity: wrapping, language, terms and the strength of a find."""
