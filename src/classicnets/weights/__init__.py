"""Weights from elsewhere: keras.applications, torchvision, and our own files."""
