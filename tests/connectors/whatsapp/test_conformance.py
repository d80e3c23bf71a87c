"""The twenty checks of the kit, with the cases beside this file."""

from pathlib import Path

from gateway.kit import conformance

TestConformance = conformance("connectors.whatsapp", Path(__file__).parent)
