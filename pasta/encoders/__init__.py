from pasta import extras

extras.require('PIL', 'huggingface_hub', 'transformers')
