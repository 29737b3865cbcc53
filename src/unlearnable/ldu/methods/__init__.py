"""The protections of Latent Diffusion Unlearning, a file each; `registry.METHODS` names them."""
