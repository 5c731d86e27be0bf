from pasta import extras

extras.require('PIL')
