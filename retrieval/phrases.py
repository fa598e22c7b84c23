"""What mail programs and polite people write around a message, in the languages whose wrapping is known.

All in lower case. A language that is not here keeps its greetings: they cost little, since
words that stand in each ticket weigh next to nothing.
"""

# Names of the lines at a mail's head, as Outlook, Apple Mail, Thunderbird and Gmail write them.
_HEADS = {
    "en": "from sent to cc bcc subject date reply-to importance attachments",
    "de": "von gesendet an kopie betreff datum antwort priorität anlagen",
    "fr": "de envoyé à objet date copie importance",
    "es": "de enviado para asunto fecha cc",
    "it": "da inviato a oggetto data",
    "nl": "van verzonden aan onderwerp",
}
HEADS = frozenset(name for names in _HEADS.values() for name in names.split())
# A line that is one of these, or begins with one and has at most three more words.
GREETINGS = (
    *(
        "hi",
        "hello",
        "hey",
        "dear",
        "good morning",
        "good afternoon",
        "good evening",
        "greetings",
        "to whom it may concern",
    ),
    *(
        "hallo",
        "guten tag",
        "guten morgen",
        "sehr geehrte",
        "sehr geehrter",
        "liebe",
        "lieber",
        "moin",
        "servus",
        "grüß gott",
    ),
    *("bonjour", "bonsoir", "salut", "madame", "monsieur", "cher", "chère", "chers"),
    *("hola", "buenos días", "buenas tardes", "buenas", "estimado", "estimada", "estimados", "querido", "querida"),
    *("buongiorno", "ciao", "gentile", "beste", "geachte", "goedemorgen", "goedemiddag"),
)
CLOSINGS = (
    *("best regards", "kind regards", "warm regards", "regards", "many thanks", "thanks", "thank you", "thx", "cheers"),
    *(
        "best",
        "best wishes",
        "sincerely",
        "yours sincerely",
        "yours faithfully",
        "all the best",
        "br",
        "thanks in advance",
    ),
    *("thank you in advance", "with kind regards", "kindest regards", "ta"),
    *(
        "mit freundlichen grüßen",
        "mit freundlichen gruessen",
        "mit freundlichem gruß",
        "freundliche grüße",
        "viele grüße",
    ),
    *("viele gruesse", "beste grüße", "liebe grüße", "schöne grüße", "grüße", "gruß", "mfg", "vg", "lg", "vielen dank"),
    *("danke", "besten dank", "danke im voraus", "vielen dank im voraus", "herzliche grüße", "hochachtungsvoll"),
    *("cordialement", "bien cordialement", "bien à vous", "merci", "merci d'avance", "merci beaucoup", "cdlt", "cdt"),
    *("sincères salutations", "salutations", "bonne journée", "meilleures salutations", "par avance merci"),
    *("saludos", "un saludo", "saludos cordiales", "atentamente", "gracias", "muchas gracias", "gracias de antemano"),
    *("un cordial saludo", "cordialmente", "reciba un cordial saludo", "gracias por adelantado"),
    *("cordiali saluti", "distinti saluti", "grazie", "met vriendelijke groet", "groeten", "bedankt"),
)
# Each begins a line that a device added.
SENT_FROM = (
    *("sent from my", "sent from outlook", "sent from mail for", "get outlook for", "sent via"),
    *("von meinem", "gesendet von mein", "gesendet mit", "outlook für", "holen sie sich outlook"),
    *("envoyé de mon", "envoyé depuis", "envoyé à partir", "télécharger outlook", "obtenir outlook"),
    *("enviado desde mi", "enviado desde", "obtener outlook", "inviato da", "verzonden vanaf", "verstuurd vanaf"),
)
# Each begins the line that a mail program puts above what was written before.
REPLY_MARKS = (
    *("-----original message", "----- original message", "---------- forwarded message", "begin forwarded message"),
    *("-----ursprüngliche nachricht", "-----originalnachricht", "---------- weitergeleitete nachricht"),
    *("anfang der weitergeleiteten", "-----urspruengliche nachricht"),
    *("-----message d'origine", "-----message original", "---------- message transféré", "---------- forwarded"),
    *(
        "-----mensaje original",
        "---------- mensaje reenviado",
        "-----messaggio originale",
        "-----oorspronkelijk bericht",
    ),
)
# "On Monday, Jo wrote:", as the line's begin and what else is in it before the colon at its end.
WROTE = (
    *(("on ", "wrote"), ("am ", "schrieb"), ("le ", "a écrit"), ("el ", "escribió"), ("il ", "ha scritto")),
    ("op ", "schreef"),
)
# A notice has a word of each.
SECRET = ("confidential", "privileged", "vertraulich", "confidentiel", "confidencial", "riservat", "vertrouwelijk")
MESSAGE = (
    *("e-mail", "email", "message", "mail", "recipient", "nachricht", "empfänger", "courriel", "destinataire"),
    *("mensaje", "correo", "destinatario", "messaggio", "bericht"),
)
# Each alone makes a line a notice.
NOTICES = (
    *(
        "this email originated from outside",
        "this message originated from outside",
        "external email",
        "external sender",
    ),
    *("[external]", "caution: external", "caution: this email", "please consider the environment"),
    *("diese e-mail stammt von", "externe e-mail", "denken sie an die umwelt", "bitte prüfen sie der umwelt"),
    *("ce courriel provient de l'extérieur", "pensez à l'environnement", "avant d'imprimer"),
    *("antes de imprimir", "este correo procede de", "if you are not the intended recipient"),
    *("if you have received this", "wenn sie nicht der richtige adressat", "wenn sie diese e-mail irrtümlich"),
    *("si vous avez reçu ce", "si ha recibido este", "si usted no es el destinatario"),
)
