"""Reading and writing pictures (`images.files`), and views of them at a model's size (`images.views`).

This module imports nothing: `files` needs only Pillow and NumPy, `views` needs torch.
"""
