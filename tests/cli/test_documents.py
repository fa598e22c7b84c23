"""Files split by headings; broken, encrypted and oversized files are reported."""

import shutil
import zipfile
from contextlib import chdir
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter

from cli.documents import files_at, read
from knowledge.document_parser import UnreadableError, most_memory, parts_of

_BODY = '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'


def docx(path: Path, heading: str, text: str, times: int = 1) -> Path:
    """Return a DOCX with one heading and a repeated paragraph."""
    styled = f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>{heading}</w:t></w:r></w:p>'
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("word/document.xml", "w") as document,
    ):
        document.write(f"{_BODY}{styled}".encode())
        for _ in range(times):
            document.write(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>".encode())
        document.write(b"</w:body></w:document>")
    return path


def pdf(path: Path, *pages: str) -> Path:
    """Return a PDF with one line of text on each page; readers make up for the missing table of its objects."""
    kids = " ".join(f"{10 + number} 0 R" for number in range(len(pages)))
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects = {1: "<< /Type /Catalog /Pages 2 0 R >>", 2: f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"}
    for number, page in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({page}) Tj ET"
        shown = f"/MediaBox [0 0 612 792] /Resources << /Font << /F1 {font} >> >> /Contents {50 + number} 0 R"
        objects[10 + number] = f"<< /Type /Page /Parent 2 0 R {shown} >>"
        objects[50 + number] = f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream"
    body = "".join(f"{number} 0 obj\n{content}\nendobj\n" for number, content in objects.items())
    path.write_text(f"%PDF-1.4\n{body}trailer\n<< /Size 99 /Root 1 0 R >>\nstartxref\n0\n%%EOF\n", "latin-1")
    return path


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


HTML = "<title>t</title><h1>VPN</h1><p>Use port&nbsp;443.<br># no heading</p><h2 class='x'>Certificates</h2>Renew them."

MARKDOWN = """Before the first heading.

# VPN
## Windows

Port 443.

Linux
-----
Port 8443.

```` not `a fence`
````
# no heading
```
````

  ### C#
A language.
## Certificates ##
Renew them.

# Last of all
"""

OF_MARKDOWN = [
    ("kb", "Before the first heading."),
    ("kb: VPN / Windows", "Port 443."),
    ("kb: Linux", "Port 8443.\n```` not `a fence`\n````\n# no heading\n```\n````"),
    ("kb: C#", "A language."),
    ("kb: Certificates", "Renew them."),
    ("kb: Last of all", "Last of all"),
]
OF_HTML = [("vpn: VPN", "Use port 443.\n# no heading"), ("vpn: Certificates", "Renew them.")]
POLISH = "<html><head><meta %s></head><p>Zażółć gęślą</p>".encode("iso-8859-2")
OF_POLISH = [("a", "Zażółć gęślą")]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("kb.md", MARKDOWN, OF_MARKDOWN),
        ("kb.txt", "# restart\nthe spooler", [("kb", "# restart\nthe spooler")]),
        ("vpn.HTML", HTML, [("vpn", "t"), *OF_HTML]),
        ("a.html", "<h1><p>VPN</p></h1><p>Port 443.</p>", [("a: VPN", "Port 443.")]),
        ("a.html", "<h2 title='a>b'>VPN</h2>Port 443.", [("a: VPN", "Port 443.")]),
        ("a.html", "<p>&#xe000; Home</p>", [("a", "Home")]),
        ("a.html", "<blockquote type=cite><h1>VPN</h1>Port 443.</blockquote>", [("a: VPN", "> Port 443.")]),
        # As Windows writes it.
        ("old.txt", "Übergröße".encode("cp1252"), [("old", "Übergröße")]),
        ("old.txt", "\ufeffÜbergröße", [("old", "Übergröße")]),
        ("a.md", "# VPN\nPort".encode("utf-16"), [("a: VPN", "Port")]),
        # As the page declares it.
        ("a.html", POLISH % b'charset="iso-8859-2"', OF_POLISH),
        ("a.html", POLISH % b"http-equiv=x content='text/html; charset=ISO-8859-2'", OF_POLISH),
    ],
)
def test_a_file_is_split(name: str, content: str | bytes, parts: list[tuple[str, str]], tmp_path: Path) -> None:
    assert parts_of(written(tmp_path / name, content)) == parts


def test_docx_and_pdf_are_read(tmp_path: Path) -> None:
    of_word = read(docx(tmp_path / "vpn.docx", "Certificates", "Renew them."))
    assert of_word == [("vpn: Certificates", "Renew them.")]
    pages = read(pdf(tmp_path / "vpn.pdf", "Use port 443.", "Renew certificates."))
    assert pages == [("vpn: page 1", "Use port 443."), ("vpn: page 2", "Renew certificates.")]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", b"%PDF-1.4 and no more", "it is broken"),
        ("a.docx", b"PK\x03\x04 and no more", "it is broken"),
        ("a.exe", b"MZ", "files of this kind are not read, but .docx, .htm, .html, .markdown, .md, .pdf, .txt"),
        ("a.txt", b" \n\n", "there is no text in it"),
        ("a.txt", (b"a" * 999 + b" ") * 5010, "it has more than 5,000,000 characters of text"),
        ("a.md", "# x\ny\n" * 6000, "it has more than 5,000 parts"),
        ("b.md", b"MZ\0\0", "it is no text"),
    ],
)
def test_what_cannot_be_read_is_told(name: str, content: str | bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=f"^{reason}"):
        read(written(tmp_path / name, content))


def test_an_encrypted_one_a_missing_one_and_a_folder_are_told(tmp_path: Path) -> None:
    writer = PdfWriter(clone_from=PdfReader(pdf(tmp_path / "e.pdf", "secret")))
    writer.encrypt("password", algorithm="RC4-128")
    writer.write(tmp_path / "e.pdf")
    reasons = {"e.pdf": "it is encrypted", "missing.md": "it can't be opened", "": "files of this kind"}
    for name, reason in reasons.items():
        with pytest.raises(UnreadableError, match=reason):
            read(tmp_path / name)


@pytest.mark.slow
def test_a_bomb_takes_no_more_than_its_process_may(tmp_path: Path) -> None:
    bomb = docx(tmp_path / "bomb.docx", "x", "a" * 100_000, times=4000)
    assert bomb.stat().st_size < 2_000_000
    with pytest.raises(UnreadableError, match=r"too much (time|memory)|it has more than|it is broken"):
        read(bomb)


def test_a_folder_is_looked_through(tmp_path: Path) -> None:
    for name in ("b/c.md", "a.txt", ".hidden/x.md", "picture.png", "b/.secret.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        written(tmp_path / name, "x")
    assert list(files_at(tmp_path)) == [(tmp_path / "a.txt", ""), (tmp_path / "b/c.md", "")]
    # Root can read everything, so the folder vanishes during the walk.
    found = files_at(tmp_path)
    assert next(found) == (tmp_path / "a.txt", "")
    shutil.rmtree(tmp_path / "b")
    assert list(found) == [(tmp_path / "b", "it can't be opened (No such file or directory)")]


def test_no_part_is_longer_than_a_search_takes(tmp_path: Path) -> None:
    picture = f"See ![it](data:image/png;base64,{'A' * 2_000_000}) here. {'a,' * 3000}"
    parts = read(written(tmp_path / "a.md", picture))
    assert parts[0].text.startswith("See ![it]( ) here.")
    assert max(len(part.text) for part in parts) <= 1500
    # A long text is cut between words.
    parts = parts_of(written(tmp_path / "long.txt", "word " * 2000))
    assert (len(parts), max(len(part.text) for part in parts) <= 1500) == (7, True)
    assert " ".join(part.text for part in parts).split() == ["word"] * 2000


@pytest.mark.parametrize("name", ["nothing", "hex", "rot13", "utf-8"])
def test_an_encoding_that_is_none_leaves_it_readable(name: str, tmp_path: Path) -> None:
    (part,) = parts_of(written(tmp_path / "a.html", f"<meta charset={name}><p>Größe</p>".encode("cp1252")))
    assert part.text.startswith("Gr")


def test_nothing_of_the_current_folder_is_run(tmp_path: Path) -> None:
    written(tmp_path / "html.py", "raise SystemExit('run')")
    with chdir(tmp_path):
        assert read(written(tmp_path / "a.html", "text")) == [("a", "text")]


@pytest.mark.parametrize(("most", "taken"), [("max\n", 1 << 30), ("402653184\n", 234881024), ("200000000\n", 1 << 27)])
def test_in_a_container_a_file_takes_what_is_left(most: str, taken: int, tmp_path: Path) -> None:
    written(tmp_path / "memory.max", most)
    written(tmp_path / "memory.current", "100663296\n")
    assert most_memory(tmp_path) == taken
