"""What Messenger and Instagram share, and WhatsApp does not: ``messaging`` elements, the Send API, comments. No channel by itself.

    account    what both are told
    payload    the fields of their webhooks that we use
    parts      what a message says
    inbound    elements and changes as events; each product adds how its comments look
    outbound   the Send API and public answers
    client     probes, set-up, courtesies, what was missed

All but ``client`` is pure.
"""
