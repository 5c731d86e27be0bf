"""Raw files -> TFDS, over all cores, restartable after any kill.

Each unit of the raw files becomes one ArrayRecord shard, written aside and
renamed; a receipt then says what it was made from and what was skipped. A
restart does what has no receipt. TFDS's own metadata come last: with them
`tfds.builder_from_directory` reads the result, and all is there.
"""

import collections
import functools
import os
import shutil
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
import tensorflow_datasets as tfds
from absl import logging

from configs import prepare_data as config_lib
from data import base, shards, workers
from data.formats import raw_directory
from pasta import errors, files, progress
from pasta import workdir as workdir_lib

_IGNORED = ('num_workers',)
_SHOWN_REASONS = 8  # for which records were skipped


def run(config: ml_collections.ConfigDict, workdir: str, raw: str) -> None:
  """RAW -> WORKDIR/data/NAME/[VARIANT/]VERSION.

  Args:
    config: `configs/prepare_data.py`.
    workdir: where to.
    raw: directory of the raw files, as the data set's README says; of own
      data also a file or a pattern.

  Raises:
    PastaError: the raw files cannot be used, or too many records are broken.
  """
  cls = base.builder_class(config.name)
  options = cls.check_options(options_of(config.to_dict()))
  raw, options = cls.locate(os.path.expanduser(raw), options)
  raw_directory.check(raw)
  if config.runner not in ('local', 'beam'):
    raise errors.PastaError(
      f"config field 'runner' is {config.runner!r}, expected 'local' or 'beam'"
    )
  directory = prepared_directory(config.name, config.variant, workdir)
  stamp = cls.stamp(raw, options)
  with workdir_lib.open_stage(
    'prepare_data',
    directory,
    config,
    upstream=(stamp,) if stamp else (),
    ignore=_IGNORED,
  ) as info:
    if info is None:
      return
    try:
      if config.runner == 'beam':
        info |= _prepare_on_beam(cls, config, options, raw, directory)
      else:
        info |= prepare(
          cls,
          raw,
          directory,
          options=options,
          num_workers=config.num_workers,
          max_skipped_share=config.max_skipped_share,
          duplicates=config.duplicates,
        )
    except errors.PastaError:
      if config.name in config_lib.OWN:
        # Its map of columns may be what was wrong; the next is another one.
        _clear(directory)
      raise
    logging.info('%s: examples %s', config.name, info['num_examples'])


def _clear(directory: str) -> None:
  """Removes all but what `workdir.prepare` has written."""
  for name in set(os.listdir(directory)) - {'config.json', 'launch.json'}:
    path = os.path.join(directory, name)
    if os.path.isdir(path):
      shutil.rmtree(path)
    else:
      os.remove(path)


def options_of(config: Mapping[str, Any]) -> dict[str, Any]:
  """A data set's own options from its config, as plain values."""
  fields = {'fields': config['fields']} if 'fields' in config else {}
  return {**config['options'], **fields}


def prepared_directory(name: str, variant: str, workdir: str) -> str:
  """Where a data set lies, in TFDS's layout."""
  cls = base.builder_class(name)
  variants = [c.name for c in cls.BUILDER_CONFIGS]
  if (variant or None) not in (variants or [None]):
    raise errors.PastaError(
      f"config field 'variant' is {variant!r}, expected "
      f'{f"one of {variants}" if variants else "none"}'
    )
  return os.path.join(workdir, 'data', name, variant, str(cls.VERSION))


def prepare(
  cls: type[base.Builder],
  raw: str,
  directory: str,
  *,
  options: Mapping[str, Any],
  num_workers: int,
  max_skipped_share: float,
  duplicates: str,
) -> dict[str, Any]:
  """Writes a data set; goes on where it was cut off.

  Args:
    cls: the data set.
    raw: directory of the raw files.
    directory: where to.
    options: the data set's own, checked.
    num_workers: processes; 0 = one a core, 1 = this process.
    max_skipped_share: broken records, of all; more are an error.
    duplicates: 'refuse' or 'keep' examples with the same key in a split.

  Returns:
    Numbers of examples by split, and of what was skipped.

  Raises:
    PastaError: see `run`.
  """
  if duplicates not in ('refuse', 'keep'):
    raise errors.PastaError(
      f"config field 'duplicates' is {duplicates!r}, expected 'refuse' or "
      "'keep'"
    )
  splits = cls.units(raw, options)
  receipts = os.path.join(directory, shards.RECEIPTS)
  os.makedirs(receipts, exist_ok=True)
  jobs = [
    (split, i, len(units), unit)
    for split, units in sorted(splits.items())
    for i, unit in enumerate(units)
  ]
  raw_names = sorted({f for _, _, _, unit in jobs for f in unit.files})
  write = functools.partial(
    shards.write_unit,
    cls.name,
    raw,
    directory,
    dict(options),
    max_skipped_share,
  )
  tasks = [(write, job) for job in jobs]
  tasks += [
    (functools.partial(shards.checksum, raw, directory), f) for f in raw_names
  ]
  with progress.progress(total=len(jobs), unit='unit', desc=cls.name) as bar:
    for size in workers.run_tasks(tasks, num_workers):
      bar.update(size)
  shards.remove_temporaries(directory)
  made = {
    split: [
      shards.read_receipt(directory, split, i, len(u)) for i in range(len(u))
    ]
    for split, u in sorted(splits.items())
  }
  _check_skipped(made, max_skipped_share, cls.name)
  if duplicates == 'refuse':
    _check_duplicates(made)
  sums = {f: shards.file_receipt(directory, f)['sha256'] for f in raw_names}
  files.write_json(os.path.join(directory, 'checksums.json'), sums)
  _write_metadata(cls, directory, options, made)
  skipped = sum(r['num_skipped'] for split in made.values() for r in split)
  reasons = collections.Counter()
  for receipt in (r for split in made.values() for r in split):
    reasons.update(receipt['reasons'])
  if skipped:
    logging.warning(
      '%s: skipped %d broken records; %s names them',
      cls.name,
      skipped,
      receipts,
    )
    for reason, num in reasons.most_common(_SHOWN_REASONS):
      logging.warning('%s: %d: %s', cls.name, num, reason)
  return {
    'num_examples': {
      k: sum(r['num_examples'] for r in v) for k, v in made.items()
    },
    'num_skipped': skipped,
    'skipped_by_reason': dict(reasons.most_common()),
  }


def _check_skipped(
  made: Mapping[str, list[dict]], max_share: float, name: str
) -> None:
  receipts = [r for split in made.values() for r in split]
  skipped = sum(r['num_skipped'] for r in receipts)
  total = skipped + sum(r['num_examples'] for r in receipts)
  for split, parts in made.items():
    if not sum(r['num_examples'] for r in parts):
      raise errors.PastaError(f'{name}: split {split} holds no record')
  if skipped > max_share * total:
    named = next(r['skipped'][0] for r in receipts if r['skipped'])
    raise errors.PastaError(
      f'{name}: {skipped} of {total} records are broken, more than the share '
      f"of config field 'max_skipped_share', {max_share:g}; e.g. {named}"
    )


def _check_duplicates(made: Mapping[str, list[dict]]) -> None:
  """Raises PastaError where two examples of a split have one key."""
  for split, parts in made.items():
    keys = [np.load(r['keys']) for r in parts]
    every = np.concatenate(keys)
    values, count = np.unique(every, return_counts=True)
    if (count > 1).any():
      key = values[count > 1][0]
      (where,) = np.nonzero(every == key)
      ends = np.cumsum([len(k) for k in keys])
      places = np.searchsorted(ends, where[:2], 'right')
      raise errors.PastaError(
        f'split {split} has {int((count - 1).sum())} examples with the id of '
        f'another, e.g. one in {parts[places[0]]["unit"]} and one in '
        f"{parts[places[1]]['unit']}; config field 'duplicates' = 'keep' "
        'accepts them'
      )


def _write_metadata(
  cls: type[base.Builder],
  directory: str,
  options: Mapping[str, Any],
  made: Mapping[str, list[dict]],
) -> None:
  """dataset_info.json and features.json, as TFDS wants them."""
  template = tfds.core.ShardedFileTemplate(
    data_dir=directory, dataset_name=cls.name, filetype_suffix=shards.SUFFIX
  )
  tfds.folder_dataset.write_metadata(
    data_dir=directory,
    features=tfds.features.FeaturesDict(cls.feature_spec(options)),
    split_infos=[
      tfds.core.SplitInfo(
        name=split,
        shard_lengths=[r['num_examples'] for r in parts],
        num_bytes=sum(r['num_bytes'] for r in parts),
        filename_template=template,
      )
      for split, parts in made.items()
    ],
    version=str(cls.VERSION),
    filename_template=template,
    check_data=False,  # That needs TensorFlow.
    description=_beside(cls, 'README.md'),
    homepage=cls.HOMEPAGE,
    citation=_beside(cls, 'CITATIONS.bib'),
    disable_shuffling=True,
  )


def _beside(cls: type[base.Builder], name: str) -> str:
  folder = os.path.join(os.path.dirname(__file__), cls.name)
  with open(os.path.join(folder, name), encoding='utf-8') as f:
    return f.read()


def _prepare_on_beam(cls, config, options, raw, directory) -> dict[str, Any]:
  """TFDS's own way, on Apache Beam."""
  try:
    from apache_beam.options import pipeline_options
  except ImportError:
    raise errors.PastaError(
      "config field 'runner' = 'beam' needs Apache Beam: run "
      "`pip install -e '.[beam]'`"
    ) from None
  # TFDS takes a directory that is there for a data set that is complete.
  scratch = os.path.join(directory, 'beam')
  shutil.rmtree(scratch, ignore_errors=True)
  builder = cls(
    data_dir=scratch,
    options=options,
    beam=True,
    **({'config': config.variant} if config.variant else {}),
  )
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(
      manual_dir=os.path.abspath(raw),
      beam_options=pipeline_options.PipelineOptions(list(config.beam_options)),
      compute_stats=tfds.download.ComputeStatsMode.SKIP,
    ),
    file_format=shards.SUFFIX,
  )
  made = os.fspath(builder.data_dir)
  # With the metadata all is there, so they come last.
  for name in sorted(os.listdir(made), key=lambda n: n.endswith('.json')):
    os.replace(os.path.join(made, name), os.path.join(directory, name))
  shutil.rmtree(scratch)
  return {
    'num_examples': {k: v.num_examples for k, v in builder.info.splits.items()}
  }
