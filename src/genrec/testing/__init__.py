"""Contract tests of alternatives, for pytest: inherit the class of your kind, and override the fixture that it names.

    from genrec.testing import RetrieverContract

    class TestMine(RetrieverContract):
        @pytest.fixture
        def retriever(self):
            return MyRetriever

genrec's own alternatives inherit the same classes.
"""

from genrec.testing.encoder import EncoderContract
from genrec.testing.fact import FactContract
from genrec.testing.filter import FilterContract
from genrec.testing.language_model import LanguageModelContract
from genrec.testing.metric import MetricContract
from genrec.testing.ranker import RankerContract
from genrec.testing.reranker import RerankerContract
from genrec.testing.retriever import RetrieverContract
from genrec.testing.source import SourceContract
from genrec.testing.store import StoreContract

__all__ = [
    "EncoderContract",
    "FactContract",
    "FilterContract",
    "LanguageModelContract",
    "MetricContract",
    "RankerContract",
    "RerankerContract",
    "RetrieverContract",
    "SourceContract",
    "StoreContract",
]
