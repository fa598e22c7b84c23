"""The kinds of placeholders, and what else a model may call them."""

from masking.people import spelled

KINDS = {
    "PERSON": "a person",
    "LOGIN": "a login name",
    "EMAIL": "a mail address",
    "PHONE": "a telephone number",
    "BANK": "a bank account",
    "CARD": "a payment card",
    "ID": "a personal number",
    "SECRET": "a secret",
    "ADDRESS": "a postal address",
    "HOST": "a host",
    "TEXT": "a text",
}
"""Each with what stands in an answer where a placeholder of it was invented."""
_WORDS = {
    "PERSON": """person people persons individual human name user requester employee colleague customer client caller
        technician manager personen benutzer anwender mitarbeiter mitarbeiterin kollege kollegin kunde kundin techniker
        nutzer anrufer personne nom utilisateur employe client collegue persona nombre usuario empleado cliente nome
        utente dipendente pessoa persoon naam gebruiker medewerker osoba imie kisi""",
    "LOGIN": "login username account logins konto benutzername anmeldename benutzerkonto compte cuenta conta",
    "EMAIL": "email mail e-mail e-mails emails mailadresse courriel mel correo correio e-mailadresse",
    "PHONE": """phone telephone telefon tel mobile handy rufnummer telefonnummer telefono telefone portable fax
        telefoon number extension durchwahl cell""",
    "BANK": "bank iban konto bankkonto kontonummer banque banco banca bankverbindung",
    "CARD": "card karte kreditkarte carte tarjeta carta cartao kaart creditcard",
    "ID": "id ausweis ident personalnummer identifiant identificacion identificador kennnummer",
    "SECRET": """secret password passwort kennwort geheimnis token key schlussel pin passwd pwd credential motdepasse
        contrasena segreto secreto segredo senha wachtwoord""",
    "ADDRESS": "address adresse anschrift direccion indirizzo endereco adres",
    "HOST": "host rechner server hostname hote machine ip computer anfitrion",
    "TEXT": "text texte texto testo tekst",
}
KIND_OF_WORD = {spelled(word): kind for kind, words in _WORDS.items() for word in words.split()}
"""The kind that a word of some language stands for, as `spelled`."""
