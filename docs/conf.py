"""The site: ``nox -s docs`` builds it, without a network and with warnings as errors."""

import os
import pathlib
import sys

DOCS = pathlib.Path(__file__).parent
sys.path.insert(0, str(DOCS / "_extensions"))

import gallery_pictures  # noqa: E402 - after the path, as the extensions below

import portable_mlp  # noqa: E402

project = "portable_mlp"
author = "The portable_mlp developers"
copyright = author
version = release = portable_mlp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "command_line",
    "from_sklearn",
    "mathml",
]
exclude_patterns = ["_build", "_extensions", "tests", "gallery/*.ipynb", "gallery/*.py", "gallery/*.py.md5"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # the gallery's settings hold functions, which are compared anew each time
smartquotes = False  # options are typed with two hyphens
default_role = "py:obj"
add_module_names = False

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's types say shapes and ranges
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the template lists them
numpydoc_xref_param_type = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "/",
    "ignore_pattern": "^_",
    "capture_repr": (),
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
    "image_scrapers": (gallery_pictures.save_pictures,),
    "reset_modules": ("matplotlib", gallery_pictures.use_style),
    "default_thumb_file": str(DOCS / "images" / "network.svg"),
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "portable_mlp"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
# Pages without others below them have no list of these.
html_sidebars = {
    page: [] for page in ("index", "install", "tutorial", "how-it-works", "benchmarks", "comparison", "faq")
}
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# Examples compute on NumPy, whatever the machine has; JAX has float64 where a page asks for it.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")
