"""The documentation site, built by `make docs` with Sphinx. Pages are Markdown; nothing is loaded from other hosts."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

project = "maskgen + mfr"
author = "the maskgen authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["images"]
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
smartquotes = False  # they turn --out into a dash
default_role = "code"  # `single backticks` in docstrings are code

myst_heading_anchors = 3
nb_execution_mode = "off"  # tests/docs executes the notebook

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # `Attributes:` as a list, beside the members that have texts of their own

SHOWN = {
    "index": "README.md",
    "changes": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "benchmarks": "benchmarks/README.md",
    "security": "SECURITY.md",
}
"""Pages of the site whose text is a file outside docs/."""

CONTENTS = """
```{toctree}
:hidden:

Start <self>
Building <building>
Masks <masks>
Labels and exports <exporting>
Masked LFW <masked-lfw>
Hostile photographs <hostile>
Training <training>
What stage 2 gains <training-results>
Ablation <ablation>
Your own training loop <your-loop>
Evaluation <evaluation>
Results as one page <report>
Where networks look <attention>
Protocols <protocols>
Against published figures <truth>
Tutorial <tutorial>
Scale <scale>
Performance <performance>
Benchmarks <benchmarks>
API: maskgen <api/maskgen>
API: mfr_train <api/mfr_train>
Commands <commands>
architecture
security
contributing
Test coverage <coverage>
changes
```
"""

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")


def for_the_site(app: Sphinx, page: str, content: list[str]) -> None:
    """Links are written for a reader of the repository; here each becomes the link to the same page of the site."""
    if page.endswith("tutorial"):
        return
    source = SHOWN.get(page, f"docs/{page}.md")
    text = (ROOT / source).read_text()
    pages = {path: f"docs/{name}.md" for name, path in SHOWN.items()}

    def link(match: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(os.path.dirname(source), match[1]))
        return os.path.relpath(pages.get(target, target), os.path.dirname(f"docs/{page}"))

    content[0] = LINK.sub(link, text) + (CONTENTS if page == "index" else "")


def before_napoleon(app: Sphinx, what: str, name: str, obj: Any, options: object, lines: list[str]) -> None:
    """Settings are described by their help texts; an attribute's text is no `type: description`."""
    if what == "class" and dataclasses.is_dataclass(obj) and "Args:" not in lines:
        helps = {field.name: field.metadata["help"] for field in dataclasses.fields(obj) if "help" in field.metadata}
        if helps:
            lines += ["", "Args:", *(f"    {name}: {help}" for name, help in helps.items())]
    if what in ("attribute", "property", "data"):
        lines.insert(0, "")  # else Napoleon takes what stands before a colon in the first line for a type


def nothing_from_other_hosts(app: Sphinx, exception: Exception | None) -> None:
    """The site works without a network: fails if a page loads a script, style sheet, picture or frame from outside."""
    loads = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    for page in Path(app.outdir).rglob("*.html"):
        if found := loads.search(page.read_text()):
            raise ExtensionError(f"{page} loads from another host: {found[0]}")


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("build-finished", nothing_from_other_hosts)
    app.connect("source-read", for_the_site)
