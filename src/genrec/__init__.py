"""genrec: recommendation by a language model driven by prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genrec.experiments.recommender import RoutedRecommender as Recommender

__version__ = "0.1.0"
__all__ = ["Recommender", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Recommender":  # loaded on first use: `import genrec` stays light
        from genrec.experiments.recommender import RoutedRecommender

        return RoutedRecommender
    raise AttributeError(f"module 'genrec' has no attribute {name!r}")
