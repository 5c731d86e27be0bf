"""From prepared data to a table; configs/fit_preferences.py tells how.

python -m launch.fit_preferences --config=configs/fit_preferences.py:NAME \
  --workdir=DIR
"""

from launch import cli

if __name__ == '__main__':
  cli.run('data.fit_preferences:run')
