"""The conformance kit: twenty checks that every connector must pass. See ``README.md``."""

from gateway.kit.sample import Sample, Talk, with_header, with_query
from gateway.kit.suite import conformance

__all__ = ["Sample", "Talk", "conformance", "with_header", "with_query"]
