"""Diffusion models behind one interface (`Model`), loaded by id or path (`load_model`)."""
