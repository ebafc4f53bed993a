from .runner import compare as compare
