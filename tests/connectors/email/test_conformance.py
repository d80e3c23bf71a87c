"""The conformance kit, one test per check."""

from pathlib import Path

from gateway.kit import conformance

TestConformance = conformance("email", Path(__file__).parent)
