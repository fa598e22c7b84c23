"""The addresses of the console, on one screen."""

from collections.abc import Sequence

from support.console.answers import Place
from support.console.pages.overview import overview

PLACES: Sequence[Place] = (Place("GET", "/", overview),)
