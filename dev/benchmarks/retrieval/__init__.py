"""Quality and speed of retrieval, beside naive full text, TF-IDF and BM25."""
