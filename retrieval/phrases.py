"""Phrases of mail programs and politeness around a message, by language.

All in lower case. Other languages keep their greetings: they cost little, because words that every ticket has weigh
next to nothing.
"""

# Header names in a mail's text, as Outlook, Apple Mail, Thunderbird and Gmail write them.
_HEADS = {
    "en": "from sent to cc bcc subject date reply-to importance attachments",
    "de": "von gesendet an kopie betreff datum antwort priorität anlagen",
    "fr": "de envoyé à objet date copie importance",
    "es": "de enviado para asunto fecha cc",
    "it": "da inviato a oggetto data",
    "nl": "van verzonden aan onderwerp",
}
HEADS = frozenset(name for names in _HEADS.values() for name in names.split())
OF_SENDER = frozenset({"from", "von", "de", "da", "van"})
OF_SUBJECT = frozenset({"subject", "betreff", "objet", "asunto", "oggetto", "onderwerp"})
# A line with one of these, alone or with the name of the addressee.
GREETINGS = (
    *(
        "good morning",
        "good afternoon",
        "good evening",
        "to whom it may concern",
        "hi",
        "hello",
        "hey",
        "dear",
        "greetings",
    ),
    *(
        "sehr geehrte",
        "sehr geehrter",
        "guten tag",
        "guten morgen",
        "grüß gott",
        "hallo",
        "liebe",
        "lieber",
        "moin",
        "servus",
    ),
    *("bonjour", "bonsoir", "salut", "madame", "monsieur", "cher", "chère", "chers"),
    *("buenos días", "buenas tardes", "hola", "buenas", "estimado", "estimada", "estimados", "querido", "querida"),
    *("buongiorno", "ciao", "gentile", "beste", "geachte", "goedemorgen", "goedemiddag"),
)
_GREETED = {
    "en": "team all everyone everybody there service desk helpdesk it support colleagues sir madam or and guys folks",
    "de": "damen und herren zusammen kollegen kolleginnen kollege team it support an alle helpdesk",
    "fr": "à tous toutes équipe monsieur madame collègues le support et",
    "es": "equipo a todos todas compañeros señores señor señora soporte de",
    "it": "a tutti team",
    "nl": "allemaal team collega heer mevrouw",
}
GREETED = frozenset(name for names in _GREETED.values() for name in names.split())
CLOSINGS = (
    *("best regards", "kind regards", "warm regards", "regards", "many thanks", "thanks", "thank you", "thx", "cheers"),
    *("best wishes", "sincerely", "yours sincerely", "yours faithfully", "all the best", "thanks in advance"),
    *("thank you in advance", "with kind regards", "kindest regards", "br"),
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
# Lines that a device or its mail program adds, as start and end of the line.
SENT_FROM = (
    *(("sent from my ", ""), ("sent from outlook", ""), ("sent from mail for", ""), ("get outlook for", "")),
    *(
        ("von meinem ", " gesendet"),
        ("gesendet von mein", ""),
        ("holen sie sich outlook", ""),
        ("outlook für ", " beziehen"),
    ),
    *(("envoyé de mon ", ""), ("envoyé depuis mon ", ""), ("envoyé à partir de ", ""), ("télécharger outlook", "")),
    *(("enviado desde mi ", ""), ("obtener outlook", ""), ("inviato da ", ""), ("verzonden vanaf ", "")),
)
# Starts of the line that a mail program puts above the quoted mail.
REPLY_MARKS = (
    *("-----original message", "----- original message", "-----ursprüngliche nachricht", "-----originalnachricht"),
    *("-----urspruengliche nachricht", "-----message d'origine", "-----message original", "-----mensaje original"),
    *("-----messaggio originale", "-----oorspronkelijk bericht"),
)
# The same above a forwarded mail, which is the subject of the ticket.
FORWARD_MARKS = (
    *("---------- forwarded", "begin forwarded message", "---------- weitergeleitet", "anfang der weitergeleiteten"),
    *("---------- message transféré", "---------- mensaje reenviado", "-----forwarded", "-----weitergeleitet"),
)
# "On Monday, Jo wrote:", as the start of the line and a later part before the final colon.
WROTE = (
    *(("on ", "wrote"), ("am ", "schrieb"), ("le ", "a écrit"), ("el ", "escribió"), ("il ", "ha scritto")),
    ("op ", "schreef"),
)
# With one of these, a few words above an older mail only point to it.
POINTING = (
    *("below", "this", "see ", "attached", "forward", "fyi", "unten", "anbei", "siehe", "das hier", "folgende"),
    *("ci-dessous", "ci-joint", "voir", "abajo", "adjunto", "adjunta", "ver "),
)
# A confidentiality notice is long and has a word of each.
SECRET = ("confidential", "privileged", "vertraulich", "confidentiel", "confidencial", "riservat", "vertrouwelijk")
LEGAL = (
    *("intended", "unauthorized", "unauthorised", "disclos", "received this", "bestimmt", "unbefugt", "irrtümlich"),
    *(
        "adressat",
        "empfänger",
        "destiné",
        "divulg",
        "par erreur",
        "exclusiv",
        "destinatario",
        "por error",
        "uso exclusivo",
    ),
)
# Starts of lines that are notices as a whole.
NOTICES = (
    *("this email originated from outside", "this message originated from outside", "caution: this email"),
    *("caution: external", "external email:", "external sender:", "please consider the environment"),
    *(
        "diese e-mail stammt von außerhalb",
        "externe e-mail:",
        "denken sie an die umwelt",
        "bitte denken sie an die umwelt",
    ),
    *("ce courriel provient de l'extérieur", "pensez à l'environnement", "avant d'imprimer"),
    *("antes de imprimir", "este correo procede de fuera", "if you are not the intended recipient"),
    *("if you have received this", "wenn sie nicht der richtige adressat", "wenn sie diese e-mail irrtümlich"),
    *("si vous avez reçu ce", "si ha recibido este", "si usted no es el destinatario"),
)
# Prefixes of a mail server in a subject or first line.
BANNERS = ("[external]", "[extern]", "[externe]", "[externo]", "[ext]")
