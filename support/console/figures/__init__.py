"""What the console's pages tell, gathered and put into words: plain values, which templates only lay out."""
