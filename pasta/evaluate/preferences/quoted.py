"""Published figures, quoted beside our own. None of them was measured here."""

from typing import NamedTuple


class Quoted(NamedTuple):
  """A figure from a paper.

  Attributes:
    table: which of ours it belongs to.
    column: the measure, as our tables name it.
    name: what was measured.
    value: share of 1.
    source: the paper, and where it says so.
  """

  table: str
  column: str
  name: str
  value: float
  source: str


_PICK = 'Kirstain et al. 2023 (PickScore), test split, ties as a third answer'
_HPS = 'Wu et al. 2023 (HPS v2), pairs within a prompt'
_PAMELA = "PAMELA's authors, unseen people"
_PASTA = 'Nabati et al. 2025 (PASTA), read off a figure'

FIGURES = (
  Quoted('pick_a_pic', 'three_way', 'chance', 0.568, _PICK),
  Quoted('pick_a_pic', 'three_way', 'CLIP-H', 0.608, _PICK),
  Quoted('pick_a_pic', 'three_way', 'human experts', 0.680, _PICK),
  Quoted('pick_a_pic', 'three_way', 'PickScore', 0.702, _PICK),
  Quoted('pick_a_pic', 'two_way', 'PASTA user model, K = 1', 0.60, _PASTA),
  Quoted('pick_a_pic', 'two_way', 'PASTA user model, K = 64', 0.65, _PASTA),
  Quoted('hpd_v2', 'spearman', 'PASTA user model, K = 1', 0.28, _PASTA),
  Quoted('hpd_v2', 'spearman', 'PASTA user model, K = 64', 0.35, _PASTA),
  Quoted('hpd_v2', 'pair_accuracy', 'one person', 0.781, _HPS),
  Quoted('hpd_v2', 'pair_accuracy', 'PickScore', 0.798, _HPS),
  Quoted('hpd_v2', 'pair_accuracy', 'HPS v2', 0.833, _HPS),
  Quoted('pamela_unseen', 'pair_accuracy', 'HPSv3', 0.643, _PAMELA),
  Quoted('pamela_unseen', 'pair_accuracy', 'PAMELA', 0.663, _PAMELA),
)


def of(table: str) -> list[Quoted]:
  """What is quoted beside a table."""
  return [f for f in FIGURES if f.table == table]
