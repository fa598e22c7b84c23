"""Words that tell of a name beside them, in English and German and a little of other languages; in small letters.

Letters are as `spelled` leaves them.
"""

from masking.lists import listed

TITLES = listed("contexts titles")
"""Before a surname; whatever is capitalised behind one is a name."""
SHORT_TITLES = frozenset({"hr", "fr", "st", "hrn"})
"""The same where a dot is behind them."""
ROLES = listed("contexts roles")
LABELS = listed("contexts labels")
"""Before a colon."""
GREETINGS = listed("contexts greetings")
CLOSINGS = listed("contexts closings")
BEFORE = listed("contexts before")
STRONG = listed("contexts strong")
"""Before a capitalised word that nobody knows, which then is a name, in an English text."""
AFTER = listed("contexts after")
DETERMINERS = listed("contexts determiners")
"""Before a word that is no name of somebody."""
LISTED = frozenset({"and", "or", "und", "oder", "y", "et", "e", "sowie", "bzw", "plus", "then"})
NEVER = listed("contexts never")
"""Capitalised where a name might be, and none."""
GERMAN = listed("contexts german")
ENGLISH = listed("contexts english")
NOUN_ENDS = tuple(sorted(listed("contexts noun ends")))
"""Of German words that are no names."""
_NICKNAMES = [each.split(":") for each in sorted(listed("contexts nicknames"))]
NICKNAMES = {name: [short for short, long in _NICKNAMES if long == name] for _, name in _NICKNAMES}
"""Of English, German and other first names."""
