"""How well earlier tickets and documents are found, and how fast: beside naive full text, TF-IDF and BM25."""
