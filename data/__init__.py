"""Public and own preference data: raw files -> TFDS -> features."""
