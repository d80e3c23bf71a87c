"""The conformance kit, one test per check."""

from pathlib import Path

from gateway.kit import conformance

TestConformance = conformance("telegram", Path(__file__).parent)
