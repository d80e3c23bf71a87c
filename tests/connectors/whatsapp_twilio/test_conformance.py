"""The conformance kit, with this connector's sample and cases."""

from pathlib import Path

from gateway.kit import conformance

TestConformance = conformance("connectors.whatsapp_twilio", Path(__file__).parent)
