"""Terms: stemmed words, literal codes, and their weights."""

import pytest

from retrieval.language import LANGUAGES, languages_of
from retrieval.terms import asked_terms, weighed_terms


def common(one: str, other: str, language: str = "en") -> int:
    return len(set(asked_terms(one, "", [language]).terms) & weighed_terms("", other, language).keys())


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("SID_37", "code sid_37 appears"),
        ("IE", "opens in ie only"),
        ("U drive", "the U: is gone"),
        ("0x80070005", "Fehler 0x80070005."),
        ("srv-fs02", "SRV-FS02.acme.example is down"),
        ("ORA-12541", "ORA-12541: TNS:no listener"),
        ("10.1.1.5", "ping 10.1.1.5 fails"),
        ("printers", "PRINTER"),
        ("ﬁle", "file"),
        ("打印机", "打印机坏了"),
    ],
)
def test_what_people_search_for_is_found(asked: str, text: str) -> None:
    assert common(asked, text) >= 1


@pytest.mark.parametrize(
    ("asked", "text"),
    [("the of and", "the of and"), ("I have a", "I have a"), ("", "x"), ("!!! ???", "!!! ???"), ("x" * 65, "x" * 65)],
)
def test_what_tells_nothing_apart_is_no_term(asked: str, text: str) -> None:
    assert common(asked, text) == 0


def test_words_of_a_language_have_its_stems() -> None:
    assert common("die Drucker melden Fehler", "der Drucker meldet Fehler", "de") == 3
    assert common("les imprimantes", "imprimante", "fr") == 1


def test_of_an_uncertain_text_each_stem_is_asked_for() -> None:
    assert common("Druckern", "Drucker", "de") == 1
    asked = asked_terms("installations", "", ["en", "de", "fr"])
    assert len(asked.terms) > 1
    assert set(asked.words) == {0}


def test_a_subject_counts_more_and_a_long_text_less() -> None:
    plain, subject = weighed_terms("", "vpn", "en"), weighed_terms("vpn", "", "en")
    long = weighed_terms("", "vpn " + " ".join(f"word{number}" for number in range(300)), "en")
    (term,) = plain
    assert subject[term] > plain[term] > long[term] > 0


def test_a_text_has_a_thousand_terms_at_most() -> None:
    text = " ".join(f"word{number}" for number in range(5000))
    assert len(weighed_terms("first", text, "en")) == 1000
    assert set(asked_terms("first", "", ["en"]).terms) <= weighed_terms("first", text, "en").keys()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The printer on the second floor is offline again", "en"),
        ("Der Drucker im zweiten Stock geht schon wieder nicht", "de"),
        ("L'imprimante du deuxième étage ne répond plus", "fr"),
        ("La impresora del segundo piso no responde", "es"),
        ("DER DRUCKER IM ZWEITEN STOCK GEHT NICHT MEHR", "de"),
    ],
)
def test_the_language_of_a_sentence_is_told(text: str, language: str) -> None:
    assert languages_of(text) == [language]


def test_what_is_too_short_may_be_of_any() -> None:
    assert set(languages_of("SID_37")) == set(LANGUAGES)
    assert languages_of("", ["de", "en"]) in (["de", "en"], ["en", "de"])
    assert languages_of("The printer is offline", ["de"]) == ["de"]
