"""Embeddings of texts, by a model in this process or by an endpoint: which texts say the same, whatever their words."""
