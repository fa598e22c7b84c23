"""HTML of any quality becomes lines of plain text."""

import pytest

from retrieval.markup import lines_of


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("two\nlines", "two\nlines"),
        ("two\r\n\r\n  lines ", "two\nlines"),
        ("<p>One</p><p>Two</p>", "One\nTwo"),
        ("One<br/>Two<BR>Three", "One\nTwo\nThree"),
        ("<div>a line of\nthe markup's own</div>", "a line of the markup's own"),
        ("<pre>a line\nof the text</pre><p>x</p>", "a line\nof the text\nx"),
        ("<b>bold</b> &amp; <i>it</i>alic &lt;tag&gt;", "bold & it alic <tag>"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        (
            "Hi<blockquote type='cite'>was<br>said<blockquote>before</blockquote></blockquote>end",
            "Hi\n> was\n> said\n> before\nend",
        ),
        ("<style>p { color: red }</style><p>seen</p><script>alert('x')</script>", "seen"),
        ("<!-- <p>not</p> --><p>seen</p><!--[if mso]>not<![endif]-->", "seen"),
        ("<p>seen</p><script>never closed <p>text</p>", "seen\nnever closed\ntext"),
        ("press <!-- to begin a comment", "press <!-- to begin a comment"),
        ("Install:<blockquote style='margin: 0 0 0 40px'>AutoCAD<br>SAP</blockquote>", "Install:\nAutoCAD\nSAP"),
        ("a < b and c > d", "a < b and c > d"),
        ("soft\u00adhyphen zero\u200bwidth \u202eright to left", "softhyphen zerowidth right to left"),
        ("مرحبا<br>الطابعة لا تعمل", "مرحبا\nالطابعة لا تعمل"),
    ],
)
def test_markup_becomes_lines(markup: str, text: str) -> None:
    assert lines_of(markup) == text


@pytest.mark.parametrize("part", ["<script>", "<!--", "<", "<p", "<blockquote>", "&lt;", "<a b='", "</", "<![CDATA["])
def test_much_soup_ends_well(part: str) -> None:
    """Linear time: each tag is read once, with two hundred thousand characters."""
    assert lines_of(part * (200_000 // len(part))) is not None
