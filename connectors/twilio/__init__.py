"""What the channels over Twilio share: ``sms`` and ``whatsapp_twilio`` differ only in addresses, limits and what they can carry.

account   the settings that both have, and whose a webhook is
webhook   the form that Twilio posts, and its signature      pure
events    that form as events                                pure
codes     Twilio's error codes and statuses in our words     pure
message   our messages as calls                              pure
segments  what an SMS is billed as                           pure
http      Twilio's SDK over the gateway's own HTTP session
client    sends, looks up, fetches files, sets up, probes
simulator a Twilio of one's own, on a real port
"""
