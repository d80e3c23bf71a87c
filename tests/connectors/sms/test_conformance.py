"""The conformance kit, with this connector's sample and cases."""

from pathlib import Path

from gateway.kit import conformance

TestConformance = conformance("connectors.sms", Path(__file__).parent)
