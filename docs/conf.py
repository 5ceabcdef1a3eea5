"""How Sphinx makes the site: `make site`, or once per language as tools/site.py does.

The English pages lie in docs/, the Chinese ones of the same names in docs/zh/. Each
language is a build of its own, so that its menus, its search and its `lang` are right.
"""

import importlib.metadata
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

project = "classicnets"
author = "the classicnets authors"
version = release = importlib.metadata.version("classicnets")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sources"]
exclude_patterns = ["zh"]  # the other build; below docs/zh it matches nothing

# Everything that Sphinx doubts is an error (-W), dead references too.
nitpicky = True
# Types of other projects, whose pages a build without a network cannot ask.
ELSEWHERE = "keras|np|numpy|Path|pathlib|os|collections|tokenizers|Tokenizer"
nitpick_ignore_regex = [("py:.*", rf"({ELSEWHERE})\b.*")]

myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
default_role = "code"  # `x` in a docstring is code
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = ["Differs from the paper", "Differs from the papers"]

html_theme = "furo"
html_title = "classicnets"
html_static_path = [str(Path(__file__).parent / "static")]
html_css_files = ["site.css"]
# Sphinx's own program for Chinese looks for a stemmer that it does not bring.
html_search_language = "en"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
