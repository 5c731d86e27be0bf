"""What the README shows runs."""

import pathlib
import re

_README = pathlib.Path(__file__).resolve().parent.parent / 'README.md'


def test_examples_in_python_run(capsys):
  blocks = re.findall(r'```python\n(.*?)```', _README.read_text(), re.DOTALL)
  assert blocks
  for block in blocks:
    scope = {}
    exec(compile(block, 'README.md', 'exec'), scope)
    # Planted: two types in equal shares.
    assert abs(scope['fit'].responsibilities.mean(0) - 0.5).max() < 0.02
    assert scope['probabilities'].shape == (8, 4)
  assert '300 people' in capsys.readouterr().out
