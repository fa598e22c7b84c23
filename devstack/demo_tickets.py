"""The tickets of the demo, as people write them."""

DEMO_TICKETS: tuple[dict[str, str], ...] = (
    {
        "tenant": "acme",
        "id": "48213",
        "subject": "VPN keeps disconnecting since this morning",
        "description": "I work from home today. The VPN connects, but after a few minutes it drops and "
        "asks for my password again. I have a customer call at 11, please help.",
        "priority": "High",
        "category": "Network",
    },
    {
        "tenant": "globex",
        "id": "71904",
        "subject": "Printer on floor 3 is offline, invoices are stuck",
        "description": "Nobody on floor 3 can print. The printer shows as offline and our invoices wait in the queue.",
        "priority": "Normal",
        "category": "Printers",
    },
    {
        "tenant": "acme",
        "id": "48214",
        "subject": "Outlook: mailbox full, can't send email",
        "description": "Outlook says that my mailbox is over its limit. I deleted a few messages, still no luck.",
        "priority": "Normal",
        "category": "Email",
    },
    {
        "tenant": "globex",
        "id": "71905",
        "subject": "Account locked after password change",
        "description": "I changed my password yesterday evening. Today Windows says that my account is locked.",
        "priority": "High",
        "category": "Accounts",
    },
)
