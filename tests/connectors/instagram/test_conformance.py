"""C01-C20."""

from pathlib import Path

from gateway.kit import conformance

TestConformance = conformance("connectors.instagram", Path(__file__).parent)
