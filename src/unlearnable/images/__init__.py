"""Pictures in and out of files (`images.files`) and to and from the size a model wants (`images.views`).

Nothing is imported here: `files` needs Pillow and NumPy only, `views` needs torch.
"""
