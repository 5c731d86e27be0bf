from pasta import extras

extras.require('PIL', 'jinja2', 'matplotlib')
