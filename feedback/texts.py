"""What the page says, in the languages that it speaks."""

from dataclasses import dataclass

from storage.feedback import Vote, VoteReason

Message = tuple[str, str]
"""A heading, and one more sentence."""


@dataclass(frozen=True, slots=True)
class PageTexts:
    """All of one language."""

    language: str
    question: str
    about: str
    useful: str
    not_useful: str
    why: str
    optional: str
    reasons: dict[VoteReason, str]
    thanks: Message
    answered: str
    change: str
    unknown: Message
    expired: Message
    gone: Message
    later: Message
    unreadable: Message
    method: Message

    def of(self, vote: Vote) -> str:
        """Return what a vote is called."""
        return self.useful if vote == Vote.USEFUL else self.not_useful


_ENGLISH = PageTexts(
    language="en",
    question="Was this note useful?",
    about="It is the note that a language model wrote into a ticket. Your answer says nothing of you.",
    useful="Useful",
    not_useful="Not useful",
    why="If not: why?",
    optional="You need not choose one.",
    reasons={
        VoteReason.WRONG_CAUSE: "The cause is wrong",
        VoteReason.STEPS_DO_NOT_FIT: "The steps do not fit",
        VoteReason.NOTHING_NEW: "It says nothing new",
        VoteReason.UNCLEAR: "It is unclear or too long",
        VoteReason.OTHER: "Another reason",
    },
    thanks=("Thank you", "Your answer is recorded."),
    answered="Your answer:",
    change="Change it",
    unknown=("There is no such page", "The link may have been cut or changed. Open it from the ticket."),
    expired=("This link has expired", "Feedback is taken for 90 days. Thank you all the same."),
    gone=("This note is not known any more", "There is nothing left to give feedback on. Thank you all the same."),
    later=("That did not work", "Your answer is not recorded. Please try again in a minute."),
    unreadable=("That could not be read", "Please choose one of the answers."),
    method=("That is not possible here", "Open the link from the ticket."),
)
_GERMAN = PageTexts(
    language="de",
    question="War diese Notiz nützlich?",
    about="Gemeint ist die Notiz, die ein Sprachmodell in ein Ticket geschrieben hat. Ihre Antwort sagt nichts über "
    "Sie.",
    useful="Nützlich",
    not_useful="Nicht nützlich",
    why="Wenn nicht: warum?",
    optional="Sie müssen nichts auswählen.",
    reasons={
        VoteReason.WRONG_CAUSE: "Die Ursache ist falsch",
        VoteReason.STEPS_DO_NOT_FIT: "Die Schritte passen nicht",
        VoteReason.NOTHING_NEW: "Sie sagt nichts Neues",
        VoteReason.UNCLEAR: "Sie ist unklar oder zu lang",
        VoteReason.OTHER: "Ein anderer Grund",
    },
    thanks=("Danke", "Ihre Antwort ist gespeichert."),
    answered="Ihre Antwort:",
    change="Ändern",
    unknown=("Diese Seite gibt es nicht", "Der Link ist vielleicht gekürzt oder verändert. Öffnen Sie ihn im Ticket."),
    expired=("Dieser Link ist abgelaufen", "Antworten sind 90 Tage lang möglich. Trotzdem danke."),
    gone=("Diese Notiz ist nicht mehr bekannt", "Es gibt nichts mehr zu beantworten. Trotzdem danke."),
    later=(
        "Das hat nicht geklappt",
        "Ihre Antwort ist nicht gespeichert. Bitte versuchen Sie es in einer Minute noch einmal.",
    ),
    unreadable=("Das war nicht lesbar", "Bitte wählen Sie eine der Antworten."),
    method=("Das geht hier nicht", "Öffnen Sie den Link im Ticket."),
)
_FRENCH = PageTexts(
    language="fr",
    question="Cette note a-t-elle été utile ?",
    about="Il s’agit de la note qu’un modèle de langage a écrite dans un ticket. Votre réponse ne dit rien de vous.",
    useful="Utile",
    not_useful="Pas utile",
    why="Sinon, pourquoi ?",
    optional="Vous n’êtes pas obligé de choisir.",
    reasons={
        VoteReason.WRONG_CAUSE: "La cause est fausse",
        VoteReason.STEPS_DO_NOT_FIT: "Les étapes ne conviennent pas",
        VoteReason.NOTHING_NEW: "Elle n’apporte rien de nouveau",
        VoteReason.UNCLEAR: "Elle est confuse ou trop longue",
        VoteReason.OTHER: "Une autre raison",
    },
    thanks=("Merci", "Votre réponse est enregistrée."),
    answered="Votre réponse :",
    change="La modifier",
    unknown=("Cette page n’existe pas", "Le lien a peut-être été coupé ou modifié. Ouvrez-le depuis le ticket."),
    expired=("Ce lien a expiré", "Les réponses sont possibles pendant 90 jours. Merci tout de même."),
    gone=("Cette note n’est plus connue", "Il n’y a plus rien à évaluer. Merci tout de même."),
    later=("Cela n’a pas fonctionné", "Votre réponse n’est pas enregistrée. Veuillez réessayer dans une minute."),
    unreadable=("La réponse est illisible", "Veuillez choisir une des réponses."),
    method=("Ce n’est pas possible ici", "Ouvrez le lien depuis le ticket."),
)
_SPANISH = PageTexts(
    language="es",
    question="¿Le ha sido útil esta nota?",
    about="Es la nota que un modelo de lenguaje escribió en un ticket. Su respuesta no dice nada de usted.",
    useful="Útil",
    not_useful="No útil",
    why="Si no: ¿por qué?",
    optional="No hace falta que elija.",
    reasons={
        VoteReason.WRONG_CAUSE: "La causa es errónea",
        VoteReason.STEPS_DO_NOT_FIT: "Los pasos no encajan",
        VoteReason.NOTHING_NEW: "No dice nada nuevo",
        VoteReason.UNCLEAR: "Es confusa o demasiado larga",
        VoteReason.OTHER: "Otra razón",
    },
    thanks=("Gracias", "Su respuesta está guardada."),
    answered="Su respuesta:",
    change="Cambiarla",
    unknown=("Esta página no existe", "Quizá el enlace está cortado o cambiado. Ábralo desde el ticket."),
    expired=("Este enlace ha caducado", "Se puede responder durante 90 días. Gracias de todos modos."),
    gone=("Esta nota ya no se conoce", "Ya no hay nada que valorar. Gracias de todos modos."),
    later=("No ha funcionado", "Su respuesta no está guardada. Inténtelo de nuevo en un minuto."),
    unreadable=("No se ha podido leer", "Elija una de las respuestas."),
    method=("Aquí no es posible", "Abra el enlace desde el ticket."),
)
TEXTS = {texts.language: texts for texts in (_ENGLISH, _GERMAN, _FRENCH, _SPANISH)}
_MOST_READ = 200


def texts_for(accept_language: str) -> PageTexts:
    """Return the language that somebody likes best (an `Accept-Language` header), of those that there are; or English.

    Of two that are liked alike it is the first.
    """
    liked: list[tuple[float, str]] = []
    for part in accept_language[:_MOST_READ].split(","):
        name, _, weight = part.partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight.strip() else 1.0
        except ValueError:
            continue
        language = name.strip().lower().partition("-")[0]
        if quality > 0 and language in TEXTS:
            liked.append((quality, language))
    return TEXTS[max(liked, key=lambda each: each[0])[1]] if liked else _ENGLISH
