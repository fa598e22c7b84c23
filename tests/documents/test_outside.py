"""Each row of what is known of the outside has a source, and tests that fail where we or a simulator do otherwise."""

import re
from pathlib import Path

import pytest

from tests.documents.documents import ROOT

DESK, MODEL, SIMULATED = "tests/integrations/test_desk", "tests/integrations/test_gpt4", "tests/simulators/test_"
COPIED = "tests/housekeeping/test_"
RECORDED = f"{DESK}_recorded.py::test_an_answer_that_a_desk_gave_is_read_as_what_it_says"
SHAPES = f"{SIMULATED}recorded_shapes.py::test_no_answer_has_a_key_that_no_recorded_one_has"
REFUSED = f"{SIMULATED}simulated_desk.py::test_what_no_desk_is_known_to_take_is_refused"
PROVIDERS = f"{MODEL}_providers.py::test_each_known_answer_is_understood"
BODIES = "tests/webhooks/test_bodies.py::test_a_body_is_read_or_told_what_is_wrong_with_it"
# By the first cell of a row.
HELD: dict[str, tuple[str, ...]] = {
    "address": (
        f"{DESK}.py::test_one_of_several_portals_is_named_in_the_address_or_by_a_header",
        f"{SIMULATED}simulated_desk.py::test_one_of_several_portals_is_found_by_its_name_in_the_path_or_by_its_header",
        f"{SIMULATED}simulated_desk.py::test_no_desk_is_known_to_take_its_input_elsewhere_or_other_addresses",
    ),
    "credentials": (
        f"{DESK}_holds.py::test_a_key_that_expired_is_tried_each_half_minute_and_told_as_often",
        f"{DESK}_tokens.py::test_processes_share_a_token_through_redis",
        f"{DESK}_tokens.py::test_an_accounts_host_that_gives_no_more_tokens_may_give_some_later",
        f"{DESK}_tokens.py::test_wrong_credentials_under_a_200_are_refused",
        f"{DESK}_tokens.py::test_a_token_lives_for_an_hour_unless_it_says_otherwise",
        f"{SIMULATED}simulated_desk.py::test_the_first_desk_is_at_the_root_and_takes_its_key_in_one_header",
        f"{SIMULATED}simulated_desk.py::test_the_cloud_edition_has_tokens_long_ids_and_its_own_note_key",
    ),
    "`status` of a ticket": (
        RECORDED,
        f"{SIMULATED}recorded_shapes.py::test_a_status_and_a_time_of_completion_are_as_the_edition_has_them",
    ),
    "closed": (f"{DESK}_recorded.py::test_a_ticket_is_closed_by_what_its_edition_says", RECORDED),
    "ids": (
        RECORDED,
        "tests/workflow/test_numbers.py::test_the_second_of_two_webhooks_is_skipped_unpaid_whichever_number_it_names",
    ),
    "search for a `display_id`": (
        f"{DESK}_numbers.py::test_the_number_that_people_see_is_searched_for_and_both_are_read",
        f"{SIMULATED}simulated_desk.py::test_a_cloud_desk_finds_a_ticket_by_the_number_that_people_see",
        f"{SIMULATED}simulated_desk.py::test_no_other_search_is_known_to_be_taken",
        REFUSED,
    ),
    "a note": (f"{DESK}_notes.py::test_only_notes_since_the_attempt_are_read_and_the_newest_three", RECORDED, SHAPES),
    "a note's key": (
        f"{DESK}_note_key.py::test_a_build_that_has_the_other_editions_key_gets_its_note_and_it_is_found",
        f"{SIMULATED}simulated_desk.py::test_notes_need_the_key_of_the_edition_and_are_listed_without_text",
    ),
    "order of a list of notes": (f"{DESK}_notes.py::test_all_pages_of_a_list_of_notes_are_looked_through", RECORDED),
    "rate": (
        "tests/config/test_tenants.py::test_a_desk_on_premises_needs_an_address_and_a_key",
        "tests/config/test_tenants.py::test_a_cloud_desk_needs_oauth_credentials_and_is_called_less_often",
    ),
    "bodies": (
        f"{DESK}_note_key.py::test_the_other_key_is_used_once_the_first_was_refused_and_remembered",
        f"{SIMULATED}simulated_desk.py::test_no_desk_is_known_to_take_its_input_elsewhere_or_other_addresses",
    ),
    "the other key of a note": (
        f"{DESK}_note_key.py::test_no_other_failure_is_answered_with_a_second_post",
        f"{DESK}_note_key.py::test_the_other_key_is_used_once_the_first_was_refused_and_remembered",
    ),
    "a second note": (
        "tests/workflow/test_ends.py::test_a_note_that_may_be_there_is_looked_for_though_the_desk_is_down",
    ),
    "texts of notes": (
        f"{DESK}_notes.py::test_a_note_is_found_by_its_marker_among_others",
        f"{SIMULATED}simulated_desk.py::test_notes_need_the_key_of_the_edition_and_are_listed_without_text",
    ),
    "sorting": (f"{DESK}.py::test_the_newest_tickets_and_the_approved_solutions_are_listed", REFUSED, RECORDED),
    "paging": (f"{DESK}_notes.py::test_all_pages_of_a_list_of_notes_are_looked_through", REFUSED),
    "changes": (
        f"{COPIED}history_copied.py::test_a_text_that_changes_and_nothing_else_is_read_again",
        f"{COPIED}history_copied.py::test_whatever_its_lists_are_like",
        f"{SIMULATED}lists.py::test_what_was_changed_since_a_time_is_listed_in_either_form",
    ),
    "fields of a list": (
        f"{COPIED}forbidden.py::test_a_ticket_that_is_never_enhanced_is_not_copied_nor_read_each_time",
        f"{SIMULATED}lists.py::test_a_list_tells_what_it_is_asked_for_and_else_what_is_recorded",
        REFUSED,
    ),
    "said at the end": (f"{COPIED}history_copied.py::test_a_text_that_changes_and_nothing_else_is_read_again", SHAPES),
    "mails of a ticket": (
        f"{COPIED}conversation_copied.py::test_the_last_mails_of_a_closed_ticket_help_where_it_has_no_resolution",
        f"{COPIED}conversation_copied.py::test_in_the_cloud_notes_are_listed_among_mails_and_are_none",
    ),
    "a merged ticket": (f"{COPIED}history_copied.py::test_a_ticket_that_was_merged_goes_and_is_asked_for_once_a_day",),
    "solutions": (
        f"{COPIED}solutions_copied.py::test_one_that_is_changed_is_read_again",
        f"{COPIED}solutions_copied.py::test_an_expired_solution_is_not_copied_and_one_that_expires_is_found_no_more",
        RECORDED,
    ),
    "`response_status`": (f"{DESK}_answers.py::test_success_comes_as_an_object_or_as_a_list", RECORDED),
    "codes": (f"{DESK}_answers.py::test_a_code_under_200_is_the_failure_that_it_stands_for", RECORDED),
    "throttling": (
        f"{DESK}_answers.py::test_a_throttling_is_one_under_any_status_and_in_any_field",
        "tests/system/test_throttled.py::test_a_throttled_job_waits_as_long_as_the_desk_asks_and_completes",
    ),
    "a right that is missing": (
        "tests/workflow/test_desk_held.py::test_nothing_is_paid_while_notes_are_refused_and_who_has_paid_finds_out",
        "tests/housekeeping/test_sync.py::test_a_desk_that_refuses_its_solutions_is_copied_without",
    ),
    "people of a ticket": (
        RECORDED,
        "tests/integrations/test_conversation.py::test_people_are_named_whatever_a_desk_has_in_their_place",
    ),
    "whether anything was said": (
        "tests/integrations/test_conversation.py::test_of_a_new_ticket_nothing_is_read",
        "tests/integrations/test_conversation.py::test_whether_mails_were_sent_is_what_the_desk_tells",
        SHAPES,
    ),
    "kinds of a ticket": (RECORDED, SHAPES),
    "a ticket's page": ("tests/integrations/test_desk_pages.py::test_a_ticket_has_the_page_that_people_open",),
    "a ticket that is gone": (RECORDED, f"{DESK}.py::test_a_closed_or_trashed_ticket_is_gone"),
    "the form": (
        f"{SIMULATED}simulated_webhooks.py::test_a_desks_own_webhook_pastes_values_into_a_text_and_signs_nothing",
        "tests/support/test_signing_kit.py::test_the_document_has_the_same_request",
        "tests/system/test_connecting.py::test_a_desks_own_webhook_brings_its_token",
    ),
    "values": (
        BODIES,
        "tests/support/test_signing_kit.py::test_a_desks_own_webhook_has_ids_only",
        f"{SIMULATED}simulated_webhooks.py::test_a_desks_own_webhook_pastes_values_into_a_text_and_signs_nothing",
    ),
    "bodies of others": (
        BODIES,
        "tests/api/test_unsigned_bodies.py::test_a_body_as_desks_write_it_is_read_whatever_its_type",
    ),
    "a script": (
        "tests/support/test_webhook_script.py::test_a_ticket_is_announced_by_its_ids_alone",
        f"{SIMULATED}simulated_webhooks.py::test_a_custom_trigger_runs_a_command_with_the_ticket_in_a_file",
    ),
    "a function": (
        "tests/webhooks/test_signing.py::test_the_deluge_function_signs_so",
        "tests/webhooks/test_signing.py::test_the_function_of_deluge_is_plain_hmac_in_hex",
    ),
    "a second try": (
        f"{SIMULATED}simulated_webhooks.py::test_a_desks_own_webhook_is_sent_once_whatever_comes_of_it",
        "tests/support/test_webhook_script.py::test_it_waits_for_an_api_that_is_not_there_yet",
    ),
    "model": (
        f"{MODEL}_wire.py::test_openai_is_asked_for_a_strict_schema_streamed_and_without_reasoning",
        f"{MODEL}.py::test_a_model_that_does_not_reason_is_asked_without_an_effort",
        f"{SIMULATED}simulated_openai.py::test_what_openai_refuses_is_refused_in_its_envelope",
        "tests/config/test_settings.py::test_the_defaults_are_those_that_were_decided",
        "tests/workflow/test_note.py::test_the_model_that_answered_is_named_as_plain_text_in_bounds",
    ),
    "stream": (f"{MODEL}_time.py::test_no_content_for_too_long_is_the_timeout_whatever_else_is_sent",),
    "formats": (
        f"{MODEL}_wire.py::test_the_ladder_goes_from_the_schema_to_json_to_the_prompt_alone",
        f"{MODEL}_providers.py::test_a_local_server_takes_any_key_and_need_not_know_the_formats",
    ),
    "no endpoint": (
        f"{MODEL}_wire.py::test_a_404_that_names_no_part_takes_one_after_the_other",
        f"{MODEL}_providers.py::test_openrouter_is_asked_with_less_until_an_endpoint_takes_it",
        f"{MODEL}_providers.py::test_the_simulator_of_a_provider_refuses_in_the_words_that_are_known_of_it",
    ),
    "no money": (PROVIDERS, f"{MODEL}_holds.py::test_all_jobs_that_are_under_way_are_held_by_the_first_refusal"),
    "a key's own limit": (PROVIDERS,),
    "no right": (PROVIDERS,),
    "not from here": (PROVIDERS,),
    "too fast": (PROVIDERS, f"{MODEL}.py::test_each_failure_has_its_class_and_its_line_after_one_call"),
    "refusals": (PROVIDERS, f"{MODEL}.py::test_each_failure_has_its_class_and_its_line_after_one_call"),
    "Azure": (
        PROVIDERS,
        f"{MODEL}_providers.py::test_a_deployment_of_azure_is_asked_under_its_own_name",
        "tests/integrations/test_models.py::test_a_changed_key_counts_for_the_next_call_and_disturbs_none_that_runs",
    ),
    "embeddings": (
        "tests/integrations/test_embeddings.py::test_an_endpoint_is_asked_for_all_texts_at_once_and_answers_in_their_order",
        f"{SIMULATED}simulated_openai.py::test_embeddings_are_given_in_the_order_of_their_texts",
    ),
    "local servers": (
        PROVIDERS,
        f"{MODEL}_providers.py::test_a_local_server_takes_any_key_and_need_not_know_the_formats",
        "tests/integrations/test_models.py::test_the_first_word_is_waited_for_as_long_as_the_settings_say",
    ),
}


def rows() -> dict[str, str]:
    """The rows of the page's tables: what is in the last cell, by the first."""
    page = (ROOT / "docs" / "dev" / "outside.md").read_text(encoding="utf-8")
    cells = [re.findall(r"[^|]+", line) for line in page.splitlines() if re.match(r"\| (?!point)", line)]
    return {row[0].strip(): row[-1].strip() for row in cells}


def test_each_row_is_held_by_tests() -> None:
    """All that the page says of the outside stands in its tables: a list would escape this."""
    assert list(HELD) == list(rows())
    assert "\n- " not in (ROOT / "docs" / "dev" / "outside.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("row", HELD)
def test_a_row_names_its_source_and_its_tests_are_there(row: str) -> None:
    assert re.search(r"vendor|recorded|others|not known|https://", rows()[row])
    for held in HELD[row]:
        path, _, name = held.partition("::")
        assert re.search(rf"^(async )?def {name}\(", Path(ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), held
