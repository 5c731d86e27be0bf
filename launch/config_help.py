"""What --help says of a config file, read from its source without running it.

Fields stand in the order of the file, shared parts last, each with its value as
the source has it and with its comment. A part that another function makes, such
as the world, is followed there; one that is another stage's config is named
alone.
"""

import ast
import io
import os
import re
import shutil
import textwrap
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

_MOST_VALUE = 60  # characters of a value that are shown
_HEADING = re.compile(r"[A-Z][\w' ]{0,24}\.")  # a comment over several fields


class Field(NamedTuple):
  """One field of a config.

  Attributes:
    value: source of its first value; '' for another stage's config.
    comment: beside it and above it.
    condition: source of the `if` that it stands in; '' where it is always.
    is_shared: whether it is from a part that several stages' configs have.
  """

  value: str
  comment: str
  condition: str = ''
  is_shared: bool = False


def own_file(script: str) -> str | None:
  """The config file of a launch script's name; None where there is none.

  Args:
    script: its path.
  """
  path = os.path.join(directory(script), os.path.basename(script))
  if not os.path.isfile(path):
    return None
  relative = os.path.relpath(path)
  return path if relative.startswith(os.pardir) else relative


def directory(script: str) -> str:
  """Where the configs of a launch script are: configs/, beside launch/."""
  return os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(script))), 'configs'
  )


def text(path: str) -> str:
  """The variants and the fields of a config file, as --help shows them.

  Args:
    path: FILE.py; there has to be one with `get_config`.
  """
  source = _Source(path)
  width = min(shutil.get_terminal_size().columns, 100)
  lines = [f'{path}: {source.variants()}', '']
  lines.append('Fields, changed by --config.FIELD=VALUE:')
  fields = source.fields('get_config').items()
  for name, field in sorted(fields, key=lambda item: item[1].is_shared):
    if not field.value:
      lines.append(f'  {name}.*: {field.comment}')
      continue
    lines.append(f'  {name} = {_shortened(field.value)}')
    comment = field.comment
    if field.condition:
      comment += f' [if {_shortened(field.condition)}]'
    lines += textwrap.wrap(
      comment.strip(), width, initial_indent=' ' * 6, subsequent_indent=' ' * 6
    )
  return '\n'.join(lines)


def summary(path: str) -> str:
  """The first line of a Python file's docstring."""
  return _docstring(path).split('\n')[0]


def command(path: str) -> str | None:
  """The script of the first command in a config file's docstring."""
  found = re.search(r'python -m launch\.(\w+)', _docstring(path))
  return found and found[1]


def _docstring(path: str) -> str:
  with open(path, encoding='utf-8') as f:
    return ast.get_docstring(ast.parse(f.read())) or ''


class _Source:
  """A config file, parsed."""

  def __init__(self, path: str):
    self._directory = os.path.dirname(os.path.abspath(path))
    with open(path, encoding='utf-8') as f:
      content = f.read()
    tree = ast.parse(content)
    self._functions = {
      node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)
    }
    self._modules = {  # what the file calls them: their names in configs/
      alias.asname or alias.name: alias.name
      for node in tree.body
      if isinstance(node, ast.ImportFrom) and node.module == 'configs'
      for alias in node.names
    }
    self._comments, self._alone = _comments(content)

  def variants(self) -> str:
    """What `get_config` says in its docstring."""
    found = ast.get_docstring(self._functions['get_config']) or ''
    return ' '.join(found.split())

  def fields(self, function: str) -> dict[str, Field]:
    """Dotted names to fields of the config that a function of the file makes.

    Names that are only known when the file runs are written NAME.
    """
    found: dict[str, Field] = {}
    parts: dict[str, dict[str, Field]] = {}  # those that local names hold
    paths: dict[str, str] = {}  # local names of the config and of parts of it
    body = self._functions[function].body
    returned = next(
      (ast.unparse(n.value) for n in body if isinstance(n, ast.Return)), ''
    )
    for node, condition in _assignments(body):
      pairs = _pairs(node)
      placed = [p for t, _ in pairs if (p := _place(t, paths)) is not None]
      comment = self._comment(node)
      for target, value in pairs:
        if isinstance(target, ast.Name):
          if _is_new(value):
            paths[target.id] = placed[0] if placed else ''
          elif (part := self._part(value)) is not None:
            if target.id == returned:
              found |= part
              paths[target.id] = ''
            else:
              parts[target.id] = part
          continue
        place = _place(target, paths)
        if place is None or _is_new(value):
          continue
        part = self._part(value)
        if part is None and isinstance(value, ast.Name):
          part = parts.get(value.id)
        if part is None:
          part = {'': Field(ast.unparse(value), comment, condition)}
        for name, field in part.items():
          dotted = f'{place}.{name}' if name else place
          found.setdefault(dotted, field)
    return found

  def _part(self, value: ast.expr) -> dict[str, Field] | None:
    """The fields of what a call makes; None where it makes no config."""
    if isinstance(value, ast.IfExp):
      return self._part(value.body)
    if not isinstance(value, ast.Call):
      return None
    function = value.func
    if isinstance(function, ast.Name) and function.id in self._functions:
      return self._called(value, function.id) or None
    if (
      isinstance(function, ast.Attribute)
      and isinstance(function.value, ast.Name)
      and function.value.id in self._modules
    ):
      module = self._modules[function.value.id]
      if function.attr == 'get_config':
        return {'': Field('', f'as in configs/{module}.py')}
      path = os.path.join(self._directory, f'{module}.py')
      part = _Source(path)._called(value, function.attr)
      return {k: f._replace(is_shared=True) for k, f in part.items()}
    return None

  def _called(self, call: ast.Call, function: str) -> dict[str, Field]:
    """The fields that a call of a function makes, with its arguments."""
    arguments = self._functions[function].args
    names = [a.arg for a in arguments.args]
    defaults = arguments.defaults
    values = dict(zip(names[len(names) - len(defaults) :], defaults))
    values |= dict(zip(names, call.args))
    values |= {k.arg: k.value for k in call.keywords if k.arg}
    given = {name: ast.unparse(value) for name, value in values.items()}
    return {
      name: field._replace(value=given.get(field.value, field.value))
      for name, field in self.fields(function).items()
    }

  def _comment(self, node: ast.Assign) -> str:
    """The comment lines right above an assignment, and the one beside it."""
    found, line = [], node.lineno - 1
    while line in self._alone:
      found.insert(0, self._comments[line])
      line -= 1
    if found and _HEADING.fullmatch(found[0]):
      found = found[1:]
    found.append(self._comments.get(node.end_lineno, ''))
    return ' '.join(x for x in found if x)


def _comments(content: str) -> tuple[dict[int, str], set[int]]:
  """Comments by line, and the lines on which they stand alone."""
  found, alone = {}, set()
  for token in tokenize.generate_tokens(io.StringIO(content).readline):
    if token.type == tokenize.COMMENT:
      found[token.start[0]] = re.sub(r'^# ?|\s*fmt: skip$', '', token.string)
      if not token.line[: token.start[1]].strip():
        alone.add(token.start[0])
  return found, alone


def _assignments(
  body: list[ast.stmt], condition: str = ''
) -> Iterator[tuple[ast.Assign, str]]:
  """All assignments in their order, and the `if` that each stands in."""
  for node in body:
    if isinstance(node, ast.Assign):
      yield node, condition
    elif isinstance(node, ast.If):
      yield from _assignments(node.body, ast.unparse(node.test))
      yield from _assignments(node.orelse, condition)
    elif isinstance(node, ast.For):
      yield from _assignments(node.body, condition)


def _pairs(node: ast.Assign) -> list[tuple[ast.expr, ast.expr]]:
  """Targets and what each is set to."""
  target = node.targets[0]
  if not isinstance(target, ast.Tuple):
    return [(t, node.value) for t in node.targets]
  if not isinstance(node.value, ast.Tuple):
    return []
  return list(zip(target.elts, node.value.elts))


def _place(target: ast.expr, paths: dict[str, str]) -> str | None:
  """The dotted name of a target; None where it is not of the config."""
  names = []
  while isinstance(target, ast.Attribute | ast.Subscript):
    if isinstance(target, ast.Attribute):
      names.insert(0, target.attr)
    else:
      known = isinstance(target.slice, ast.Constant)
      names.insert(0, str(target.slice.value) if known else 'NAME')
    target = target.value
  if not isinstance(target, ast.Name) or target.id not in paths or not names:
    return None
  return '.'.join([paths[target.id], *names]).removeprefix('.')


def _is_new(value: ast.expr) -> bool:
  """Whether a value is an empty ConfigDict."""
  return (
    isinstance(value, ast.Call)
    and ast.unparse(value.func).endswith('ConfigDict')
    and not value.args
  )


def _shortened(value: str) -> str:
  value = re.sub(r'(config_dict\.)?placeholder\((\w+)\)', r'None (\2)', value)
  return value if len(value) <= _MOST_VALUE else f'{value[:_MOST_VALUE]} …'
