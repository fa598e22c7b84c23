"""The page as HTML: without scripts, readable in light and dark, narrow and wide, by keyboard and by screen reader."""

import base64
import hashlib
from html import escape

from feedback.texts import Message, PageTexts
from storage.feedback import Vote, VoteReason

_STYLE = """
:root { color-scheme: light dark; --paper: #f4f5f7; --card: #fff; --text: #1c2024; --faint: #5a6270; --edge: #868e9c;
  --line: #d5d9e0; --strong: #14509c; --on-strong: #fff; --chosen: #e4edf9; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1d2126; --text: #e8eaed; --faint: #a7b0bd;
  --edge: #7d8794; --line: #363d46; --strong: #8ab8f5; --on-strong: #0f1c2e; --chosen: #223349; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; padding: 1.5rem 1rem; background: var(--paper); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  display: flex; align-items: flex-start; justify-content: center; }
main { width: 100%; max-width: 34rem; padding: clamp(1.25rem, 5vw, 2.25rem); background: var(--card);
  border: 1px solid var(--line); border-radius: .75rem; overflow-wrap: anywhere; }
h1 { margin: 0 0 .5rem; font-size: 1.5rem; line-height: 1.25; }
p { margin: 0 0 1rem; color: var(--faint); }
p:last-child { margin-bottom: 0; }
.answer { padding: .75rem 1rem; background: var(--chosen); border-radius: .5rem; color: var(--text); }
h2 { margin: 1.5rem 0 .75rem; font-size: 1.125rem; }
form { margin: 0; }
form + form { margin-top: 1.25rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
fieldset { margin: 0 0 1rem; padding: 0; border: 0; min-width: 0; }
legend { padding: 0; font-weight: 600; }
.hint { margin: 0 0 .25rem; font-size: .875rem; }
label { display: flex; gap: .75rem; align-items: center; min-height: 2.75rem; cursor: pointer; }
input { flex: none; width: 1.25rem; height: 1.25rem; margin: 0; accent-color: var(--strong); }
button { width: 100%; min-height: 2.75rem; padding: .625rem 1.25rem; font: inherit; font-weight: 600; cursor: pointer;
  border: 1px solid var(--edge); border-radius: .5rem; background: var(--card); color: var(--text); }
button.first { background: var(--strong); border-color: var(--strong); color: var(--on-strong); }
button:hover { text-decoration: underline; }
:focus-visible { outline: 3px solid var(--strong); outline-offset: 2px; }
@media (min-width: 30rem) { body { padding-top: 12vh; } button { width: auto; min-width: 10rem; } }
"""
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
"""What a Content-Security-Policy names this page's style by."""


def ask(texts: PageTexts) -> bytes:
    """Return the page that asks."""
    body = f"<h1>{escape(texts.question)}</h1>\n<p>{escape(texts.about)}</p>\n{_forms(texts)}"
    return _whole(texts, texts.question, body)


def thank(texts: PageTexts, vote: Vote, reason: VoteReason | None) -> bytes:
    """Return the page that says thanks for what was recorded, and lets it be changed."""
    heading, sentence = texts.thanks
    said = f"<strong>{escape(texts.of(vote))}</strong>"
    if reason is not None:
        said += f" – {escape(texts.reasons[reason])}"
    body = (
        f'<div role="status"><h1>{escape(heading)}</h1>\n<p>{escape(sentence)}</p>\n'
        f'<p class="answer">{escape(texts.answered)} {said}</p></div>\n'
        f"<h2>{escape(texts.change)}</h2>\n{_forms(texts, reason)}"
    )
    return _whole(texts, heading, body)


def tell(texts: PageTexts, message: Message, *, again: bool = False) -> bytes:
    """Return a page that says one thing; `again`: and asks once more."""
    heading, sentence = message
    body = f'<div role="alert"><h1>{escape(heading)}</h1>\n<p>{escape(sentence)}</p></div>'
    if again:
        body += f"\n<h2>{escape(texts.question)}</h2>\n{_forms(texts)}"
    return _whole(texts, heading, body)


def _forms(texts: PageTexts, chosen: VoteReason | None = None) -> str:
    """Two forms: Enter at a reason sends the one that it belongs to. Both go to the address that the page has."""
    reasons = "\n".join(
        f'<label><input type="radio" name="reason" value="{reason.value}"{" checked" if reason is chosen else ""}>'
        f"{escape(said)}</label>"
        for reason, said in texts.reasons.items()
    )
    return (
        '<form method="post">\n'
        f'<button class="first" name="vote" value="{Vote.USEFUL.value}">{escape(texts.useful)}</button>\n</form>\n'
        '<form method="post">\n<fieldset aria-describedby="hint">\n'
        f'<legend>{escape(texts.why)}</legend>\n<p class="hint" id="hint">{escape(texts.optional)}</p>\n'
        f"{reasons}\n</fieldset>\n"
        f'<button name="vote" value="{Vote.NOT_USEFUL.value}">{escape(texts.not_useful)}</button>\n</form>'
    )


def _whole(texts: PageTexts, title: str, body: str) -> bytes:
    return (
        f'<!doctype html>\n<html lang="{texts.language}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="robots" content="noindex">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    ).encode()
