"""Tables on public preference data; configs/evaluate_preferences.py tells how.

python -m launch.evaluate_preferences --config=configs/evaluate_preferences.py:NAME --workdir=DIR
"""  # noqa: E501

from launch import cli

if __name__ == '__main__':
  cli.run('pasta.stages.evaluate_preferences:run')
