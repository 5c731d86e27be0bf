from configs import train_value
from pasta import training


def test_programs_are_kept_by_all_that_they_read():
  config = train_value.get_config('smoke')
  key = training.key_of(config)
  config.seed += 1
  assert training.key_of(config) == key
  assert hash(training.key_of(config)) == hash(key)
  assert config.seed == 1  # The caller's own is left alone.
  config.gemma.rank += 1
  assert training.key_of(config) != key
