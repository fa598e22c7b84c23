"""Names by themselves: a first name, a pair of which one is a name, an initial and a surname."""

from masking import contexts as known
from masking.name_contexts import NamesInContext

_MOST_IN_A_NAME = 5


class NamesByForm(NamesInContext):
    """Marks what is a name by the lists, or by the words right beside it."""

    def _by_itself(self, at: int) -> None:
        """Mark a first name with a capital, and a pair of which one is a name and the other could be."""
        key = self._found[at].key
        is_named = self._is_first(at)
        following = at + 1 if self._joints[at] in {" ", "  "} else len(self._found)
        if is_named or (key in self._unsure and self._found[at].is_capital and self._is_told(at)):
            self._take(at, _MOST_IN_A_NAME, loose=False)
            self._before(at)
        elif (
            self._found[at].is_capital
            and (key not in known.NEVER or key in self._unsure)
            and following < len(self._found)
            and self._found[following].is_capital
            and not self._is_code(at)
        ):
            other = self._found[following]
            is_surname = other.is_capital and other.key in self._lasts and other.key not in known.NEVER
            if key in self._unsure and (is_surname or self._is_unknown(following)):
                self.marks[at] = 1
                self._take(following, 2, loose=False)
                self.marks[following] = 1
            elif (
                self._is_unknown(at)
                and is_surname
                and not (self._is_german and self._is_noun(following))
                and not self._is_code(following)
            ) or (
                self._is_unknown(at)
                and self._is_unknown(following)
                and (not self._is_german or self._is_cell(at, following))
            ):
                self._take(at, 3, loose=False)
        if not self.marks[at] and self._is_unknown(at) and (self._is_told(at) or key in self._mails):
            self._take(at, 3, loose=False)
        if (
            not self.marks[at]
            and len(key) == 1
            and self._found[at].is_capital
            and self._joints[at] in {". ", ".", "'", "’"}
        ):
            self._initial(at)

    def _beside_desk(self, at: int) -> None:
        """Mark what stands beside one part of a desk's name and may be another: a nickname, a name before marriage."""
        behind, before = at + 1, at - 1
        if (
            self._joints[at] == " "
            and behind < len(self._found)
            and not self.marks[behind]
            and self._is_unknown(behind)
        ):
            self._take(behind, 2, loose=False)
        if at and self._joints[before] == " " and not self.marks[before]:
            word = self._found[before]
            is_small = not word.is_capital and not self._found[at].is_capital and len(word.key) > 2
            is_free = word.key not in self._words and word.key not in known.NEVER and not self._is_code(before)
            if (
                self._is_first(before)
                or self._is_unknown(before)
                or (is_small and is_free and word.key not in known.TITLES)
            ):
                self.marks[before] = 1

    def _initial(self, at: int) -> None:
        behind = at + 1
        if behind < len(self._found) and self._found[behind].is_capital and len(self._found[behind].key) > 2:
            key = self._found[behind].key
            before = self._read.text[max(0, self._found[at].begin - 2) : self._found[at].begin]
            if (
                key not in known.NEVER
                and (self._is_unknown(behind) or key in self._lasts)
                and (not before.endswith(".") or before == ". ")
            ):
                self._take(at, 5, loose=False)

    def _small(self, at: int) -> None:
        before = self._found[at - 1].key if at else ""
        behind = self._found[at + 1].key if at + 1 < len(self._found) and self._joints[at] == " " else ""
        if (
            self._is_small
            or before in {"frag", "call", "ask", "frau", "herr"}
            or before in known.ROLES
            or behind in known.AFTER
            or (before in known.BEFORE and self._is_line_end(at))
        ):
            self.marks[at] = 1
            following = at + 1
            if (
                following < len(self._found)
                and self._joints[at] == " "
                and self._found[following].key in self._lasts | self._mails
                and not self._is_noun(following)
            ):
                self.marks[following] = 1

    def _before(self, at: int) -> None:
        """Mark a surname before a first name: "Grabner Julia", "Mann, Julia"."""
        before = at - 1
        if not at or self.marks[before] or self._joints[before] not in {" ", ", ", ","}:
            return
        if self._joints[before] == " ":
            self.marks[before] = self._is_unknown(before)
            return
        word = self._found[before]
        is_last = word.key in self._lasts and not self._is_noun(before) and self._is_unknown(before)
        is_other = word.key in known.NEVER | known.CLOSINGS | known.GREETINGS
        may_be = word.is_capital and not is_other and (word.key in self._lasts or not self._is_noun(before))
        if is_last or (may_be and word.key not in self._firsts and self._is_cell(before, at)):
            self.marks[before] = 1
            if before and self._joints[before - 1] == "-" and self._found[before - 1].is_capital:
                self.marks[before - 1] = 1

    def _is_told(self, at: int) -> bool:
        """Return True where the words beside it tell that a word is a name, if it can be one."""
        before = self._found[at - 1].key if at and self._joints[at - 1] in {" ", ": ", ", ", ". ", " ("} else ""
        behind = self._found[at + 1].key if at + 1 < len(self._found) and self._joints[at] == " " else ""
        if before in known.DETERMINERS:
            return False
        if self._joints[at] in {"'", "’"} and at + 1 < len(self._found) and self._found[at + 1].key == "s":
            return True
        if self._is_unknown(at):
            if self._is_german and self._found[at].key not in self._lasts:
                return before in {"frag", "gez", "namens", "heisst"} or (
                    before in {"von", "mit", "an", "bei", "fur", "und"} and behind in known.AFTER
                )
            return (before in known.STRONG and self._joints[at - 1] == " ") or (
                (behind in known.AFTER or behind.endswith("ed")) and before not in known.DETERMINERS
            )
        return (
            (before in known.BEFORE and self._joints[at - 1] == " ") or behind in known.AFTER or before in known.STRONG
        )
