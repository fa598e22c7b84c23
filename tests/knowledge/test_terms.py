"""Terms: stemmed words, literal codes, their weights, and the measures made of them."""

import os
import subprocess
import sys

import numpy as np
import pytest

from integrations.values import Person
from knowledge.embedding_space import EmbeddingSpace, parallel_texts
from knowledge.language import LANGUAGES, languages_of
from knowledge.terms import (
    MIN,
    WordMatch,
    query_terms,
    strength_by_both,
    taken_up,
    weighed_terms,
    without_noise,
)

STEPS = ["Reset the WAN Miniport (IKEv2) in the device manager.", "Then dial again."]
TICKET = "VPN fails with error 720"


def common(one: str, other: str, language: str = "en") -> int:
    return len(set(query_terms(one, "", [language]).terms) & weighed_terms("", other, language).keys())


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


@pytest.mark.parametrize("text", ["the of and", "I have a", "", "!!! ???", "x" * 65])
def test_what_tells_nothing_apart_is_no_term(text: str) -> None:
    assert common(text, text) == 0


def test_words_of_a_language_have_its_stems_and_of_an_uncertain_text_each_is_asked_for() -> None:
    assert common("die Druckern melden Fehler", "der Drucker meldet Fehler", "de") == 3
    assert common("les imprimantes", "imprimante", "fr") == 1
    asked = query_terms("installations", "", ["en", "de", "fr"])
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
    assert set(query_terms("first", "", ["en"]).terms) <= weighed_terms("first", text, "en").keys()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The printer on the second floor is offline again", "en"),
        ("Der Drucker im zweiten Stock geht schon wieder nicht", "de"),
        ("La impresora del segundo piso no responde", "es"),
        ("DER DRUCKER IM ZWEITEN STOCK GEHT NICHT MEHR", "de"),
    ],
)
def test_the_language_of_a_sentence_is_told(text: str, language: str) -> None:
    assert languages_of(text) == [language]
    # What is too short may be of any.
    assert set(languages_of("SID_37")) == set(LANGUAGES)
    assert languages_of("", ["de", "en"]) in (["de", "en"], ["en", "de"])
    assert languages_of("The printer is offline", ["de"]) == ["de"]


def both(by_words: float, nearness: float, *, one_language: bool, texts: float = 500, words: int = 12) -> float:
    return strength_by_both(by_words, nearness, one_language=one_language, texts=texts, words=words)


def test_words_and_nearness_add_and_either_alone_can_be_enough() -> None:
    assert both(0.0, 6.0, one_language=False) > MIN > both(0.0, 0.0, one_language=False)
    assert both(0.9, 2.5, one_language=True) > MIN > both(0.0, 2.5, one_language=True)
    assert both(0.5, 3.0, one_language=True) > both(0.1, 3.0, one_language=True)
    # No words in common say less where the languages differ.
    assert both(0.0, 3.0, one_language=False) > both(0.0, 3.0, one_language=True)
    # Nearness says less of a few words, and among many texts.
    assert both(0.3, 4.0, one_language=True) > both(0.3, 4.0, one_language=True, words=3)
    assert both(0.3, 4.0, one_language=True) > both(0.3, 4.0, one_language=True, texts=10_000)


def test_a_match_is_stronger_by_its_share_of_a_query_whose_words_the_desk_knows_among_few_texts() -> None:
    usual = WordMatch(score=20.0, asked=40.0, known=35.0, texts=500)
    assert usual._replace(score=25.0).strength(10) > usual.strength(10) > usual._replace(asked=60.0).strength(10)
    assert usual._replace(known=10.0).strength(10) < usual.strength(10) < usual.strength(20)
    assert usual._replace(texts=10_000).strength(10) < usual.strength(10) < usual._replace(texts=50).strength(10)
    for nothing in (usual._replace(score=0.0), usual._replace(asked=0.0), WordMatch(0, 0, 0, 0)):
        assert nothing.strength(0) == 0.0


@pytest.mark.parametrize(
    ("text", "people", "kept"),
    [
        ("VPN of Zoë Adeyemi drops", (Person("Zoë Adeyemi"),), "VPN of drops"),
        (
            "Adeyemi, Zoë: zoe@acme.example, 0171 555",
            (Person("Zoë Adeyemi", ("zoe@acme.example",), ("0171 555",)),),
            ": ,",
        ),
        ("Guest network is slow", (Person("Guest"),), "Guest network is slow"),
        ("NB-0815 and DESKTOP-4F2K9Q1 see srv-fs02, SID_37", (), "and see srv-fs02, SID_37"),
        ("Name: Zoë\nAbteilung: Einkauf\nFehler: 809", (), "Fehler: 809"),
        ("Room: 3.14", (), ""),
    ],
)
def test_a_query_is_searched_without_people_their_machines_and_form_lines(
    text: str, people: tuple[Person, ...], kept: str
) -> None:
    assert " ".join(without_noise(text, people).split()) == kept


def test_stop_words_are_known_in_each_spelling() -> None:
    assert query_terms("für fuer über ueber", "", ["de"]).terms == []
    assert query_terms("très tres", "", ["fr"]).terms == []


@pytest.mark.parametrize("by_words", [-1.0, 0.0, 1e-300, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("nearness", [-40.0, 0.0, 40.0])
def test_it_is_a_likelihood_whatever_comes(by_words: float, nearness: float) -> None:
    assert 0 <= both(by_words, nearness, one_language=True) <= 1


@pytest.mark.parametrize(
    ("resolution", "least", "most"),
    [
        ("Reset the WAN miniport in the device manager; dials again.", 0.9, 1),
        ("Resetting WAN Miniports helped; also replaced the network card.", 0.3, 0.6),
        ("Replaced the network card, the old one was broken.", 0, 0.1),
        ("Sperrte das Konto und richtete ein neues Kennwort ein.", 0, 0.1),
        ("Reset the WAN Miniport in the device manager. " + "x " * 1_000_000, 0.5, 1),
    ],
    ids=["all", "half", "nothing", "another language", "too long"],
)
def test_a_note_is_measured_by_the_share_of_the_resolutions_terms_that_its_steps_have(
    resolution: str, least: float, most: float
) -> None:
    share = taken_up(STEPS, resolution, TICKET)
    assert share is not None
    assert least <= share <= most


@pytest.mark.parametrize(
    ("steps", "resolution", "share"),
    [
        (["VPN error 720: fails at the miniport."], "VPN fails with error 720: replaced cable, port and switch.", 0),
        *((STEPS, each, None) for each in ("", "fixed", "Done, as discussed.", TICKET, "?!", "\ud83d")),
        ([], "Reset the WAN Miniport in the device manager.", None),
    ],
)
def test_words_of_the_ticket_prove_nothing_and_a_few_words_are_not_measured(
    steps: list[str], resolution: str, share: float | None
) -> None:
    assert taken_up(steps, resolution, TICKET) == share


RANDOM = np.random.default_rng(5)
MATTERS = RANDOM.normal(size=(24, 96))
OFFSETS = {language: 4 * RANDOM.normal(size=96) for language in ("en", "de", "fr")}


def said(matter: int, language: str, scale: float = 1.0) -> list[float]:
    text: list[float] = (scale * (MATTERS[matter] + OFFSETS[language])).tolist()
    return text


def a_space(scale: float = 1.0) -> EmbeddingSpace:
    texts = {language: [said(matter, language, scale) for matter in range(24)] for language in OFFSETS}
    return EmbeddingSpace(texts, texts)


def test_the_same_is_near_in_any_language_and_another_matter_is_not_in_the_same() -> None:
    space = a_space()
    kept = [
        space.document_bytes(said(matter, language), language) for matter, language in ((3, "de"), (4, "en"), (3, "en"))
    ]
    in_german, another, in_english = space.nearness(space.query_vector(said(3, "en"), "en"), b"".join(kept))
    assert in_german == pytest.approx(in_english, rel=0.1)
    assert abs(another) < 3 < in_german
    # A language without sentences has what is common to all taken off.
    assert space.nearness(space.query_vector(said(3, "en"), "ru"), space.document_bytes(said(3, "en"), "ru"))[0] > 3


def test_nearness_is_in_deviations_of_unrelated_texts() -> None:
    """Comparable between models with vectors of any length."""
    space, longer = a_space(), a_space(50.0)
    kept = b"".join(space.document_bytes(said(n, "en"), "en") for n in range(24))
    near = np.array([space.nearness(space.query_vector(said(n, "fr"), "fr"), kept) for n in range(24)])
    others = near[~np.eye(24, dtype=bool)]
    assert abs(others.mean()) < 1
    assert 0.5 < others.std() < 1.5
    assert longer.nearness(longer.query_vector(said(3, "fr", 50), "fr"), kept) == pytest.approx(near[3], abs=1e-3)


def test_a_byte_a_dimension_is_kept_and_nothing_comes_of_nothing() -> None:
    space = a_space()
    assert len(space.document_bytes(said(1, "en"), "en")) == space.dimensions == 96
    assert space.nearness(space.query_vector(said(1, "en"), "en"), b"") == []
    nothing = OFFSETS["en"].tolist()
    assert all(np.isfinite(space.nearness(space.query_vector(nothing, "en"), space.document_bytes(nothing, "en"))))


def test_the_sentences_say_the_same_in_each_of_our_languages() -> None:
    texts = parallel_texts()
    assert set(texts) == {"en", "de", "fr", "es", "it", "nl", "pt"}
    assert {len(each) for each in texts.values()} == {24}
    assert all("\n" in text for each in texts.values() for text in each)


def test_two_processes_count_the_same_terms() -> None:
    """The order of a set of strings depends on `PYTHONHASHSEED`, which differs between processes."""
    program = """
from knowledge.terms import query_terms
text = "The printers in the offices stopped printing installations after updating drivers, nothing prints"
print(query_terms("Printing stops", text, ["en", "de", "fr", "es", "it", "nl"]))
"""
    seeds = ({**os.environ, "PYTHONHASHSEED": seed} for seed in "1234")
    counted = {subprocess.check_output([sys.executable, "-c", program], env=seed, text=True) for seed in seeds}
    assert len(counted) == 1, counted
