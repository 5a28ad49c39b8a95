"""The documentation site: `make docs` builds it, strictly and without the internet, into docs/_build/html."""

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ["IPYTHONDIR"] = str(HERE / "_ipython")  # notebooks run with this configuration, whatever the user's own says

import writing  # noqa: E402

import recredit  # noqa: E402

project = "recredit"
author = "The recredit authors"
release = recredit.__version__
copyright = author

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "_ipython"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r".*")]  # no inventory of another project is fetched, so other projects' types are plain text

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_timeout = 240
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"
default_role = "code"

smartquotes = False  # quotation marks in docstrings are code

html_theme = "pydata_sphinx_theme"
html_title = "recredit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_sidebars = {"index": [], "api": []}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "collapse_navigation": True,
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "back_to_top_button": False,
}


def plain_docstring(app, what, name, obj, options, lines):
    """Docstrings are plain text with `code` and indented equations: what reStructuredText takes for markup is kept."""
    text = []
    for line in lines:
        indented = line.startswith("    ")
        if indented and (not text or text[-1] == ""):
            text += ["::", ""]
        text.append(line if indented else _escaped(line))
    lines[:] = text


def _escaped(line):
    parts = re.split(r"(`[^`]+`)", line)
    return "".join(f"`{part}`" if part.startswith("`") else re.sub(r"([*|_\\])", r"\\\1", part) for part in parts)


def local_links(app, docname, source):
    """Links to the pages of reproduce/, which are copied into the site, lead to the copies."""
    folder = Path(app.env.doc2path(docname)).resolve().parent
    source[0] = writing.moved(source[0], folder, folder)


def setup(app):
    app.connect("builder-inited", lambda app: writing.write())
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("source-read", local_links)
