from pasta import extras

extras.require('huggingface_hub', 'transformers')
