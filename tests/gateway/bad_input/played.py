"""Rows of bad input that one request cannot show, and the tests that play them; and which rows there have to be."""

#: Rows (or parts of them) that are played by a test of their own: row -> ``file::test``.
PLAYED: dict[str, tuple[str, ...]] = {
    "B31": (
        "tests/browser/test_hostile_text.py::test_b31_b108_hostile_text_is_shown_as_it_is",
        "tests/browser/test_hostile_text.py::test_b31_a_hostile_name_is_shown_as_it_is",
    ),
    "B105": ("tests/browser/test_hostile_text.py::test_b105_messages_from_other_windows_are_ignored",),
    "B106": ("tests/browser/test_hostile_text.py::test_b106_only_honest_addresses_become_links",),
    "B107": ("tests/browser/test_hostile_text.py::test_b107_the_inbox_cannot_be_framed",),
    "B108": ("tests/browser/test_hostile_text.py::test_b31_b108_hostile_text_is_shown_as_it_is",),
    "B4": ("tests/gateway/web/test_webhooks.py::test_a_replayed_delivery_is_one_message",),
    "B5": ("tests/connectors/webchat/test_visitor.py::test_a_token_of_another_time_is_refused",),
    "B6": ("tests/connectors/webchat/test_visitor.py::test_one_changed_byte_is_refused",),
    "B7": ("tests/gateway/bad_input/test_shifted_form.py::test_b7_a_shifted_form_is_no_message",),
    "B8": ("tests/connectors/twilio/test_webhook.py::test_t1_the_address_is_the_public_one",),
    "B9": ("tests/gateway/web/test_webhooks.py::test_a_repeated_header_is_no_secret",),
    "B15": ("tests/gateway/web/test_webhooks.py::test_nul_becomes_a_replacement_character",),
    "B18": ("tests/gateway/web/test_webhooks.py::test_bodies_without_or_with_a_wrong_length",),
    "B26": ("tests/gateway/test_accounts.py::test_events_for_an_account_that_no_channel_has_wait_for_one",),
    "B27": ("tests/gateway/test_accounts.py::test_ten_thousand_entries_are_appended_in_turns",),
    "B10": ("tests/connectors/meta/test_webhook.py::test_w1_the_challenge_is_repeated_to_who_knows_the_token",),
    "B19": ("tests/gateway/bad_input/test_transport.py::test_b19_a_second_encoding_does_not_slip_through",),
    "B20": ("tests/gateway/bad_input/test_transport.py::test_b20_nothing_reads_multipart",),
    "B21": (
        "tests/gateway/bad_input/test_transport.py::test_b21_a_form_with_too_many_fields_is_refused_before_it_is_read",
        "tests/connectors/twilio/test_webhook.py::test_too_many_fields_are_refused_before_they_cost_anything",
    ),
    "B22": ("tests/gateway/bad_input/test_transport.py::test_b22_b23_malformed_requests_are_refused_and_hung_up_on",),
    "B23": ("tests/gateway/bad_input/test_transport.py::test_b22_b23_malformed_requests_are_refused_and_hung_up_on",),
    "B28": (
        "tests/gateway/bad_input/test_text.py::test_b28_an_absurd_time_is_not_believed",
        "tests/connectors/meta/test_webhook.py::test_w6_times_are_seconds_or_milliseconds_as_text_or_number",
    ),
    "B29": (
        "tests/gateway/bad_input/test_text.py::test_b29_a_text_that_nobody_could_read_is_cut_and_kept",
        "tests/gateway/bad_input/test_text.py::test_b29_an_edit_is_no_way_around",
        "tests/gateway/bad_input/test_text.py::test_b29_what_just_fits_is_whole",
        "tests/connectors/email/test_inbound.py::test_b29_a_text_of_a_megabyte_is_cut_and_says_so",
    ),
    "B30": (
        "tests/gateway/bad_input/test_text.py::test_b30_names_are_kept_and_names_of_files_do_not_lie",
        "tests/gateway/bad_input/test_text.py::test_b30_b64_names_of_files",
        "tests/connectors/email/test_inbound.py::test_b30_b31_names_and_subjects_are_data",
    ),
    "B33": (
        "tests/gateway/bad_input/test_identities.py::test_b33_what_is_no_phone_is_nobodys_phone",
        "tests/gateway/bad_input/test_identities.py::test_b33_a_shared_phone_is_one_address_or_none",
        "tests/gateway/bad_input/test_identities.py::test_b33_b34_a_claim_joins_nobody",
    ),
    "B34": (
        "tests/gateway/bad_input/test_identities.py::test_b34_b35_the_same_address_or_another",
        "tests/gateway/bad_input/test_identities.py::test_b34_folding_the_case_makes_no_ascii",
        "tests/connectors/email/test_inbound.py::test_b34_b35_addresses_that_look_alike_and_are_alike",
    ),
    "B35": (
        "tests/gateway/bad_input/test_identities.py::test_b34_b35_the_same_address_or_another",
        "tests/gateway/bad_input/test_identities.py::test_b35_dots_and_plus_are_kept",
    ),
    "B36": ("tests/gateway/bad_input/test_identities.py::test_b36_one_name_in_two_realms_is_two_people",),
    "B39": (
        "tests/connectors/email/test_mails.py::test_mail",
        "tests/connectors/email/test_mails.py::test_only_what_our_server_vouches_for_is_a_known_address",
    ),
    "B40": (
        "tests/connectors/email/test_mails.py::test_mail",
        "tests/connectors/email/test_mails.py::test_only_what_our_server_vouches_for_is_a_known_address",
    ),
    "B41": (
        "tests/connectors/email/test_inbound.py::test_b41_a_spoofed_sender_is_nobody_whom_we_know",
        "tests/gateway/test_email.py::test_spoofed_mail_never_joins_a_customer",
    ),
    "B42": (
        "tests/connectors/email/test_inbound.py::test_b42_results_from_a_server_that_is_not_believed_do_not_count",
        "tests/connectors/email/test_mails.py::test_mail",
    ),
    "B43": ("tests/connectors/email/test_inbound.py::test_b43_an_answer_does_not_go_where_reply_to_points_in_another_house",),
    "B44": (
        "tests/connectors/email/test_inbound.py::test_b44_a_forged_reply_address_proves_nothing",
        "tests/routing/test_threads.py::test_ids_of_mails_are_no_secrets_a_signed_address_is",
    ),
    "B45": (
        "tests/connectors/email/test_inbound.py::test_b45_the_same_address_used_by_another_is_a_newcomer",
        "tests/routing/test_threads.py::test_an_unproved_participant_may_speak_but_answers_do_not_follow_them",
    ),
    "B46": ("tests/connectors/email/test_inbound.py::test_b46_one_message_id_and_two_mails_are_two_events",),
    "B47": (
        "tests/connectors/email/test_outbound.py::test_what_is_refused_before_anything_is_sent",
        "tests/connectors/email/test_outbound.py::test_an_id_with_a_line_break_never_reaches_a_header",
    ),
    "B48": (
        "tests/connectors/email/test_inbound.py::test_heavy_mails_are_read_in_bounded_time",
        "tests/connectors/email/test_outbound.py::test_what_is_refused_before_anything_is_sent",
    ),
    "B49": (
        "tests/connectors/email/test_inbound.py::test_b49_too_much_of_anything_is_refused_at_once",
        "tests/connectors/email/test_inbound.py::test_heavy_mails_are_read_in_bounded_time",
        "tests/gateway/test_email.py::test_poison_is_kept_apart_and_what_is_behind_it_arrives",
    ),
    "B50": (
        "tests/connectors/email/test_inbound.py::test_b50_utf_7_is_never_taken_for_html",
        "tests/connectors/email/test_mails.py::test_mail",
    ),
    "B51": (
        "tests/connectors/email/test_inbound.py::test_heavy_mails_are_read_in_bounded_time",
        "tests/connectors/email/test_mails.py::test_mail",
    ),
    "B52": ("tests/connectors/email/test_inbound.py::test_b52_html_that_does_something_does_nothing_here",),
    "B53": (
        "tests/connectors/email/test_inbound.py::test_b52_html_that_does_something_does_nothing_here",
        "tests/gateway/web/test_remote_pictures.py::test_nothing_is_fetched_before_it_is_asked_for_and_then_once",
        "tests/gateway/web/test_remote_pictures.py::test_only_pictures_come_through",
        "tests/browser/test_remote_pictures.py::test_b53_pictures_come_by_the_gateway_and_only_when_asked_for",
    ),
    "B54": ("tests/connectors/email/test_inbound.py::test_b52_html_that_does_something_does_nothing_here",),
    "B55": (
        "tests/connectors/email/test_inbound.py::test_b55_a_machines_mail_is_kept_and_never_answered_by_one",
        "tests/connectors/email/test_inbound.py::test_b55_a_mail_that_goes_in_circles_is_refused",
        "tests/connectors/email/test_inbound.py::test_our_own_mail_back_is_nothing",
    ),
    "B56": (
        "tests/gateway/test_mail_bomb.py::test_five_thousand_mails_of_one_sender",
        "tests/routing/test_letters.py::test_all_visitors_together_send_a_stranger_only_so_many",
        "tests/routing/test_letters.py::test_forms_of_one_mailbox",
    ),
    "B57": ("tests/connectors/email/test_inbound.py::test_b57_b59_b60_files_are_carried_and_never_opened",),
    "B58": ("tests/connectors/email/test_inbound.py::test_b58_a_bounce_for_a_mail_that_we_never_sent_is_a_mail",),
    "B59": ("tests/connectors/email/test_inbound.py::test_b57_b59_b60_files_are_carried_and_never_opened",),
    "B60": ("tests/gateway/bad_input/test_served_files.py::test_b60_b61_b62_what_is_no_harmless_picture_is_a_download",),
    "B61": (
        "tests/gateway/bad_input/test_served_files.py::test_b61_a_polyglot_is_shown_as_the_picture_made_anew",
        "tests/gateway/bad_input/test_served_files.py::test_b61_what_was_kept_before_is_judged_when_it_is_asked_for",
        "tests/gateway/web/test_remote_pictures.py::test_what_is_shown_is_made_anew",
        "tests/gateway/bad_input/test_served_files.py::test_b60_b61_b62_what_is_no_harmless_picture_is_a_download",
    ),
    "B62": (
        "tests/gateway/test_pictures.py::test_a_picture_that_unpacks_to_too_much_is_a_download",
        "tests/gateway/test_pictures.py::test_a_moving_picture_without_an_end_is_a_download",
        "tests/gateway/test_studio.py::test_a_picture_that_takes_too_much_is_given_up_and_the_next_one_is_made",
        "tests/gateway/test_studio.py::test_what_does_not_decode_is_no_picture",
        "tests/gateway/test_studio.py::test_the_worker_itself_counts_frames",
        "tests/gateway/test_studio.py::test_the_worker_itself_counts_pixels",
        "tests/gateway/bad_input/test_served_files.py::test_b60_b61_b62_what_is_no_harmless_picture_is_a_download",
    ),
    "B63": (
        "tests/gateway/bad_input/test_served_files.py::test_b63_a_photo_does_not_tell_where_it_was_taken",
        "tests/gateway/test_pictures.py::test_a_jpeg_keeps_its_picture_its_colours_and_which_side_is_up",
        "tests/gateway/test_pictures.py::test_only_uploads_are_changed_and_the_same_upload_is_the_same_file",
        "tests/gateway/test_studio.py::test_the_same_picture_and_nothing_beside_it",
    ),
    "B64": (
        "tests/gateway/bad_input/test_served_files.py::test_b64_a_name_is_no_path_and_no_header",
        "tests/gateway/bad_input/test_served_files.py::test_b30_b64_a_name_that_a_provider_brought_is_harmless_too",
        "tests/gateway/test_files.py::test_only_a_hash_is_a_name",
    ),
    "B65": (
        "tests/gateway/bad_input/test_served_files.py::test_b65_too_much_and_nothing_are_refused",
        "tests/gateway/bad_input/test_served_files.py::test_b65_too_many_are_refused",
        "tests/gateway/bad_input/test_served_files.py::test_b65_half_an_upload_leaves_nothing",
        "tests/gateway/web/test_chat_files.py::test_limits_of_size_and_number",
        "tests/gateway/test_files.py::test_what_another_process_left_is_swept_up_within_the_hour",
    ),
    "B66": (
        "tests/gateway/web/test_chat_files.py::test_every_other_link_is_the_same_404",
        "tests/gateway/web/test_chat_files.py::test_a_link_ends_within_ten_minutes_and_a_fresh_one_is_given_on_request",
        "tests/gateway/web/test_chat_files.py::test_a_visitors_picture_reaches_the_agents",
        "tests/gateway/web/test_public_files.py::test_every_wrong_link_is_the_same_404",
        "tests/gateway/web/test_public_files.py::test_a_providers_link_lasts_ten_minutes_and_a_readers_a_day",
        "tests/gateway/web/test_file_origin.py::test_a_link_ends_and_is_for_one_purpose",
        "tests/connectors/twilio/test_client.py::test_b66_each_attempt_has_an_address_of_its_own",
    ),
    "B67": ("tests/gateway/bad_input/test_served_files.py::test_b67_ranges",),
    "B68": (
        "tests/gateway/test_fetch.py::test_the_block_list",
        "tests/gateway/test_fetch.py::test_no_form_of_a_private_address_is_connected",
    ),
    "B69": ("tests/gateway/test_fetch.py::test_no_form_of_a_private_address_is_connected",),
    "B70": (
        "tests/gateway/test_fetch.py::test_the_block_list",
        "tests/gateway/test_fetch.py::test_no_form_of_a_private_address_is_connected",
    ),
    "B71": (
        "tests/gateway/test_fetch_names.py::test_b71_a_name_with_any_private_address_is_refused",
        "tests/gateway/test_fetch_names.py::test_b71_a_name_is_asked_once_for_each_connection_and_never_remembered",
        "tests/gateway/test_fetch_names.py::test_b71_the_socket_is_the_second_fence",
        "tests/gateway/test_fetch_names.py::test_b71_no_proxy_of_the_environment_is_used",
    ),
    "B72": (
        "tests/gateway/test_fetch_names.py::test_b72_every_redirect_is_judged_anew",
        "tests/gateway/test_fetch.py::test_an_exempt_server_is_fetched_and_bounded_and_its_redirects_are_guarded",
    ),
    "B73": (
        "tests/gateway/test_fetch_names.py::test_b73_spellings_that_parsers_read_in_two_ways",
        "tests/gateway/test_fetch.py::test_only_http_and_https",
        "tests/gateway/test_fetch.py::test_only_the_webs_ports",
    ),
    "B74": (
        "tests/gateway/test_fetch_names.py::test_b74_a_server_that_never_ends_is_left",
        "tests/gateway/test_fetch_names.py::test_b74_the_time_is_for_all_hops_together",
        "tests/gateway/test_fetch_names.py::test_b74_an_endless_body_is_cut_off_where_the_limit_is",
        "tests/gateway/test_fetch.py::test_an_exempt_server_is_fetched_and_bounded_and_its_redirects_are_guarded",
    ),
    "B75": (
        "tests/gateway/test_fetch_names.py::test_b75_our_own_address_is_not_fetched",
        "tests/gateway/test_fetch_names.py::test_b75_under_another_name_the_gateway_knows_itself",
    ),
    "B25": ("tests/gateway/web/test_webhooks.py::test_all_unknown_channels_look_the_same",),
    "B76": ("tests/gateway/web/test_access.py::test_what_is_not_yours_looks_like_what_is_not_there",),
    "B77": ("tests/gateway/web/test_access.py::test_foreign_ids_in_an_own_body",),
    "B83": ("tests/gateway/web/test_idempotency.py::test_a_key_with_another_body_is_refused",),
    "B84": ("tests/gateway/web/test_access.py::test_replies_that_cannot_be",),
    "B96": ("tests/gateway/web/test_sockets.py::test_foreign_origins_are_refused_before_the_upgrade",),
    "B97": ("tests/gateway/web/test_feed.py::test_a_ticket_opens_one_feed_once",),
    "B98": ("tests/gateway/web/test_sockets.py::test_malformed_frames_end_the_connection",),
    "B99": ("tests/gateway/web/test_feed.py::test_who_leaves_a_queue_sees_no_more_of_it",),
    "B100": ("tests/gateway/web/test_chat.py::test_a_visitor_cannot_pretend",),
    "B101": ("tests/gateway/web/test_chat.py::test_tokens_that_are_not_ours",),
    "B110": ("tests/gateway/web/test_access.py::test_secrets_and_line_breaks_do_not_reach_the_log",),
}

REQUIRED: tuple[str, ...] = tuple(
    f"B{number}"
    for first, last in ((1, 31), (33, 36), (39, 81), (83, 86), (92, 92), (96, 101), (105, 108), (110, 110))
    for number in range(first, last + 1)
)
