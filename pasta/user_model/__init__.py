"""The user model: a latent-class model of what people choose."""
