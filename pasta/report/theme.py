"""The look that all pages share: templates, and the style sheet's colours."""

import os

import jinja2
import markupsafe

from pasta.report import palette

_TEMPLATES = os.path.join(os.path.dirname(__file__), 'templates')


def load(
  *, num_tiles: int = 1, num_type_pictures: int = 1
) -> tuple[jinja2.Environment, markupsafe.Markup]:
  """Where pages find their templates, and their style sheet.

  Args:
    num_tiles: columns of the headline's tiles.
    num_type_pictures: columns of a type's pictures.
  """
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
  )
  css = environment.get_template('report.css').render(
    light=markupsafe.Markup(palette.css_variables(palette.LIGHT)),
    dark=markupsafe.Markup(palette.css_variables(palette.DARK)),
    num_tiles=num_tiles,
    num_type_pictures=num_type_pictures,
  )
  return environment, markupsafe.Markup(css)
