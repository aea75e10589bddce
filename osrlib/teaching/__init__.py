"""What the book teaches with: claims that are checked, and exercises that grade themselves."""

from osrlib.teaching import claims, exercises

__all__ = ["claims", "exercises"]
