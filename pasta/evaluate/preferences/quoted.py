"""Published figures, quoted beside our own. None of them was measured here."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Quoted(NamedTuple):
  """A figure from a paper.

  Attributes:
    data_set: what it was measured on, as `launch.extract_features` names it.
    split: of that.
    protocol: of our tables.
    column: the measure, as our tables name it.
    name: what was measured.
    value: share of 1.
    source: the paper, and where it says so.
  """

  data_set: str
  split: str
  protocol: str
  column: str
  name: str
  value: float
  source: str


_PICK_TEST = 'pick_a_pic', 'test', 'pairs'
_HPD_TEST = 'hpd_v2', 'test', 'rankings'
_PAMELA_TEST = 'pamela', 'test_unseen', 'ratings'
_PICK = 'Kirstain et al. 2023 (PickScore), test split, ties as a third answer'
_HPS = 'Wu et al. 2023 (HPS v2), pairs within a prompt'
_PAMELA = "PAMELA's authors, unseen people"
_PASTA = 'Nabati et al. 2025 (PASTA), read off a figure'

FIGURES = (
  Quoted(*_PICK_TEST, 'three_way', 'chance', 0.568, _PICK),
  Quoted(*_PICK_TEST, 'three_way', 'CLIP-H', 0.608, _PICK),
  Quoted(*_PICK_TEST, 'three_way', 'human experts', 0.680, _PICK),
  Quoted(*_PICK_TEST, 'three_way', 'PickScore', 0.702, _PICK),
  Quoted(*_PICK_TEST, 'two_way', 'PASTA user model, K = 1', 0.60, _PASTA),
  Quoted(*_PICK_TEST, 'two_way', 'PASTA user model, K = 64', 0.65, _PASTA),
  Quoted(*_HPD_TEST, 'spearman', 'PASTA user model, K = 1', 0.28, _PASTA),
  Quoted(*_HPD_TEST, 'spearman', 'PASTA user model, K = 64', 0.35, _PASTA),
  Quoted(*_HPD_TEST, 'pair_accuracy', 'one person', 0.781, _HPS),
  Quoted(*_HPD_TEST, 'pair_accuracy', 'PickScore', 0.798, _HPS),
  Quoted(*_HPD_TEST, 'pair_accuracy', 'HPS v2', 0.833, _HPS),
  Quoted(*_PAMELA_TEST, 'pair_accuracy', 'HPSv3', 0.643, _PAMELA),
  Quoted(*_PAMELA_TEST, 'pair_accuracy', 'PAMELA', 0.663, _PAMELA),
)


def of(info: Mapping[str, Any], protocol: str) -> list[Quoted]:
  """What is quoted beside a table.

  Args:
    info: of the judged data, as `preferences.Store` has it. Other people's data
      have nothing that is quoted beside them, whatever their table is called.
    protocol: of the table.
  """
  where = info.get('data_set'), info.get('split'), protocol
  return [f for f in FIGURES if (f.data_set, f.split, f.protocol) == where]
