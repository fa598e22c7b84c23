"""What tenants are given in these tests: a desk on premises, and one in the cloud."""

ACME = {
    "WEBHOOK_SECRET_ACME": "s3cret",
    "SERVICEDESK_URL_ACME": "https://desk.acme.example:8080",
    "SERVICEDESK_API_KEY_ACME": "k3y",
}
CLOUD = {
    "SERVICEDESK_EDITION_GLOBEX": "cloud",
    "SERVICEDESK_URL_GLOBEX": "https://sdpondemand.manageengine.eu/app/itdesk",
    "SERVICEDESK_CLIENT_ID_GLOBEX": "id",
    "SERVICEDESK_CLIENT_SECRET_GLOBEX": "hidden",
    "SERVICEDESK_REFRESH_TOKEN_GLOBEX": "token",
    "SERVICEDESK_ACCOUNTS_URL_GLOBEX": "https://accounts.zoho.eu/",
}
