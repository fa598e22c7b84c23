"""What a text says and how alike two are: its wrapping off, its language, its terms, and what a find is worth."""
