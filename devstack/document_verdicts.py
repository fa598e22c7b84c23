"""The table of what `ai-agents diagnose` may say, for `devstack.document_tables`."""

from support.diagnose.verdicts import FAQ, MEANINGS


def rows() -> list[tuple[str, ...]]:
    """Give one row a verdict, with its exit status and the FAQ's heading."""
    faq = FAQ.removeprefix("docs/")
    told = [
        (f"`{code}`", str(code.status), meaning.means, f"[{meaning.anchor}]({faq}#{meaning.anchor})")
        for code, meaning in MEANINGS.items()
    ]
    return [("verdict", "status", "means", "the FAQ goes on at"), *told]
