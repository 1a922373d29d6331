//! The contract of [`crate::roles`] as tests: the definition of what an engine must do.
//!
//! A promise is an async function that takes a [`Subject`], a fresh store; [`suite!`] makes a test
//! of each. An engine says how a store of its is made and what a crash leaves of it ([`Place`]) and
//! runs all of them in its own tests:
//!
//! ```text
//! mod conformance { crate::conformance::suite!(super::place); }
//! ```
//! A promise that is missing from the list below is dead code, and the compiler says so.

pub mod calls;
pub mod catalog;
pub mod commit;
pub mod fan_out;
pub mod lease;
pub mod lists;
pub mod meta_events;
pub mod model;
pub mod nodes;
pub mod ordered;
pub mod query;
pub mod queue;
pub mod record;
pub mod replay;
pub mod replays;
pub mod resend;
pub mod retention;
pub mod scan;
pub mod subject;

pub use subject::{Place, Subject};

/// `$place` is a function without arguments that gives a `Box<dyn Place>` with nothing in it.
macro_rules! suite {
    ($place:expr) => {
        $crate::conformance::role!($place, commit:
            an_ok_survives_a_crash,
            answers_come_in_the_order_of_the_items,
            a_taken_id_fails_alone,
            a_key_is_first_come_within_a_batch,
            a_key_is_remembered_across_batches_and_restarts,
            keys_of_projects_are_independent,
            born_discarded_is_settled_and_never_due,
            every_field_of_an_event_reads_back,
            a_probe_answers);
        $crate::conformance::role!($place, fan_out:
            every_target_becomes_a_delivery_once_over_any_crash,
            a_part_is_written_once,
            unfinished_ones_are_listed_by_age_and_each_goes_on_alone,
            they_are_as_they_would_have_been_born,
            a_duplicate_goes_to_nobody,
            lists_find_them_by_all_ways,
            what_is_not_written_yet_keeps_its_event,
            all_targets_of_an_event_can_be_named);
        $crate::conformance::role!($place, queue:
            fresh_deliveries_come_back_after_a_crash_once_and_in_order,
            recorded_deliveries_do_not_come_back,
            a_late_commit_of_an_early_id_survives_a_crash,
            parked_targets_are_due_at_once,
            due_is_ordered_limited_and_bounded_in_time,
            next_due_looks_past_a_moment,
            several_lanes_are_read_at_once_as_each_alone,
            what_the_caller_holds_hides_nothing_else,
            a_read_takes_so_many_bytes_of_payload,
            the_backlog_has_each_lane, what_waits_is_counted_in_stretches);
        $crate::conformance::role!($place, record:
            a_success_settles,
            a_retry_waits_until_it_is_due,
            a_retry_of_a_fresh_delivery_survives_a_crash_as_it_is,
            recording_twice_changes_nothing,
            two_reports_of_one_delivery_in_one_batch,
            a_report_about_a_settled_delivery_keeps_its_attempt_only,
            a_late_report_does_not_undo_a_resend,
            a_late_retry_does_not_undo_a_resend,
            given_up_without_an_attempt,
            a_report_about_nothing_makes_nothing);
        $crate::conformance::role!($place, resend:
            each_kind_takes_its_states_only,
            unknown_and_foreign_ids_are_unknown,
            answers_come_in_the_order_of_the_ids,
            history_survives_and_goes_on_counting,
            a_resend_survives_a_crash);
        $crate::conformance::role!($place, replay:
            new_deliveries_wait_in_their_own_class,
            a_key_gives_the_first_answer_again,
            a_key_is_forgotten_after_its_window,
            fifty_racing_calls_write_once,
            an_unknown_event_writes_nothing,
            an_event_nobody_matched_becomes_matched,
            a_replay_born_discarded_is_settled);
        $crate::conformance::role!($place, replays:
            what_was_asked_for_reads_back,
            a_page_is_written_once,
            how_fast_it_is_is_written_down_without_items,
            only_what_runs_takes_items,
            an_event_that_is_gone_gives_no_item,
            an_event_nobody_matched_has_matched,
            counts_follow_the_items,
            held_items_are_not_due,
            what_is_resent_by_hand_is_not_put_on_hold,
            heads_are_the_oldest_of_each_endpoint,
            an_event_has_reached_whom_it_succeeded_at,
            a_later_target_of_a_large_fan_out_is_reached_too,
            a_key_finds_its_replay,
            so_many_may_be_open,
            who_steers_has_seen_the_last_change,
            replays_are_listed_by_age_and_state,
            an_endpoint_is_as_it_was,
            replays_are_kept_as_long_as_events,
            a_waiting_item_keeps_its_event);
        $crate::conformance::role!($place, calls:
            a_call_is_kept_with_what_it_did,
            a_call_that_wrote_nothing_is_not_kept,
            fifty_racing_calls_are_kept_as_one,
            a_resend_is_kept_with_whom_it_put_back,
            calls_are_listed_by_age,
            calls_are_kept_as_long_as_events);
        $crate::conformance::role!($place, meta_events:
            what_is_told_of_a_change_is_written_with_it,
            an_outcome_is_told_once,
            what_settles_nothing_tells_nothing,
            a_change_of_a_replay_that_came_late_tells_nothing,
            they_are_due_earliest_first_and_no_sooner,
            an_attempt_is_recorded_once,
            a_resend_makes_it_due_whatever_became_of_it,
            meta_events_are_listed_by_age_within_a_window,
            they_are_kept_as_long_as_events_and_until_they_are_sent,
            a_call_drops_so_many_of_them,
            who_sends_hears_of_each_way_in);
        $crate::conformance::role!($place, ordered:
            an_ordered_run_goes_oldest_first_whatever_fails_is_paused_or_crashes);
        $crate::conformance::role!($place, query:
            an_id_is_found_by_all_of_its_bits,
            some_events_are_read_together,
            nothing_is_shown_to_another_project,
            a_key_finds_its_first_event,
            attempts_are_the_newest_oldest_first,
            events_filter_alone_and_combined,
            events_of_an_endpoint_include_replays_to_it,
            deliveries_filter_alone,
            deliveries_filter_combined,
            filters_of_more_values_than_a_statement_takes,
            windows_are_inclusive_to_the_millisecond,
            windows_beyond_all_ids);
        $crate::conformance::role!($place, lists:
            events_page_both_ways,
            deliveries_page_both_ways_across_all_states,
            a_walk_sees_each_row_once_while_events_arrive,
            a_walk_upward_meets_no_gap_within_what_is_committed);
        $crate::conformance::role!($place, scan:
            a_large_fan_out_is_scanned_with_all_its_deliveries,
            a_page_holds_so_many_bytes_of_payload,
            a_fan_out_under_way_is_no_gap_to_fill,
            a_walk_meets_every_event_that_is_meant_once,
            an_event_in_slices_means_what_it_means_whole,
            a_walk_goes_on_behind_any_id, a_walk_goes_on_within_an_event,
            a_walk_in_segments_is_the_walk,
            a_project_is_walked_whole_among_anothers_events,
            an_item_has_all_that_was_asked_for,
            a_page_looks_at_so_many_rows,
            what_failed_is_found_without_looking_at_the_rest,
            a_replays_items_are_found_without_looking_at_others,
            what_is_born_later_is_not_met,
            another_projects_events_are_not_met);
        $crate::conformance::role!($place, catalog:
            rows_read_back_in_an_order_that_applies,
            a_version_rises_with_each_write_and_survives,
            ids_rise_over_restarts,
            a_live_catalog_shows_what_was_written,
            an_edit_goes_through_when_its_caller_gives_up);
        $crate::conformance::role!($place, lease:
            a_release_gives_the_store_up,
            verbs_answer_unavailable_after_a_release,
            a_release_loses_nothing);
        $crate::conformance::role!($place, retention:
            only_what_is_old_goes,
            what_is_owed_stays_and_so_does_what_is_younger,
            a_sibling_still_fresh_keeps_its_event,
            a_replay_still_owed_keeps_its_event,
            a_call_is_bounded,
            a_key_goes_with_its_event,
            a_duplicate_takes_no_key_along);
        $crate::conformance::role!($place, model:
            any_sequence_keeps_every_delivery_in_one_state);
    };
}

/// Promises of engines that several processes share: two of their stores on one place.
macro_rules! shared_suite {
    ($place:expr) => {
        $crate::conformance::role!($place, nodes:
            two_stores_split_the_shards,
            a_shard_moves_only_when_it_is_let_go,
            a_rate_limit_moves_with_its_shard_to_the_next_owner,
            a_release_hands_over_at_once,
            a_take_over_raises_the_epoch,
            reports_of_lost_shards_are_refused_and_the_rest_is_recorded,
            a_lost_shard_gives_nothing_due,
            the_backlog_is_that_of_the_shards_held,
            owners_hear_of_what_others_commit,
            when_one_is_gone_the_others_look_at_everything,
            owners_hear_of_replays_and_resends,
            owners_hear_of_items,
            who_sends_meta_events_hears_of_those_of_another_store,
            a_stop_is_known_to_be_heard_everywhere,
            a_large_fan_out_is_for_who_owns_its_event,
            a_stale_catalog_commits_nothing,
            a_change_here_is_a_change_there,
            an_edit_waits_for_the_edit_of_another_store,
            an_edit_dropped_lets_the_next_one_in);
    };
}

macro_rules! role {
    ($place:expr, $role:ident: $($promise:ident),+ $(,)?) => {
        mod $role {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let subject = $crate::conformance::Subject::new($place()).await;
                    $crate::conformance::$role::$promise(subject).await;
                }
            )+
        }
    };
}

pub(crate) use {role, shared_suite, suite};
