"""What the README files say is there, and their examples run."""

import importlib
import pathlib
import re

import pytest

_ROOT = pathlib.Path(__file__).resolve().parent.parent
_SKIPPED = {'.git', '.venv', 'runs', 'build', 'dist'}
_MOST_LINES = 250  # of the front page: what is read in five minutes
_COMMAND = re.compile(r'python -m launch\.(\w+)((?:\s+--[^\s`|]+)*)')
_CONFIG = re.compile(r'configs/(\w+)\.py(?::([\w,]+))?')


def _pages() -> list[pathlib.Path]:
  # Not CHANGELOG.md, which names what was.
  found = [*_ROOT.rglob('README.md'), _ROOT / 'CONTRIBUTING.md']
  return sorted(
    {p for p in found if not _SKIPPED & set(p.relative_to(_ROOT).parts)}
  )


_PAGES = _pages()
_each_page = pytest.mark.parametrize(
  'page', _PAGES, ids=lambda p: str(p.relative_to(_ROOT))
)


def _examples(page: pathlib.Path) -> list[str]:
  return re.findall(r'```python\n(.*?)```', page.read_text(), re.DOTALL)


def _run(name: str) -> list[dict]:
  """What the examples of a page define."""
  scopes = []
  for block in _examples(_ROOT / name):
    scopes.append({})
    exec(compile(block, name, 'exec'), scopes[-1])
  assert scopes
  return scopes


def _headings(page: pathlib.Path) -> set[str]:
  """A page's headings as GitHub's anchors."""
  text = re.sub(r'```.*?```', '', page.read_text(), flags=re.DOTALL)
  return {
    re.sub(r'[^\w -]', '', heading).strip().lower().replace(' ', '-')
    for heading in re.findall(r'^#+ (.*)$', text, re.MULTILINE)
  }


def _commands(page: pathlib.Path) -> list[tuple[str, list[str]]]:
  """Launch names and flags of all commands, whatever lines they are on."""
  text = page.read_text().replace('\\\n', ' ')
  return [(m[1], m[2].split()) for m in _COMMAND.finditer(text)]


def _is_placeholder(text: str) -> bool:
  """STAGE, NAME or X, which stand for something."""
  return text.isupper()


def test_pages_with_examples_are_those_that_run_here():
  found = {str(p.relative_to(_ROOT)) for p in _PAGES if _examples(p)}
  assert found == {
    'pasta/latent_class/README.md',
    'data/README.md',
    'CONTRIBUTING.md',  # in tests/t2i and tests/candidates
    'pasta/library/README.md',  # in tests/interaction/test_library.py
  }


def test_latent_class_examples_run(capsys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  lines = ['person,set,alternative,chosen,price,speed']
  for person, taste in (('ann', 0), ('ben', 1), ('cem', 0), ('dan', 1)):
    for s in range(6):  # ann and cem take the cheap bus, the others the train
      lines += [f'{person},{s},bus,{1 - taste},{1 + s / 10},1']
      lines += [f'{person},{s},train,{taste},3,{2 + s / 10}']
      lines += [f'{person},{s},car,0,4,1.5'] * (s < 5)
  (tmp_path / 'choices.csv').write_text('\n'.join(lines) + '\n')
  scope, of_file = _run('pasta/latent_class/README.md')
  panel = of_file['panel']
  assert panel.names == ('price', 'speed', 'constant car', 'constant train')
  assert panel.available.sum() == 24 * 3 - 4
  found = of_file['fit'].responsibilities.argmax(1)
  assert found[0] == found[2] != found[1] == found[3]
  # Planted: two types in equal shares.
  assert abs(scope['fit'].responsibilities.mean(0) - 0.5).max() < 0.02
  assert scope['probabilities'].shape == (8, 4)
  assert '300 people' in capsys.readouterr().out


def test_preference_data_example_runs(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (scope,) = _run('data/README.md')
  store = scope['preferences'].load('preferences/mine')
  assert len(store.records) == 3
  assert store.text.shape[0] == 2 and store.image.shape[0] == 4


def test_front_page_is_short():
  lines = (_ROOT / 'README.md').read_text().splitlines()
  assert len(lines) <= _MOST_LINES


def test_front_page_names_every_launch_script():
  text = (_ROOT / 'README.md').read_text()
  for script in (_ROOT / 'launch').glob('*.py'):
    if 'cli.run(' in script.read_text() and script.stem != 'cli':
      assert f'[`{script.stem}`]' in text, f'launch/{script.name}'


@_each_page
def test_links_lead_somewhere(page):
  text = re.sub(r'```.*?```', '', page.read_text(), flags=re.DOTALL)
  for link in re.findall(r'\]\(([^)\s]+)\)', text):
    if link.startswith(('http:', 'https:', 'mailto:')):
      continue
    path, _, anchor = link.partition('#')
    target = (page.parent / path).resolve() if path else page
    assert target.exists(), link
    if anchor:
      assert anchor in _headings(target), link


@_each_page
def test_commands_are_there(page):
  for name, flags in _commands(page):
    if _is_placeholder(name):
      continue
    assert (_ROOT / 'launch' / f'{name}.py').exists(), f'launch.{name}'
    default = _ROOT / 'configs' / f'{name}.py'
    config = _load(name) if default.exists() and name == 'benchmark' else None
    for flag in flags:
      if flag.startswith('--config='):
        config = _named_config(flag.removeprefix('--config='))
    for flag in flags:
      if flag.startswith('--config.') and config is not None:
        _check_field(config, flag.removeprefix('--config.').split('=')[0])


@_each_page
def test_configs_are_there(page):
  for name, variant in _CONFIG.findall(page.read_text()):
    if _is_placeholder(name):
      continue
    assert (_ROOT / 'configs' / f'{name}.py').exists(), f'configs/{name}.py'
    if variant and not _is_placeholder(variant.split(',')[0]):
      _load(name, variant)


def _named_config(value: str):
  """The config that a flag names; None where a placeholder is in it."""
  match = _CONFIG.match(value)
  name, variant = match[1], match[2] or ''
  if _is_placeholder(name) or variant and _is_placeholder(variant):
    return None
  return _load(name, variant)


def _load(name: str, variant: str = ''):
  return importlib.import_module(f'configs.{name}').get_config(variant)


def _check_field(config, path: str) -> None:
  for name in path.split('.'):
    assert name in config, f'--config.{path}'
    config = config[name]
