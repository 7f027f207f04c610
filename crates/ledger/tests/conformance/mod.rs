//! What every backend of the ledger must do. A backend passes when `conformance!(ItsBackend)` passes: one test for
//! each case, each on a ledger of its own, with a clock that only the case turns.
//!
//! The cases speak to a backend through [`Backend`] alone. Plain SQL stands for a program that knows nothing of
//! Handover; it is written so that SQLite and PostgreSQL take it alike.

pub(crate) mod actions;
pub(crate) mod activity;
pub(crate) mod alerts;
pub(crate) mod answers;
pub(crate) mod arrivals;
pub(crate) mod by_hand;
pub(crate) mod cancelling;
pub(crate) mod claiming;
pub(crate) mod conservation;
pub(crate) mod copying;
pub(crate) mod ending;
pub(crate) mod entering;
pub(crate) mod forgetting;
pub(crate) mod history;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod leases;
pub(crate) mod loads;
pub(crate) mod names;
pub(crate) mod reading;
pub(crate) mod schedules;
pub(crate) mod searching;
pub(crate) mod sizes;
pub(crate) mod states;
pub(crate) mod storm;
pub(crate) mod waking;
pub(crate) mod webhooks;

use async_trait::async_trait;
use handover_core::{Delivery, DeliveryId, ErrorKind, HolderId, Kind, NewDelivery, Result, Status};
use handover_ledger::{Claim, Completion, Failure, Held, Ledger, Queue, Verdict};
use handover_testkit::FakeClock;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A backend under test.
#[async_trait]
pub(crate) trait Backend: Sized + Send + Sync + 'static {
    /// What a program hears whose record is no JSON.
    const NOT_JSON: &'static str;
    /// Whether records are claimed by lanes here, whatever the app.
    const LANES: bool = false;
    /// A query that gives no row, whatever has happened: each would be something that the backend notes otherwise than it is.
    const NEVER: Option<&'static str> = None;

    /// Prepares an empty ledger of its own, which takes its time from this clock.
    async fn fresh(clock: Arc<FakeClock>) -> Self;

    /// Opens it; each call as another process would.
    async fn open(&self) -> Arc<dyn Ledger>;

    /// Runs a statement as a foreign program; gives the number of rows that it changed.
    async fn sql(&self, text: &str) -> Result<usize, String>;

    /// Adds up counts that are kept as differences, as housekeeping does.
    async fn compact(&self) {}

    /// Runs a query as a foreign program; each value as text, null as "".
    async fn rows(&self, text: &str) -> Vec<Vec<String>>;
}

/// Both queues, by the kind of delivery that goes there.
pub(crate) const KINDS: [Kind; 2] = [Kind::File, Kind::Record];
pub(crate) const LEASE: Duration = Duration::from_secs(60);

/// A ledger under test, open once.
pub(crate) struct World<B> {
    pub(crate) backend: B,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) ledger: Arc<dyn Ledger>,
}

impl<B: Backend> World<B> {
    pub(crate) async fn new() -> Self {
        let clock = FakeClock::at_present();
        let backend = B::fresh(clock.clone()).await;
        let ledger = backend.open().await;
        Self { backend, clock, ledger }
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        handover_core::Clock::now(self.clock.as_ref())
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) async fn push(&self, new: NewDelivery) -> DeliveryId {
        self.ledger.push("test", vec![new]).await.unwrap()[0].id()
    }

    /// Pushes so many plain deliveries to an app.
    pub(crate) async fn push_to(&self, kind: Kind, app: &str, count: usize) -> Vec<DeliveryId> {
        let pushed = self.ledger.push("test", vec![new(kind, app); count]).await.unwrap();
        pushed.into_iter().map(|p| p.id()).collect()
    }

    /// Claims as the holder `1-worker`.
    pub(crate) async fn claim(&self, kind: Kind, app: &str, max: usize) -> Vec<Delivery> {
        self.ledger.claim(ask(kind, app, max, "1-worker")).await.unwrap()
    }

    /// Pushes one delivery and claims it.
    pub(crate) async fn held(&self, kind: Kind, app: &str) -> (DeliveryId, Held) {
        let id = self.push(new(kind, app)).await;
        let claimed = self.claim(kind, app, 1).await;
        assert_eq!(ids(&claimed), [id]);
        (id, held(&claimed[0]))
    }

    pub(crate) async fn get(&self, id: DeliveryId) -> Delivery {
        self.ledger.get(id).await.unwrap().unwrap_or_else(|| panic!("there is no delivery {id}"))
    }

    pub(crate) async fn status(&self, id: DeliveryId) -> Status {
        self.get(id).await.status
    }

    pub(crate) async fn complete(&self, held: &Held) -> Result<Vec<DeliveryId>> {
        self.ledger.complete(completion(held, vec![])).await
    }

    pub(crate) async fn fail(&self, held: &Held, verdict: Verdict) -> Result<handover_ledger::Failed> {
        self.ledger.fail(failure(held, verdict)).await
    }

    /// Brings a new delivery to this status.
    pub(crate) async fn in_status(&self, kind: Kind, app: &str, status: Status) -> DeliveryId {
        if status == Status::Pending {
            return self.push(new(kind, app)).await;
        }
        let (id, held) = self.held(kind, app).await;
        match status {
            Status::Pending | Status::Processing => {}
            Status::Completed | Status::Archived => drop(self.complete(&held).await.unwrap()),
            Status::Failed => drop(self.fail(&held, Verdict::Final).await.unwrap()),
        }
        if status == Status::Archived {
            let moved = usize::from(self.stands(kind, Status::Completed) == Status::Completed);
            assert_eq!(self.ledger.archive("test", vec![id]).await.unwrap(), moved);
        }
        id
    }

    /// Where one stands that has come to this status: what is completed by lanes is in the archive at once.
    pub(crate) fn stands(&self, kind: Kind, status: Status) -> Status {
        match status {
            Status::Completed if B::LANES && kind == Kind::Record => Status::Archived,
            other => other,
        }
    }

    /// The count of a plain SQL query.
    pub(crate) async fn number(&self, query: &str) -> i64 {
        self.backend.rows(query).await[0][0].parse().unwrap()
    }

    /// Adds up what the backend keeps as differences, where it does.
    pub(crate) async fn compact(&self) {
        self.backend.compact().await;
    }

    /// Fails where the ledger's counts are not what is there.
    pub(crate) async fn check_counts(&self) {
        let real = "SELECT coalesce(target_app, ''), kind, status, count(*) FROM \
                    (SELECT target_app, kind, status FROM v_deliveries \
                     UNION ALL SELECT target_app, kind, status FROM data_archive) AS everything GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
        let counted: Vec<Vec<String>> = self
            .ledger
            .counts()
            .await
            .unwrap()
            .into_iter()
            .filter(|c| c.count > 0)
            .map(|c| vec![c.app, c.kind.to_string(), c.status.to_string(), c.count.to_string()])
            .collect();
        assert_eq!(counted, self.backend.rows(real).await);
        if let Some(never) = B::NEVER {
            assert_eq!(self.backend.rows(never).await, Vec::<Vec<String>>::new());
        }
    }
}

/// A plain delivery to an app.
pub(crate) fn new(kind: Kind, app: &str) -> NewDelivery {
    NewDelivery::new(kind, "source", Some(app.to_owned()), json!({"path": "x/y.csv"}))
}

pub(crate) fn ask(kind: Kind, app: &str, max: usize, holder: &str) -> Claim {
    Claim { queue: kind.into(), app: app.into(), max, lease: LEASE, holder: HolderId(holder.into()) }
}

pub(crate) fn held(delivery: &Delivery) -> Held {
    Held {
        queue: Queue::from(delivery.kind),
        id: delivery.id,
        token: delivery.lease_token.clone().unwrap_or_else(|| panic!("{} has no token", delivery.id)),
    }
}

pub(crate) fn completion(held: &Held, next: Vec<NewDelivery>) -> Completion {
    Completion { held: held.clone(), result: json!({"rows": 1}), next, checksum: None }
}

pub(crate) fn failure(held: &Held, verdict: Verdict) -> Failure {
    Failure { held: held.clone(), error: "it broke".into(), verdict, after: None, result: None, next: vec![] }
}

pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<DeliveryId> {
    deliveries.iter().map(|d| d.id).collect()
}

/// The error's kind; fails where there is none, or where it says nothing to do next though it should.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    let error = result.expect_err("this should have been refused");
    assert!(error.hint_text().is_some(), "no hint: {error}");
    error.kind()
}

#[track_caller]
pub(crate) fn stale<T: std::fmt::Debug>(result: Result<T>) {
    let error = result.expect_err("a stale token should have been refused");
    assert_eq!(error.kind(), ErrorKind::Stale, "{error}");
    assert!(error.to_string().contains("no longer ours"), "{error}");
}

/// Makes one test of each case for this backend.
macro_rules! conformance {
    ($backend:ty) => {
        conformance! { $backend;
            entering {
                a_push_is_there_as_it_was_given, without_a_target_it_is_born_completed, a_dedup_key_is_one_delivery_per_app,
                a_dedup_key_holds_against_the_archive, the_queues_have_keys_of_their_own, a_number_set_aside_is_taken_once,
                ids_are_one_sequence, a_bad_push_takes_the_whole_call_with_it,
            }
            claiming {
                by_priority_then_age, not_before_its_time, a_batch_shares_one_token, nothing_of_a_paused_app,
                nothing_deleted, an_order_key_is_strict, a_retried_older_one_waits_for_the_younger,
                a_deleted_one_holds_nobody_up, claimers_of_two_handles_never_share, what_cannot_be_read_is_refused,
                a_claim_of_nothing_or_of_no_app, what_has_waited_longest_has_its_places,
                whether_a_claim_would_find_anything, single_claims_come_to_what_has_waited_longest, what_has_waited_longest_keeps_its_order_key,
            }
            leases {
                a_renewed_lease_lasts, renewing_says_what_is_lost, holds_as_long_as_it_stands, a_stale_token_changes_nothing,
                release_gives_back_untouched, what_is_given_back_says_why, a_lease_that_ran_out_is_rescued, a_lost_holder_is_rescued_at_once,
                twenty_rescues_and_no_more, holders_are_those_with_leases,
            }
            ending {
                completing_hands_over, a_failing_next_rolls_all_back, a_checksum_goes_to_the_arrival, retries_back_off_until_used_up,
                later_uses_up_no_attempt, a_failure_may_say_how_long_to_wait, a_final_failure_is_final, a_failure_may_publish_too, a_long_error_is_cut,
            }
            answers {
                each_answer_ends_its_delivery, a_stale_answer_leaves_the_others, whole_answers_count_all_or_none,
                a_thousand_at_once, a_token_holds_what_was_claimed_with_it, what_waits_is_counted_up_to_a_limit,
                what_waits_is_measured,
            }
            loads {
                a_load_goes_on_where_it_stopped, by_what_a_load_is_made_stands_once_rows_are_in, a_whole_load_is_unseen_until_its_end,
                a_whole_load_that_is_given_up_leaves_nothing, a_load_counts_what_was_known, a_load_is_whole_or_it_is_not,
                a_bad_row_takes_its_batch_with_it,
            }
            conservation {
                what_was_pushed_is_live_archived_or_deleted, what_is_deleted_may_come_back, what_has_come_of_age_is_archived,
            }
            searching {
                a_search_finds_what_a_list_does, a_text_is_found_wherever_it_stands, a_search_looks_no_further_than_it_may,
                what_failed_long_ago_is_found_at_once, however_many_failed_the_newest_are_found_at_once,
                what_plain_sql_archived_is_found_at_once, what_waits_longest_comes_first, what_failed_last_comes_first, what_was_replayed_is_known,
                the_archive_is_found_below_what_is_live,
            }
            forgetting {
                what_was_kept_long_enough_is_gone_and_counted, the_log_goes_by_its_own_time, nothing_is_forgotten_of_what_still_lives, its_storage_is_measured,
            }
            by_hand {
                cancel_ends_what_has_not_ended, retry_is_for_the_failed, replay_of_whatever_ended,
                the_end_of_a_flow_is_not_replayed, restore_brings_back, pause_and_resume, unknown_numbers_are_said,
            }
            states {
                the_tables_agree_with_the_state_machine, plain_sql_may_hand_over, plain_sql_may_complete,
                plain_sql_nonsense_is_refused, plain_sql_times_become_ours, plain_sql_keeps_the_counts,
                a_plain_claim_has_a_lease_and_no_token, a_plain_claim_that_is_never_ended_is_rescued,
                plain_sql_cannot_end_what_a_worker_holds, plain_sql_does_not_claim_what_is_deleted,
                what_plain_sql_archives_is_moved, how_it_ended_is_known_in_the_archive,
                a_lease_that_plain_sql_takes_away_is_an_hour, a_dedup_key_holds_against_plain_sql,
                what_was_deleted_after_it_made_others_is_known,
            }
            history {
                a_whole_life_is_audited, a_rescue_and_a_cancel_are_audited, a_refused_move_leaves_no_trace,
            }
            names {
                the_wanted_sequence_where_it_is_free,
                many_at_once_in_their_order, never_at_or_below_the_floor, a_retry_gets_its_own_name_again,
                concurrent_reservers_never_share, a_discarded_name_is_free_for_nobody, a_late_one_gives_up_nobodys_name, a_stem_of_its_own, whose_name_it_is,
                the_last_sequence_is_an_error_and_no_panic,
            }
            arrivals {
                one_state_of_a_file_arrives_once, a_refused_one_is_born_failed, found_by_path_and_by_name,
                the_same_content_is_known, two_handles_take_a_file_once,
                one_that_was_never_read_arrives_anew, one_that_was_never_read_is_new_after_retention_too, one_content_has_one_taker,
            }
            schedules { a_due_time_is_seen_to_once }
            reading {
                each_filter_and_all_together, pages_join_without_gap, counts_are_kept, what_ever_came_is_counted, the_next_due_time, the_oldest_pending,
                what_has_an_order_key_is_listed, what_was_made_into_records_is_counted_once,
                the_archive_takes_what_ended, the_archive_refuses_what_has_not, a_moved_archive_is_read_through,
            }
            jobs {
                a_submission_is_a_job, an_equal_key_is_one_job, fifty_at_once_are_one_job, a_dedup_key_makes_no_second_job,
                a_caller_has_so_many_and_no_more, a_queue_has_so_many_and_no_more, many_at_once_keep_to_the_limit,
                progress_is_bounded_and_has_no_gaps, standing_tells_how_far_each_is, what_belongs_to_ended_jobs_is_forgotten, jobs_are_listed_by_caller,
            }
            cancelling {
                what_nobody_has_is_cancelled_at_once, whoever_works_on_it_is_asked, what_is_given_back_has_ended,
                every_end_forgets_that_it_was_asked_for, a_sweep_ends_what_was_left, a_retry_starts_clean,
            }
            webhooks { a_webhook_is_told_of_every_end, nobody_else_is_told }
            keys { a_key_is_kept_as_it_was_given, a_key_is_rotated_and_revoked, the_last_use_is_noted, a_secret_is_one_for_all_and_never_changes }
            activity {
                what_is_added_is_read_in_steps, a_batch_counts_once, many_add_at_once, minutes_become_hours,
            }
            alerts {
                an_alert_is_open_as_long_as_it_is_seen, what_others_see_does_not_end,
                a_time_that_is_known_is_kept_and_never_lies_ahead, many_are_told_in_one_notice_and_once,
                no_more_often_than_the_throttle, the_muted_is_not_told, a_notice_is_tried_until_it_is_delivered,
                many_at_once_tell_once,
            }
            sizes { sizes_are_read_by_name_and_time, the_older_the_fewer }
            actions {
                people_are_told_from_workers, deeds_are_found_by_who_what_and_when, pages_of_deeds_join_without_gap,
            }
            copying { everything_is_in_the_copy, a_copy_has_every_text_as_it_was, only_into_an_empty_ledger_from_one_at_rest }
            storm { a_random_storm_agrees_with_the_model }
            waking {
                a_push_wakes_the_other_handle, a_foreign_insert_wakes, idle_handles_let_each_other_sleep, a_renewal_wakes_nobody_here, an_end_wakes_what_waited_for_it, ends_are_told,
            }
        }
    };
    ($backend:ty; $($topic:ident { $($case:ident),* $(,)? })*) => {
        $(mod $topic {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::$topic::$case::<$backend>().await;
            })*
        })*
    };
}
